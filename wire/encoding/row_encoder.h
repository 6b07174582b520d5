// Encodes the rows of a record ("Row" in docs/wire-format.md), wherever their values come from: the
// server's tuples in the plugin, the text of pgoutput in fatwald.
//
// What the server gives of an update depends on the replica identity and on TOAST:
//
//     new row: whole, but a value in TOAST that the update left alone is not logged (the plugin
//              sees a pointer into the TOAST table, which must not be followed: the table may be
//              gone, or newer)
//     old row: FULL: whole, with that TOAST. DEFAULT or INDEX: the identity's columns, and only if
//              one of them has changed. Otherwise none.
//
// So the new row takes such TOAST from the old row where that has it, and the old row is a delta
// against the new row: a column is the same as there, has a value of its own, or is unavailable.
// Which of them says delta_part(), a decision table.
//
// A row is laid out before it is filled: header, bitmaps, slots, then values at the end. Whether it
// has the unavailable bitmap is known only when all values have been tried, since a value may not
// fit; then the row is begun again with the bitmap, once.
//
// The functions are templates, so that asking for a value costs no call that cannot be inlined.
// A Plan has
//     std::uint16_t columns, at most kMaxColumns; Column* column
//     bool full_identity() const
// a Column at least `identity` and `unavailable` (no change ever has its value), and Values
//     bool present() const                                 whether there is such a row at all
//     bool is_null(const Column&) const
//     bool is_unlogged_toast(const Column&) const          an update left it alone in its TOAST
//     bool put(const Target<…>&, slot_at, const Column&) const    writes a value; false: no room
//     bool same(const Values&, const Column&) const        of two that are both not null
// put() is never asked for a null or an unlogged value.
#pragma once

#include "fatwal/wire/types.h"
#include "wire/encoding/buffer.h"

namespace fatwal::wire {

// A record is one piece of a frame, and a frame is one CopyData, which Postgres bounds at 1 GB. A
// value whose encoded form would take the record, new row and old together, past this is left out
// and marked unavailable: an error would stop the stream for everyone, for good.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{900} * 1024 * 1024;

// Postgres's own bound (MaxTupleAttributeNumber) is 1,664.
inline constexpr std::uint16_t kMaxColumns = 1664;

// Where a row's values are written: into `buffer`, with offsets that count from `origin`, and never
// past `limit`.
template <class Memory>
struct Target {
    Buffer<Memory>& buffer;
    std::size_t origin;
    std::size_t limit;

    [[nodiscard]] bool has_room(std::size_t bytes) const {
        return buffer.size() <= limit && bytes <= limit - buffer.size();
    }
    // Writes a value of a variable type, and its place into the slot. False when it does not fit.
    [[nodiscard]] bool put_variable(std::size_t slot_at, const void* value,
                                    std::size_t length) const {
        if (!has_room(length)) return false;
        const std::size_t start = buffer.size();
        buffer.append(value, length);
        close_variable(slot_at, start);
        return true;
    }
    // The slot of a value of a variable type that begins at `start` and ends the buffer.
    void close_variable(std::size_t slot_at, std::size_t start) const {
        store(buffer.at(slot_at), static_cast<std::uint64_t>(start - origin) |
                                      static_cast<std::uint64_t>(buffer.size() - start) << 32U);
    }
};

// Lays out a row and fills it column by column. Bitmaps stand before the slots, so which of them
// the row has is decided first: a row that turns out to need the unavailable bitmap is begun again
// with it.
template <class Memory>
class RowBuilder {
public:
    RowBuilder(Buffer<Memory>& buffer, std::size_t limit, std::uint16_t columns, std::uint8_t flags,
               std::size_t slots)
        : buffer_(buffer), limit_(limit), flags_(flags) {
        const std::size_t words = (std::size_t{columns} + 63) / 64;
        const std::size_t bitmaps = 1 + ((flags & kHasUnavailable) != 0) + ((flags & kDelta) != 0);
        start_ = buffer.extend_zeroed(kRowHeaderBytes + 8 * words * bitmaps + 8 * slots);
        nulls_ = start_ + row_at::kNulls;
        unavailable_ = nulls_ + 8 * words;
        present_ = unavailable_ + ((flags & kHasUnavailable) != 0 ? 8 * words : 0);
        next_slot_ = nulls_ + 8 * words * bitmaps;
        slots_end_ = next_slot_ + 8 * slots;
        store(buffer.at(start_ + row_at::kColumns), columns);
    }

