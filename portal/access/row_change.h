// Changes of typed rows, as the account's state takes them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fatwal/client/events.h"
#include "portal/access/basics.h"
#include "portal/access/table_shape.h"
#include "portal/rows/portal.h"

namespace fatwal::access {

// A row that cannot be understood.
struct BadRow {
    std::string table;
    std::optional<Uuid>
        id;  // its key, as far as it can be read; of resource_connections the resource
    std::optional<Uuid> site;  // of resource_connections
    std::string reason;
    bool of_schema = false;  // the table lacks a column, or has it with another type: no row of it
                             // can be read
    bool is_gone = false;    // it was deleted, or has another key now; else it is there
};

// A row as it was and as it is. before alone: a delete; after alone: an insert, or a row of a
// snapshot; both: an update. A row whose table has a column deleted_at, and a value in it, is not
// there: to set it is a delete, to take it back an insert.
struct RowChange {
    portal::AnyRow before;  // std::monostate: none
    portal::AnyRow after;
    std::optional<BadRow> bad;  // instead of `after`, or of both
    // Not a row: why nothing that is known of the account holds any more. Then the state is
    // quarantined until a new snapshot.
    std::string voided_by;
    std::shared_ptr<const TableShape> shape;  // of the table; null: nothing is known of it
};

// The domain's tables, in schema public.
[[nodiscard]] std::span<const std::string_view> published_tables();

// The typed rows of a change, behind `out`: mostly one, two when a row that cannot be read has
// taken another's place. Rows of other tables are counted in `unknown`, messages are left out.
// Everything known is voided by a truncate, by a resync record of a table of the domain or of all
// tables, and by a change of a table whose schema says that its old rows are not whole: then a
// DELETE does not arrive, and what it revoked would stay granted.
void typed_change(const client::Change& change, std::vector<RowChange>& out, std::size_t& unknown);

// Those of a whole transaction, in their order.
[[nodiscard]] std::vector<RowChange> typed_changes(const client::Transaction& transaction,
                                                   std::size_t* unknown = nullptr);

// A row of a snapshot, voided if the rows that follow it in the stream would not be whole; nothing
// for one of a table that the domain does not use.
[[nodiscard]] std::optional<RowChange> typed_row(const client::Row& row);

}  // namespace fatwal::access
