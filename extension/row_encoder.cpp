#include "row_encoder.h"

namespace fatwal {

namespace {

// A record is one piece of a frame, and a frame is one CopyData, which Postgres bounds at 1 GB. What would pass this is left out and
// marked unavailable: an error would stop the stream for everyone, for good.
constexpr std::size_t kMaxRecordBytes = std::size_t{900} * 1024 * 1024;

// Lays out a row and fills it column by column. Bitmaps stand before the slots, so which of them the row has is decided first.
class RowBuilder {
public:
    RowBuilder(Buffer& buffer, const Plan& plan, std::uint8_t flags, std::size_t slots) : buffer_(buffer), flags_(flags) {
        const std::size_t words = (std::size_t{plan.columns} + 63) / 64;
        const std::size_t bitmaps = 1 + ((flags & wire::kHasUnavailable) != 0) + ((flags & wire::kDelta) != 0);
        start_ = buffer.extend_zeroed(wire::kRowHeaderBytes + 8 * words * bitmaps + 8 * slots);
        nulls_ = start_ + wire::kRowHeaderBytes;
        unavailable_ = nulls_ + 8 * words;
        present_ = unavailable_ + ((flags & wire::kHasUnavailable) != 0 ? 8 * words : 0);
        next_slot_ = nulls_ + 8 * words * bitmaps;
        wire::store(buffer.at(start_ + 4), plan.columns);
    }

    void null(std::uint16_t column) {
        mark(nulls_, column);
        take_slot(column);
    }
    void unavailable(std::uint16_t column) {
        mark(unavailable_, column);
        if ((flags_ & wire::kDelta) == 0) next_slot_ += 8;
    }
    void value(std::uint16_t column, const Column& plan, Datum datum) {
        encode_value(buffer_, start_, take_slot(column), datum, plan.type, plan.element);
    }
    void finish() {
        buffer_.pad8(start_);
        wire::store(buffer_.at(start_), static_cast<std::uint32_t>(buffer_.size() - start_));
        wire::store(buffer_.at(start_ + 6), flags_);
    }

private:
    void mark(std::size_t bitmap, std::uint16_t column) {
        std::byte* word = buffer_.at(bitmap + 8 * (column / 64U));
        wire::store(word, wire::load<std::uint64_t>(word) | std::uint64_t{1} << (column % 64U));
    }
    std::size_t take_slot(std::uint16_t column) {
        if ((flags_ & wire::kDelta) != 0) mark(present_, column);
        const std::size_t slot = next_slot_;
        next_slot_ += 8;
        return slot;
    }

