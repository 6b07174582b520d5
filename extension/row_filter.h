// The row filters of the publications: which changes of a table pass, and as what.
#pragma once

#include <cstdint>

#include "extension/server.h"
#include "extension/values.h"

namespace fatwal::plugin {

// What a publication publishes by itself, and filters.
enum FilteredAction : std::uint8_t {
    kFilteredInsert,
    kFilteredUpdate,
    kFilteredDelete,
    kFilteredActions
};

struct RowFilter {
    ExprState* expression[kFilteredActions];  // nullptr: all rows pass
    EState* state;
    TupleTableSlot* slot;  // a row as the filters know it: of the relation that is shown
    int* attribute;  // of each of its columns the index in the relation that the tuples are of; -1
                     // dropped
};

// `filters`: for each action the stored expressions, any of which is to hold; NIL none. `relation`
// is the one that the tuples are of, `shown` the one that the filters are of. What is made lasts as
// long as `context`.
RowFilter compile_row_filter(List* const filters[kFilteredActions], Relation relation,
                             Relation shown, MemoryContext context);

// Whether the change passes. An update that brings a row into what is published becomes an insert,
// one that takes it out a delete. TOAST of the new row that the update left alone is filled from
// the old one, where that was logged.
bool passes_filter(const RowFilter& filter, ReorderBufferChangeType* action, Values* newer,
                   const Values& old);

}  // namespace fatwal::plugin