    void null(std::uint16_t column) {
        mark(nulls_, column);
        take_slot(column);
    }
    void unavailable(std::uint16_t column) {
        Memory::check((flags_ & kHasUnavailable) != 0, "the row has the bitmap to mark it in");
        mark(unavailable_, column);
        if ((flags_ & kDelta) == 0) next_slot_ += 8;
    }
    // False when the value does not fit; the row is as if it had not been tried.
    template <class Column, class Values>
    [[nodiscard]] bool value(std::uint16_t number, const Column& column, const Values& values) {
        const std::size_t before = buffer_.size();
        if (values.put(Target<Memory>{buffer_, start_, limit_}, next_slot_, column)) {
            take_slot(number);
            return true;
        }
        buffer_.truncate(before);
        store(buffer_.at(next_slot_), std::uint64_t{0});
        return false;
    }
    void finish() {
        // Fewer only in a delta one of whose values did not fit.
        Memory::check(
            next_slot_ == slots_end_ || ((flags_ & kDelta) != 0 && next_slot_ < slots_end_),
            "each column has its slot");
        buffer_.pad8(start_);
        store(buffer_.at(start_ + row_at::kLength),
              static_cast<std::uint32_t>(buffer_.size() - start_));
        store(buffer_.at(start_ + row_at::kFlags), flags_);
    }

private:
    void mark(std::size_t bitmap, std::uint16_t column) {
        std::byte* word = buffer_.at(bitmap + 8 * (column / 64U));
        store(word, load<std::uint64_t>(word) | std::uint64_t{1} << (column % 64U));
    }
    // The column has the next slot; in a delta a bit says so.
    void take_slot(std::uint16_t column) {
        if ((flags_ & kDelta) != 0) mark(present_, column);
        next_slot_ += 8;
    }

