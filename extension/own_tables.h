// The extension's own tables, and what the stream has of them.
//
// fatwal.subscriber, fatwal.slot and fatwal.publication_state are fatwald's notes: they are never
// sent. fatwal.credential and fatwal.credential_grant say who may read the stream: they are always
// sent, whole and to the operators, whatever the publications, their row filters and column lists
// say. fatwald follows them in its own stream, so a revocation stands in order with the changes
// that it forbids.
//
// A table is one of them by its name, its schema and its membership in the extension, all in the
// snapshot in use. A table named alike elsewhere, or made after DROP EXTENSION, is a table like any
// other.
#pragma once

#include "extension/server.h"

namespace fatwal::plugin {

inline constexpr char kExtension[] = "fatwal";  // its schema's name too: fatwal.control
inline constexpr const char* kNotes[] = {"subscriber", "slot", "publication_state"};
inline constexpr const char* kCredentials[] = {"credential", "credential_grant"};

enum class OwnTable { None, Notes, Credentials };

// Asks the catalogs only for a relation that has the name of an own table.
OwnTable own_table_of(Relation relation);

}  // namespace fatwal::plugin
