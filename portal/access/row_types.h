// The tables by which access is decided, as a list of types.
//
// The list is portal::AnyRow, which `fatwal codegen` writes from the publication. All that is done
// to each table goes over it: names, storage, indexes, what a change concerns. So a table that
// joins the publication does not compile before it has a Storage (here, if its key is not `id`) and
// Traits (portal/access/table_traits.h).
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "portal/access/basics.h"
#include "portal/access/conditions.h"
#include "portal/rows/portal.h"

namespace fatwal::access {

// A row of policies with its conditions parsed.
struct Policy {
    portal::Policies row;
    Conditions conditions;
};

// By which columns a row is known, and as what it is kept.
template <class Row>
struct Storage {
    using Key = Uuid;
    using Stored = Row;
    static constexpr std::array kKeyColumns{"id"};
    [[nodiscard]] static const Key& key(const Row& row) { return row.id; }
    [[nodiscard]] static const Stored& stored(const Row& row) { return row; }
};
template <>
struct Storage<portal::Policies> {
    using Key = Uuid;
    using Stored = Policy;
    static constexpr std::array kKeyColumns{"id"};
    [[nodiscard]] static const Key& key(const portal::Policies& row) { return row.id; }
    [[nodiscard]] static Stored stored(const portal::Policies& row) {
        return {row, Conditions::parse(row.conditions)};
    }
};
template <>
struct Storage<portal::ResourceConnections> {
    using Key = std::pair<Uuid, Uuid>;
    using Stored = portal::ResourceConnections;
    static constexpr std::array kKeyColumns{"resource_id", "site_id"};
    [[nodiscard]] static Key key(const Stored& row) { return {row.resource_id, row.site_id}; }
    [[nodiscard]] static const Stored& stored(const Stored& row) { return row; }
};

template <class Rows>
struct RowTypes;
template <class... Rows>
struct RowTypes<std::variant<std::monostate, Rows...>> {
    static constexpr std::array<std::string_view, sizeof...(Rows)> kNames{Rows::kTable...};
    template <template <class> class Of>
    using Tuple = std::tuple<Of<Rows>...>;
    // Calls `visit(std::type_identity<Row>())` for each type.
    template <class Visit>
    static void for_each(Visit visit) {
        (visit(std::type_identity<Rows>()), ...);
    }
};
using DomainRows = RowTypes<portal::AnyRow>;

}  // namespace fatwal::access