    Buffer<Memory>& buffer_;
    std::size_t limit_;
    std::uint8_t flags_;
    std::size_t start_, nulls_, unavailable_, present_, next_slot_, slots_end_;
};

namespace row_encoder {

// What a column of a row is on the wire.
enum class Content : std::uint8_t { Value, Unavailable, SameAsNew };

// Writes the row whose columns are as `part_of(column number)` says, their values those of
// `values_of(column)`. When a value does not fit, the row is begun again with a bitmap to mark it
// in; the columns behind it are still tried.
template <class Memory, class Plan, class PartOf, class ValuesOf>
void encode_row(Buffer<Memory>& buffer, std::size_t limit, const Plan& plan, std::uint8_t flags,
                PartOf part_of, ValuesOf values_of) {
    std::size_t slots = (flags & kDelta) != 0 ? 0 : plan.columns;
    for (std::uint16_t c = 0; c < plan.columns; ++c) {
        const Content part = part_of(c);
        if (part == Content::Unavailable) flags |= kHasUnavailable;
        if (part == Content::Value && (flags & kDelta) != 0) ++slots;
    }
    const std::size_t start = buffer.size();
    for (;;) {
        bool all_fit = true;
        RowBuilder<Memory> row(buffer, limit, plan.columns, flags, slots);
        for (std::uint16_t c = 0; c < plan.columns && all_fit; ++c) {
            const Content part = part_of(c);
            if (part == Content::SameAsNew) continue;
            if (part == Content::Unavailable) {
                row.unavailable(c);
                continue;
            }
            const auto& column = plan.column[c];
            const auto& values = values_of(column);
            if (values.is_null(column)) {
                row.null(c);
            } else if (!row.value(c, column, values)) {
                all_fit = (flags & kHasUnavailable) != 0;
                if (all_fit) row.unavailable(c);
            }
        }
        if (all_fit) {
            row.finish();
            return;
        }
        buffer.truncate(start);
        flags |= kHasUnavailable;
    }
}

// Where the column's value in the new row is: in the new row, in the old one (TOAST left alone), or
// nowhere.
template <class Column, class Values>
const Values* source_of(const Column& column, const Values& newer, const Values& old) {
    if (column.unavailable) return nullptr;
    if (!newer.is_unlogged_toast(column)) return &newer;
    return old.present() && !old.is_unlogged_toast(column) ? &old : nullptr;
}

template <class Plan, class Column, class Values>
bool known_of_old(const Plan& plan, const Column& column, const Values& old) {
    return !column.unavailable && (plan.full_identity() || column.identity) && old.present() &&
           !old.is_unlogged_toast(column);
}

// What the delta has to say of a column, by the first line that fits:
//
//   the column is virtual                                            Unavailable
//   unlogged TOAST in the new row, FULL                              SameAsNew    new was filled
//                                                                                 from old
//   unlogged TOAST in the new row, another identity                  Unavailable  neither row has
//   it no old row, a column of the identity                             SameAsNew    else it were
//   logged no old row, another column                                       Unavailable an old row
//   that does not have the column                         Unavailable an old row that has it, with
//   the value of the new one            SameAsNew an old row that has it, with another value Value
template <class Plan, class Column, class Values>
Content delta_part(const Plan& plan, const Column& column, const Values& newer, const Values& old) {
    if (column.unavailable) return Content::Unavailable;
    if (newer.is_unlogged_toast(column))
        return old.present() && plan.full_identity() ? Content::SameAsNew : Content::Unavailable;
    if (!old.present()) return column.identity ? Content::SameAsNew : Content::Unavailable;
    if (!known_of_old(plan, column, old)) return Content::Unavailable;
    const bool is_null = old.is_null(column);
    const bool same = is_null == newer.is_null(column) && (is_null || old.same(newer, column));
    return same ? Content::SameAsNew : Content::Value;
}

}  // namespace row_encoder

// `limit`: the size that `buffer` is not to pass.
// The new row whole. `old` is the whole old row under REPLICA IDENTITY FULL, else not present; it
// fills unlogged TOAST.
template <class Memory, class Plan, class Values>
void encode_new_row(Buffer<Memory>& buffer, std::size_t limit, const Plan& plan,
                    const Values& newer, const Values& old) {
    using namespace row_encoder;
    encode_row(
        buffer, limit, plan, 0,
        [&](std::uint16_t c) {
            return source_of(plan.column[c], newer, old) == nullptr ? Content::Unavailable
                                                                    : Content::Value;
        },
        [&](const auto& column) -> const Values& { return *source_of(column, newer, old); });
}

// The old row of a delete, or of an update that moves the row: only the identity's columns are
// known unless the identity is FULL. With no `old` at all every column is unavailable.
template <class Memory, class Plan, class Values>
void encode_old_row(Buffer<Memory>& buffer, std::size_t limit, const Plan& plan,
                    const Values& old) {
    using namespace row_encoder;
    encode_row(
        buffer, limit, plan, 0,
        [&](std::uint16_t c) {
            return known_of_old(plan, plan.column[c], old) ? Content::Value : Content::Unavailable;
        },
        [&](const auto&) -> const Values& { return old; });
}

// The old row of an update as a delta against the new row. No `old`: the identity did not change
// and was not logged.
template <class Memory, class Plan, class Values>
void encode_old_delta(Buffer<Memory>& buffer, std::size_t limit, const Plan& plan,
                      const Values& newer, const Values& old) {
    using namespace row_encoder;
    // Decided once, as encode_row() asks several times and same() may detoast.
    Content parts[kMaxColumns];
    for (std::uint16_t c = 0; c < plan.columns; ++c)
        parts[c] = delta_part(plan, plan.column[c], newer, old);
    encode_row(
        buffer, limit, plan, kDelta, [&parts](std::uint16_t c) { return parts[c]; },
        [&](const auto&) -> const Values& { return old; });
}

}  // namespace fatwal::wire
