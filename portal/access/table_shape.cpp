#include "portal/access/table_shape.h"

#include <algorithm>

#include "fatwal/client/typed.h"

namespace fatwal::access {

bool TableShape::holds_in(const TableShape& later) const {
    if (deleted_at.has_value() != later.deleted_at.has_value()) return false;
    return std::all_of(columns.begin(), columns.end(), [&](const Column& column) {
        return std::find(later.columns.begin(), later.columns.end(), column) != later.columns.end();
    });
}

bool KnownShapes::accept(const std::shared_ptr<const TableShape>& shape, bool is_unreadable) {
    if (!shape) return true;
    Known& known = known_[shape->table];
    if (known.shape != shape) {
        const bool is_same = known.shape && *known.shape == *shape;
        // Of rows that were left out it is not known what they say now.
        if (known.shape && !is_same && (known.is_unreadable || !known.shape->holds_in(*shape)))
            return false;
        known.shape = shape;
        if (!is_same) known.is_unreadable = false;
    }
    if (is_unreadable) known.is_unreadable = true;
    return true;
}

std::shared_ptr<const TableShape> shape_of(const client::Schema& schema) {
    thread_local client::typed::ByDescriptor<std::shared_ptr<const TableShape>> shapes;
    return shapes.of(schema, [](const client::Schema& version) {
        auto out = std::make_shared<TableShape>();
        out->table = version.table();
        for (const wire::ColumnView& column : version.columns())
            out->columns.push_back(
                {std::string(column.name), column.attribute_number, column.code, column.element});
        out->deleted_at = version.find("deleted_at");
        return std::shared_ptr<const TableShape>(std::move(out));
    });
}

}  // namespace fatwal::access