    Buffer& buffer_;
    std::uint8_t flags_;
    std::size_t start_, nulls_, unavailable_, present_, next_slot_;
};

std::size_t raw_size(const Column& column, const Values& values) {
    if (column.type.length != -1 || values.null[column.attribute]) return 0;
    return toast_raw_datum_size(values.value[column.attribute]);
}

// Whether the column's value would make the record too large; counts it into `bytes` if not.
bool passes_limit(const Column& column, const Values& values, std::size_t* bytes) {
    const std::size_t size = raw_size(column, values);
    if (*bytes + size > kMaxRecordBytes) return true;
    *bytes += size;
    return false;
}

// Where the column's value in the new row is: in the new tuple, in the old one (TOAST left alone), or nowhere.
const Values* source_of(const Column& column, const Values& newer, const Values& old) {
    if (column.unavailable) return nullptr;
    if (!newer.is_unlogged_toast(column)) return &newer;
    return old.present() && !old.is_unlogged_toast(column) ? &old : nullptr;
}

bool known_of_old(const Plan& plan, const Column& column, const Values& old) {
    return !column.unavailable && (plan.full_identity() || column.identity) && old.present() && !old.is_unlogged_toast(column);
}

// Whether an old row of these sizes is near the bound, so that its columns must be counted one by one.
bool is_large(const Plan& plan, const Values& values) {
    if (!values.maybe_large) return false;
    std::size_t bytes = 0;
    for (std::uint16_t c = 0; c < plan.columns; ++c) {
        const Column& column = plan.column[c];
        if (column.type.length == -1 && !column.unavailable && !values.is_unlogged_toast(column)) bytes += raw_size(column, values);
    }
    return bytes > kMaxRecordBytes / 2;
}

}  // namespace

Values deform(HeapTuple tuple, TupleDesc columns) {
    if (tuple == nullptr) return Values{};
    Values values = {};
    const auto count = static_cast<std::size_t>(columns->natts);
    values.value = static_cast<Datum*>(palloc(sizeof(Datum) * (count + 1)));
    values.null = static_cast<bool*>(palloc(sizeof(bool) * (count + 1)));
    values.maybe_large = HeapTupleHasExternal(tuple) || tuple->t_len > kMaxRecordBytes / 4;
    heap_deform_tuple(tuple, columns, values.value, values.null);
    return values;
}

void encode_new_row(Buffer& buffer, const Plan& plan, const Values& newer, const Values& old) {
    const bool large = is_large(plan, newer);
    std::uint8_t flags = 0;
    for (std::uint16_t c = 0; c < plan.columns && flags == 0; ++c)
        if (large || source_of(plan.column[c], newer, old) == nullptr) flags = wire::kHasUnavailable;

    std::size_t bytes = 0;
    RowBuilder row(buffer, plan, flags, plan.columns);
    for (std::uint16_t c = 0; c < plan.columns; ++c) {
        const Column& column = plan.column[c];
        const Values* source = source_of(column, newer, old);
        if (source == nullptr || (large && passes_limit(column, *source, &bytes)))
            row.unavailable(c);
        else if (source->null[column.attribute])
            row.null(c);
        else
            row.value(c, column, source->value[column.attribute]);
    }
    row.finish();
}

void encode_old_row(Buffer& buffer, const Plan& plan, const Values& old) {
    const bool large = old.present() && is_large(plan, old);
    std::uint8_t flags = 0;
    for (std::uint16_t c = 0; c < plan.columns && flags == 0; ++c)
        if (large || !known_of_old(plan, plan.column[c], old)) flags = wire::kHasUnavailable;

    std::size_t bytes = 0;
    RowBuilder row(buffer, plan, flags, plan.columns);
    for (std::uint16_t c = 0; c < plan.columns; ++c) {
        const Column& column = plan.column[c];
        if (!known_of_old(plan, column, old) || (large && passes_limit(column, old, &bytes)))
            row.unavailable(c);
        else if (old.null[column.attribute])
            row.null(c);
        else
            row.value(c, column, old.value[column.attribute]);
    }
    row.finish();
}

void encode_old_delta(Buffer& buffer, const Plan& plan, const Values& newer, const Values& old) {
    enum class Old : std::uint8_t { Same, Differs, Unavailable };
    static Old states[MaxTupleAttributeNumber + 1];  // not on the stack: 1,600 of them; one backend decodes one change at a time
    const bool large = is_large(plan, newer) || (old.present() && is_large(plan, old));
    std::size_t differing = 0;
    std::size_t bytes = 0;
    std::uint8_t flags = wire::kDelta;
    for (std::uint16_t c = 0; c < plan.columns; ++c) {
        const Column& column = plan.column[c];
        const int a = column.attribute;
        states[c] = Old::Same;
        if (column.unavailable || newer.is_unlogged_toast(column)) {
            // Left alone by the update: the new row says what there is to say, if it knows the value.
            if (column.unavailable || !old.present() || !plan.full_identity()) states[c] = Old::Unavailable;
        } else if (!old.present()) {
            if (!column.identity) states[c] = Old::Unavailable;
        } else if (!known_of_old(plan, column, old)) {
            states[c] = Old::Unavailable;
        } else if (old.null[a] != newer.null[a] || (!old.null[a] && !same_value(old.value[a], newer.value[a], column.type))) {
            states[c] = large && passes_limit(column, old, &bytes) ? Old::Unavailable : Old::Differs;
        }
        // With a large row the new one may lack a value that the old one would point to.
        if (large && states[c] == Old::Same && raw_size(column, newer) > 0) states[c] = Old::Unavailable;
        if (states[c] == Old::Differs) ++differing;
        if (states[c] == Old::Unavailable) flags |= wire::kHasUnavailable;
    }
    RowBuilder row(buffer, plan, flags, differing);
    for (std::uint16_t c = 0; c < plan.columns; ++c) {
        const Column& column = plan.column[c];
        if (states[c] == Old::Unavailable)
            row.unavailable(c);
        else if (states[c] == Old::Differs && old.null[column.attribute])
            row.null(c);
        else if (states[c] == Old::Differs)
            row.value(c, column, old.value[column.attribute]);
    }
    row.finish();
}

}  // namespace fatwal
