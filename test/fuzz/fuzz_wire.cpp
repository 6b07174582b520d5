// Whatever the bytes are, reading them stays inside them and allocates nothing that they decide.
#include <cstdint>
#include <string>

#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/publication.h"
#include "fatwal/wire/schema.h"

namespace {

using namespace fatwal::wire;

void count(void* target, const char*, std::size_t length) { *static_cast<std::size_t*>(target) += length; }

// Reads each column as each type: the schema that a frame names need not be the one it was written with.
template <class Row>
void read_row(const Row& row, const Sink& sink) {
    const std::uint16_t columns = row.columns() < 64 ? row.columns() : std::uint16_t{64};
    for (std::uint16_t column = 0; column < columns; ++column)
        for (std::uint8_t code = 0; code < kTypeCodes; ++code)
            (void)render_value(row.cell(column, static_cast<TypeCode>(code)), static_cast<TypeCode>(code), TypeCode::Text, {}, sink);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
    std::size_t written = 0;
    const Sink sink{&written, count};
    if (const auto frame = FrameView::parse(bytes)) {
        frame->for_each_record([&](const RecordView& record) {
            if (const auto row = record.new_row()) read_row(*row, sink);
            if (const auto row = record.old_row()) read_row(*row, sink);
            (void)record.message();
            return true;
        });
    }
    if (const auto row = RowView::parse(bytes)) read_row(*row, sink);
    if (const auto schema = SchemaView::parse(bytes))
        schema->for_each_column([&](std::uint16_t, const ColumnView& column) { render_string(column.name, sink); });
    (void)render_jsonb(bytes, sink);
    (void)render_numeric(bytes, sink);
    (void)decode_control(bytes);
    (void)decode_publication(bytes);
    return 0;
}
