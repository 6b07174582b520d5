// The values of a tuple, by the attributes of its relation.
#pragma once

#include "extension/column.h"
#include "extension/server.h"

namespace fatwal::plugin {

// A tuple taken apart: one entry for each attribute of the relation it came from. The row encoder
// (wire/encoding/row_encoder.h) asks it for the values.
struct Values {
    Datum* value;
    bool* null;
    bool readable;  // whether its TOAST may be fetched: of a snapshot, not of the log

    [[nodiscard]] bool present() const { return value != nullptr; }
    [[nodiscard]] bool is_null(const Column& column) const { return null[column.attribute]; }
    // A value that an update left alone in its TOAST table: it must not be fetched, for the table
    // may be gone or newer.
    [[nodiscard]] bool is_unlogged_toast(const Column& column) const {
        return !readable && column.type.length == -1 && !null[column.attribute] &&
               VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value[column.attribute]));
    }
    [[nodiscard]] bool put(const Target& target, std::size_t slot_at, const Column& column) const {
        return encode_value(target, slot_at, value[column.attribute], column.type, column.element);
    }
    [[nodiscard]] bool same(const Values& other, const Column& column) const {
        return same_value(value[column.attribute], other.value[column.attribute], column.type);
    }
};

// Takes a tuple apart into arrays of the current context; not present when there is no tuple.
Values deform(HeapTuple tuple, TupleDesc columns);

}  // namespace fatwal::plugin
