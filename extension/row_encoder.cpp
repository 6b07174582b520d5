#include "extension/row_encoder.h"

namespace fatwal::plugin {

namespace {

// Lays out a row and fills it column by column. Bitmaps stand before the slots, so which of them
// the row has is decided first: a row that turns out to need the unavailable bitmap is begun again
// with it.
class RowBuilder {
public:
    RowBuilder(Buffer& buffer, std::size_t limit, const Plan& plan, std::uint8_t flags,
               std::size_t slots)
        : buffer_(buffer), limit_(limit), flags_(flags) {
        const std::size_t words = (std::size_t{plan.columns} + 63) / 64;
        const std::size_t bitmaps =
            1 + ((flags & wire::kHasUnavailable) != 0) + ((flags & wire::kDelta) != 0);
        start_ = buffer.extend_zeroed(wire::kRowHeaderBytes + 8 * words * bitmaps + 8 * slots);
        nulls_ = start_ + wire::row_at::kNulls;
        unavailable_ = nulls_ + 8 * words;
        present_ = unavailable_ + ((flags & wire::kHasUnavailable) != 0 ? 8 * words : 0);
        next_slot_ = nulls_ + 8 * words * bitmaps;
        slots_end_ = next_slot_ + 8 * slots;
        wire::store(buffer.at(start_ + wire::row_at::kColumns), plan.columns);
    }

    void null(std::uint16_t column) {
        mark(nulls_, column);
        take_slot(column);
    }
    void unavailable(std::uint16_t column) {
        Assert((flags_ & wire::kHasUnavailable) != 0);
        mark(unavailable_, column);
        if ((flags_ & wire::kDelta) == 0) next_slot_ += 8;
    }
    // False when the value does not fit; the row is as if it had not been tried.
    [[nodiscard]] bool value(std::uint16_t column, const Column& plan, Datum datum) {
        const std::size_t before = buffer_.size();
        if (encode_value({buffer_, start_, limit_}, next_slot_, datum, plan.type, plan.element)) {
            take_slot(column);
            return true;
        }
        buffer_.truncate(before);
        wire::store(buffer_.at(next_slot_), std::uint64_t{0});
        return false;
    }
    void finish() {
        // Fewer only in a delta one of whose values did not fit.
        Assert(next_slot_ == slots_end_ ||
               ((flags_ & wire::kDelta) != 0 && next_slot_ < slots_end_));
        buffer_.pad8(start_);
        wire::store(buffer_.at(start_ + wire::row_at::kLength),
                    static_cast<std::uint32_t>(buffer_.size() - start_));
        wire::store(buffer_.at(start_ + wire::row_at::kFlags), flags_);
    }

private:
    void mark(std::size_t bitmap, std::uint16_t column) {
        std::byte* word = buffer_.at(bitmap + 8 * (column / 64U));
        wire::store(word, wire::load<std::uint64_t>(word) | std::uint64_t{1} << (column % 64U));
    }
    // The column has the next slot; in a delta a bit says so.
    void take_slot(std::uint16_t column) {
        if ((flags_ & wire::kDelta) != 0) mark(present_, column);
        next_slot_ += 8;
    }

