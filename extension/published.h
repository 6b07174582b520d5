// What the publications say of a relation.
#pragma once

#include "row_filter.h"
#include "server.h"

namespace fatwal {

struct Published {
    bool insert, update, remove, truncate;
    Oid as_relation;  // the relation itself, or the ancestor it is published as

    [[nodiscard]] bool any() const { return insert || update || remove || truncate; }
};

// What of the relation's columns and rows is published, by the names of the relation it is published as. Held by the current context.
struct Selection {
    Bitmapset* columns;               // attribute numbers; nullptr all
    const char* publication;          // one whose list that is
    List* filters[kFilteredActions];  // stored expressions, any of which is to hold; NIL: all rows
    List* row_filters;                // the same of the rows that are there, whatever brings them
};

// Looks `relation` up in the publications `names` as of the historic snapshot. Column lists that differ are refused with an error.
Published look_up_published(Relation relation, List* names, Selection* selection);

// A column list without the account column: the rows could not be routed.
[[noreturn]] void refuse_list_without_account(const Selection& selection, Relation shown, AttrNumber account_attribute);

}  // namespace fatwal
