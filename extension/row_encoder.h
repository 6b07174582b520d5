// Encodes tuples as the rows of a record ("Row" in docs/wire-format.md).
//
// What the server gives of an update depends on the replica identity and on TOAST:
//
//     new tuple: whole, but a value in TOAST that the update left alone is only a pointer into the
//                TOAST table, which must not be followed (the table may be gone, or newer)
//     old tuple: FULL: whole, with that TOAST. DEFAULT or INDEX: the identity's columns, and only
//     if
//                one of them has changed. Otherwise none.
//
// So the new row takes such TOAST from the old tuple where that has it, and the old row is a delta
// against the new row: a column is the same as there, has a value of its own, or is unavailable.
// Which of them says delta_part() in row_encoder.cpp, a decision table.
//
// A row is laid out before it is filled: header, bitmaps, slots, then values at the end. Whether it
// has the unavailable bitmap is known only when all values have been tried, since a value may not
// fit; then the row is begun again with the bitmap, once.
#pragma once

#include "extension/buffer.h"
#include "extension/plan.h"
#include "extension/server.h"
#include "extension/values.h"

namespace fatwal::plugin {

// A record is one piece of a frame, and a frame is one CopyData, which Postgres bounds at 1 GB. A
// value whose encoded form would take the record, new row and old together, past this is left out
// and marked unavailable: an error would stop the stream for everyone, for good.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{900} * 1024 * 1024;

// `limit`: the size that `buffer` is not to pass.
// The new row whole. `old` is the whole old row under REPLICA IDENTITY FULL, else not present; it
// fills unlogged TOAST.
void encode_new_row(Buffer& buffer, std::size_t limit, const Plan& plan, const Values& newer,
                    const Values& old);

// The old row of a delete, or of an update that moves the row: only the identity's columns are
// known unless the identity is FULL. With no `old` at all every column is unavailable.
void encode_old_row(Buffer& buffer, std::size_t limit, const Plan& plan, const Values& old);

// The old row of an update as a delta against the new row. No `old`: the identity did not change
// and was not logged.
void encode_old_delta(Buffer& buffer, std::size_t limit, const Plan& plan, const Values& newer,
                      const Values& old);

}  // namespace fatwal::plugin
