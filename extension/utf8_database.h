// The format's text is UTF-8, as the database holds it: nothing is converted.
#pragma once

#include "extension/server.h"

namespace fatwal::plugin {

// Raises an error in a database of any other encoding. Call it before anything outlasts the
// transaction: a slot that nobody can read keeps the log for ever.
inline void require_utf8_database() {
    if (GetDatabaseEncoding() == PG_UTF8) return;
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("database encoding \"%s\" is not supported", GetDatabaseEncodingName()),
                    errhint("Use a database whose encoding is UTF8: CREATE DATABASE ... ENCODING "
                            "'UTF8' TEMPLATE template0;")));
}

}  // namespace fatwal::plugin
