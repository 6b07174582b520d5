// What the publications say of a relation.
#pragma once

#include "server.h"

namespace fatwal {

struct Published {
    bool insert, update, remove, truncate;
    Oid as_relation;  // the relation itself, or the ancestor it is published as

    [[nodiscard]] bool any() const { return insert || update || remove || truncate; }
};

// Looks `relation` up in the publications `names` as of the historic snapshot. A row filter or column list is refused with an error.
Published look_up_published(Relation relation, List* names);

}  // namespace fatwal