    Buffer& buffer_;
    std::size_t limit_;
    std::uint8_t flags_;
    std::size_t start_, nulls_, unavailable_, present_, next_slot_, slots_end_;
};

// What a column of a row is on the wire.
enum class Content : std::uint8_t { Value, Unavailable, SameAsNew };

// Writes the row whose columns are as `part_of(column number)` says, their values those of
// `values_of(column)`. When a value does not fit, the row is begun again with a bitmap to mark it
// in; the columns behind it are still tried.
template <class PartOf, class ValuesOf>
void encode_row(Buffer& buffer, std::size_t limit, const Plan& plan, std::uint8_t flags,
                PartOf part_of, ValuesOf values_of) {
    std::size_t slots = (flags & wire::kDelta) != 0 ? 0 : plan.columns;
    for (std::uint16_t c = 0; c < plan.columns; ++c) {
        const Content part = part_of(c);
        if (part == Content::Unavailable) flags |= wire::kHasUnavailable;
        if (part == Content::Value && (flags & wire::kDelta) != 0) ++slots;
    }
    const std::size_t start = buffer.size();
    for (;;) {
        bool all_fit = true;
        RowBuilder row(buffer, limit, plan, flags, slots);
        for (std::uint16_t c = 0; c < plan.columns && all_fit; ++c) {
            const Content part = part_of(c);
            if (part == Content::SameAsNew) continue;
            if (part == Content::Unavailable) {
                row.unavailable(c);
                continue;
            }
            const Column& column = plan.column[c];
            const Values& values = values_of(column);
            if (values.null[column.attribute]) {
                row.null(c);
            } else if (!row.value(c, column, values.value[column.attribute])) {
                all_fit = (flags & wire::kHasUnavailable) != 0;
                if (all_fit) row.unavailable(c);
            }
        }
        if (all_fit) {
            row.finish();
            return;
        }
        buffer.truncate(start);
        flags |= wire::kHasUnavailable;
    }
}

// Where the column's value in the new row is: in the new tuple, in the old one (TOAST left alone),
// or nowhere.
const Values* source_of(const Column& column, const Values& newer, const Values& old) {
    if (column.unavailable) return nullptr;
    if (!newer.is_unlogged_toast(column)) return &newer;
    return old.present() && !old.is_unlogged_toast(column) ? &old : nullptr;
}

bool known_of_old(const Plan& plan, const Column& column, const Values& old) {
    return !column.unavailable && (plan.full_identity() || column.identity) && old.present() &&
           !old.is_unlogged_toast(column);
}

}  // namespace

void encode_new_row(Buffer& buffer, std::size_t limit, const Plan& plan, const Values& newer,
                    const Values& old) {
    encode_row(
        buffer, limit, plan, 0,
        [&](std::uint16_t c) {
            return source_of(plan.column[c], newer, old) == nullptr ? Content::Unavailable
                                                                    : Content::Value;
        },
        [&](const Column& column) -> const Values& { return *source_of(column, newer, old); });
}

void encode_old_row(Buffer& buffer, std::size_t limit, const Plan& plan, const Values& old) {
    encode_row(
        buffer, limit, plan, 0,
        [&](std::uint16_t c) {
            return known_of_old(plan, plan.column[c], old) ? Content::Value : Content::Unavailable;
        },
        [&](const Column&) -> const Values& { return old; });
}

namespace {

// What the delta has to say of a column, by the first line that fits:
//
//   the column is virtual                                            Unavailable
//   unlogged TOAST in the new tuple, FULL                            SameAsNew   new was filled
//   from old unlogged TOAST in the new tuple, another identity                Unavailable neither
//   tuple has it no old tuple, a column of the identity                           SameAsNew   else
//   it were logged no old tuple, another column                                     Unavailable an
//   old tuple that does not have the column                       Unavailable an old tuple that has
//   it, with the value of the new one          SameAsNew an old tuple that has it, with another
//   value                     Value
Content delta_part(const Plan& plan, const Column& column, const Values& newer, const Values& old) {
    const int a = column.attribute;
    if (column.unavailable) return Content::Unavailable;
    if (newer.is_unlogged_toast(column))
        return old.present() && plan.full_identity() ? Content::SameAsNew : Content::Unavailable;
    if (!old.present()) return column.identity ? Content::SameAsNew : Content::Unavailable;
    if (!known_of_old(plan, column, old)) return Content::Unavailable;
    const bool same = old.null[a] == newer.null[a] &&
                      (old.null[a] || same_value(old.value[a], newer.value[a], column.type));
    return same ? Content::SameAsNew : Content::Value;
}

}  // namespace

void encode_old_delta(Buffer& buffer, std::size_t limit, const Plan& plan, const Values& newer,
                      const Values& old) {
    static Content parts[MaxTupleAttributeNumber + 1];  // not on the stack: 1,600 of them; one
                                                        // backend decodes one change at a time
    // Decided once, as encode_row() asks several times and same_value() may detoast.
    for (std::uint16_t c = 0; c < plan.columns; ++c)
        parts[c] = delta_part(plan, plan.column[c], newer, old);
    encode_row(
        buffer, limit, plan, wire::kDelta, [](std::uint16_t c) { return parts[c]; },
        [&](const Column&) -> const Values& { return old; });
}

}  // namespace fatwal::plugin
