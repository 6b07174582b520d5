// Which column of a table names its account.
//
// The setting is a security label on the column: SECURITY LABEL FOR fatwal ON COLUMN t.owner IS
// 'account'. Labels live in pg_seclabel, a catalog of the server's own, and that is why: decoding
// reads them as of each change, through REINDEX and VACUUM FULL, after DROP EXTENSION, and nobody
// can truncate them. A label follows the column when it is renamed, goes with the table, and
// pg_dump writes it. A table without a label has its account in the column account_id, if it has
// one. A partition without a label of its own has the column that its nearest labelled ancestor
// names.
#pragma once

#include "extension/server.h"

namespace fatwal::plugin {

// The attribute number of the account column of `relation` in the snapshot in use;
// InvalidAttrNumber when it has none. The extension's own tables have none, whatever label is set.
AttrNumber account_attribute_of(Relation relation);

// Makes the server accept our labels; called once, when the library is loaded.
void register_account_labels();

}  // namespace fatwal::plugin
