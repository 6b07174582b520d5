// Finds the rows of a statement that the database refuses, so that each of them costs itself alone.
//
// One statement does the work of many devices, of whatever tenants: one look-up, one UPDATE. The
// database carries it out or refuses it as a whole, so one row that fails (a value that a type
// cannot have, a broken reference, a trigger that raises an error) would stop the work of all, and
// would do so again at each new attempt. by_halves() splits what was refused until the row is
// alone. Of n rows one costs about 2 log2(n) statements, and none costs one.
//
// Only errors that name a fault of the rows (SqlError::of_the_rows) are searched for in this way.
// Any other error (no connection, a lock, a missing privilege) would meet each half as well: it
// leaves by_halves(), and the caller tries all of it again later.
#pragma once

#include <span>

#include "portal/process/connection.h"

namespace fatwal::process {

// Calls `work(part)` for parts that make up `items`, in order; it throws SqlError and has then done
// nothing of its part. `refused(item, error)`: for each item that fails by itself.
template <class Item, class Work, class Refused>
void by_halves(std::span<const Item> items, const Work& work, const Refused& refused) {
    if (items.empty()) return;
    try {
        return work(items);
    } catch (const SqlError& error) {
        if (!error.of_the_rows) throw;
        if (items.size() == 1) return refused(items.front(), error);
    }
    by_halves(items.first(items.size() / 2), work, refused);
    by_halves(items.subspan(items.size() / 2), work, refused);
}

}  // namespace fatwal::process
