// The columns of one version of a table, parsed once and shared by all rows of it.
//
//     const auto at = row.schema().find("expires_at");   // once for each schema, by schema().id()
//     if (at) row.time(*at);                              // then by index: no look-up by name
//
// Immutable, so it may be used from any thread; rows point to it, and the events that they are of
// keep it alive.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fatwal/wire/schema.h"

namespace fatwal::client {

class Schema {
public:
    // Nothing when the message is malformed.
    static std::shared_ptr<const Schema> parse(std::string message);

    Schema(const Schema&) = delete;
    Schema& operator=(const Schema&) = delete;

    [[nodiscard]] wire::SchemaId id() const { return view_->id(); }
    [[nodiscard]] std::string_view schema() const { return view_->schema(); }
    [[nodiscard]] std::string_view table() const { return view_->table(); }
    [[nodiscard]] const std::vector<wire::ColumnView>& columns() const { return columns_; }
    // The index of the column of this name.
    [[nodiscard]] std::optional<std::uint16_t> find(std::string_view column) const;
    [[nodiscard]] const wire::SchemaView& view() const { return *view_; }

private:
    Schema() = default;

    std::string message_;  // what the views point into
    std::optional<wire::SchemaView> view_;
    std::vector<wire::ColumnView> columns_;
    std::unordered_map<std::string_view, std::uint16_t> by_name_;
};

}  // namespace fatwal::client
