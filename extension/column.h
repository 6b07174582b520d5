// How a column of a table goes to the wire: decided once for each version of the table, used for
// every row.
#pragma once

#include "extension/memory.h"
#include "extension/server.h"
#include "fatwal/wire/types.h"

namespace fatwal::plugin {

// How the server holds a value and how it is written.
struct ValueType {
    wire::TypeCode code;
    bool by_value;
    char align;
    int16 length;     // as attlen: -1 varlena, -2 cstring
    FmgrInfo output;  // of TypeCode::Other
};

struct Column {
    int attribute;  // index in the relation that the tuples are of
    int shown;      // index in the relation that it is published as
    ValueType type;
    ValueType element;  // of TypeCode::Array
    bool identity;
    bool unavailable;  // virtual: never in a tuple
};

// The type of `type_oid` below its domains. `context` is where output functions are looked up to
// last.
struct ResolvedType {
    Oid base;     // below the domains
    Oid element;  // below the domains, of an array; else InvalidOid
    ValueType type;
    ValueType element_type;
};
// An enum travels by its labels' oids as long as the schema message, which lists the labels, stays
// within bounds; `label_bytes` counts them over the columns of a table. Beyond, it travels as text.
ResolvedType resolve_type(Oid type_oid, MemoryContext context, std::size_t* label_bytes);

// Writes the value at `slot_at`, its variable part at the end. False when it does not fit below the
// limit; then what it has written behind the end is the caller's to cut off. What counts is the
// encoded form, for it may be many times the stored one: a bool in an array has a slot of 8 bytes,
// a bit of a bit string is a character. A value of a variable type is detoasted in the current
// context. Never for a null or an on-disk TOAST pointer.
[[nodiscard]] bool encode_value(const Target& target, std::size_t slot_at, Datum value,
                                const ValueType& type, const ValueType& element);

// Whether two values, both there, are the same to the byte.
bool same_value(Datum a, Datum b, const ValueType& type);

}  // namespace fatwal::plugin
