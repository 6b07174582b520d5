#include "extension/values.h"

namespace fatwal::plugin {

Values deform(HeapTuple tuple, TupleDesc columns) {
    if (tuple == nullptr) return Values{};
    Values values = {};
    const auto count = static_cast<std::size_t>(columns->natts);
    values.value = static_cast<Datum*>(palloc(sizeof(Datum) * (count + 1)));
    values.null = static_cast<bool*>(palloc(sizeof(bool) * (count + 1)));
    heap_deform_tuple(tuple, columns, values.value, values.null);
    return values;
}

}  // namespace fatwal::plugin
