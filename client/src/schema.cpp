#include "fatwal/client/schema.h"

namespace fatwal::client {

std::shared_ptr<const Schema> Schema::parse(std::string message) {
    std::shared_ptr<Schema> schema(new Schema);
    schema->message_ = std::move(message);
    schema->view_ = wire::SchemaView::parse(wire::as_bytes(schema->message_));
    if (!schema->view_) return nullptr;
    schema->view_->for_each_column([&](std::uint16_t index, const wire::ColumnView& column) {
        schema->columns_.push_back(column);
        schema->by_name_.emplace(column.name, index);
    });
    return schema;
}

std::optional<std::uint16_t> Schema::find(std::string_view column) const {
    const auto found = by_name_.find(column);
    if (found == by_name_.end()) return std::nullopt;
    return found->second;
}

}  // namespace fatwal::client
