#include "fatwal/wire/row.h"

namespace fatwal::wire {

namespace {

// The value of a slot of a row or of an array, `owner`, whose offsets count from its start. What
// the slot of a type of a later release means is not known, so nothing of it is read.
Cell value_of(Bytes owner, std::size_t slot_at, TypeCode code) noexcept {
    if (!is_known(code)) return {Cell::State::Unavailable, 0, {}};
    const auto slot = load<std::uint64_t>(owner.data() + slot_at);
    if (is_fixed(code)) return {Cell::State::Value, slot, {}};
    const std::uint64_t offset = slot & 0xFFFF'FFFFU;
    const std::uint64_t length = slot >> 32U;
    if (offset > owner.size() || length > owner.size() - offset) return {};
    return {Cell::State::Value, slot, owner.subspan(offset, length)};
}

}  // namespace

std::optional<RowView> RowView::parse(Bytes bytes) noexcept {
    if (bytes.size() < kRowHeaderBytes) return std::nullopt;
    const auto length = load<std::uint32_t>(bytes.data() + row_at::kLength);
    if (length > bytes.size() || length < kRowHeaderBytes || length % 8 != 0) return std::nullopt;

    RowView row;
    row.bytes_ = bytes.first(length);
    row.columns_ = load<std::uint16_t>(bytes.data() + row_at::kColumns);
    const auto flags = load<std::uint8_t>(bytes.data() + row_at::kFlags);
    const std::uint32_t words = (row.columns_ + 63U) / 64U;
    std::uint32_t at = row_at::kNulls + 8 * words;
    if ((flags & kHasUnavailable) != 0) {
        row.unavailable_ = at;
        at += 8 * words;
    }
    if ((flags & kDelta) != 0) {
        row.present_ = at;
        at += 8 * words;
    }
    row.slots_ = at;
    if (at > length) return std::nullopt;
    const std::size_t slots = row.slot_index(row.columns_);
    if (slots > (length - at) / 8) return std::nullopt;
    return row;
}

// A delta has slots for its present columns only: the bits before the column's count them.
std::size_t RowView::slot_index(std::uint16_t column) const noexcept {
    if (present_ == 0) return column;
    std::size_t before = 0;
    for (std::size_t word = 0; word < column / 64U; ++word)
        before += static_cast<std::size_t>(
            std::popcount(load<std::uint64_t>(bytes_.data() + present_ + 8 * word)));
    if (column % 64U != 0) {
        const auto word = load<std::uint64_t>(bytes_.data() + present_ + 8 * (column / 64U));
        before += static_cast<std::size_t>(
            std::popcount(word & ((std::uint64_t{1} << (column % 64U)) - 1)));
    }
    return before;
}

Cell RowView::cell(std::uint16_t column, TypeCode code) const noexcept {
    if (column >= columns_ || !is_present(column)) return {};
    if (is_unavailable(column)) return {Cell::State::Unavailable, 0, {}};
    if (is_null(column)) return {Cell::State::Null, 0, {}};
    return value_of(bytes_, slots_ + 8 * slot_index(column), code);
}

// The three steps of "Delta" in docs/wire-format.md: cell() of the delta itself knows its
// unavailable columns, so a present one needs no other look.
Cell OldRowView::cell(std::uint16_t column, TypeCode code) const noexcept {
    if (column >= old_.columns()) return {};
    if (!old_.is_delta() || old_.is_present(column)) return old_.cell(column, code);
    if (old_.is_unavailable(column)) return {Cell::State::Unavailable, 0, {}};
    return newer_ ? newer_->cell(column, code) : Cell{};
}

std::optional<ArrayView> ArrayView::parse(Bytes bytes) noexcept {
    if (bytes.size() < 8) return std::nullopt;
    ArrayView array;
    array.bytes_ = bytes;
    array.dimensions_ = load<std::uint32_t>(bytes.data());
    array.size_ = load<std::uint32_t>(bytes.data() + 4);
    if (array.dimensions_ > kMaxDimensions || bytes.size() < 8 + 8 * std::size_t{array.dimensions_})
        return std::nullopt;

    // The product of up to six lengths stays below 2^64, as it is checked against the bytes each
    // time.
    std::uint64_t product = array.dimensions_ == 0 ? 0 : 1;
    for (std::uint32_t d = 0; d < array.dimensions_; ++d) {
        const std::int32_t length = array.length(d);
        if (length <= 0) return std::nullopt;
        product *= static_cast<std::uint32_t>(length);
        if (product > bytes.size()) return std::nullopt;
    }
    if (product != array.size_) return std::nullopt;

    array.nulls_ = 8 + 8 * std::size_t{array.dimensions_};
    array.slots_ = array.nulls_ + 8 * ((std::size_t{array.size_} + 63) / 64);
    if (array.slots_ > bytes.size() || array.size_ > (bytes.size() - array.slots_) / 8)
        return std::nullopt;
    return array;
}

Cell ArrayView::element(std::uint32_t index, TypeCode code) const noexcept {
    if (index >= size_) return {};
    const auto word = load<std::uint64_t>(bytes_.data() + nulls_ + 8 * (index / 64U));
    if ((word >> (index % 64U) & 1U) != 0) return {Cell::State::Null, 0, {}};
    return value_of(bytes_, slots_ + 8 * std::size_t{index}, code);
}

}  // namespace fatwal::wire
