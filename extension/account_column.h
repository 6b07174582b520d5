// Which column of a table names its account: a row of fatwal.account_column, else the column account_id.
#pragma once

#include "server.h"

namespace fatwal {

// The attribute number of the account column of `relation` in the snapshot in use; InvalidAttrNumber when it has none.
AttrNumber account_attribute_of(Relation relation);

// Whether the relation is one of the extension's own tables, which are nobody's business.
bool is_own_relation(Relation relation);

}  // namespace fatwal
