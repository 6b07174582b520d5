// Zero-copy views of rows ("Row" in docs/wire-format.md). Every access is checked against the row's
// bytes; nothing is allocated.
//
//     const Cell cell = row.cell(index, column.code);      // with the ColumnView of the schema
//     switch (cell.state) {
//         case Cell::State::Value: …                       // slot, or bytes of a variable type
//         case Cell::State::Null: case Cell::State::Unavailable: case Cell::State::Malformed: …
//     }
//
// Cost: a cell of a row is two loads, one of a delta counts the bits before it. parse() checks the
// fixed part only, so a row that nobody reads costs nothing. Views are values that live as long as
// their bytes, from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "fatwal/wire/bytes.h"
#include "fatwal/wire/types.h"

namespace fatwal::wire {

// One column of a row, or one element of an array. Valid as long as the buffer it was read from.
struct Cell {
    // Unavailable: the server did not log the value, or its type is of a later release.
    enum class State : std::uint8_t { Value, Null, Unavailable, Malformed };

    State state = State::Malformed;
    std::uint64_t slot = 0;  // the value of a fixed type
    Bytes bytes;             // the value of a variable type

    [[nodiscard]] bool has_value() const noexcept { return state == State::Value; }
};

// A row, or the delta of an old row. See "Row" in docs/wire-format.md.
class RowView {
public:
    // A row at the start of `bytes`; nothing when its header, bitmaps or slots leave `bytes`. What
    // follows the row is ignored.
    [[nodiscard]] static std::optional<RowView> parse(Bytes bytes) noexcept;

    [[nodiscard]] std::uint16_t columns() const noexcept { return columns_; }
    [[nodiscard]] std::size_t length() const noexcept { return bytes_.size(); }
    [[nodiscard]] bool is_delta() const noexcept { return present_ != 0; }

    // The cell of `column`, whose type is fixed or variable as is_fixed() of its code says.
    // Malformed when the column or its bytes are outside the row. In a delta use OldRowView.
    [[nodiscard]] Cell cell(std::uint16_t column, TypeCode code) const noexcept;

    [[nodiscard]] bool is_null(std::uint16_t column) const noexcept {
        return bit(row_at::kNulls, column);
    }
    [[nodiscard]] bool is_unavailable(std::uint16_t column) const noexcept {
        return unavailable_ != 0 && bit(unavailable_, column);
    }
    // Whether a delta itself says something of the column.
    [[nodiscard]] bool is_present(std::uint16_t column) const noexcept {
        return present_ == 0 || bit(present_, column);
    }

private:
    [[nodiscard]] bool bit(std::size_t bitmap, std::uint16_t column) const noexcept {
        return (load<std::uint64_t>(bytes_.data() + bitmap + 8 * (column / 64U)) >> (column % 64U) &
                1U) != 0;
    }
    [[nodiscard]] std::size_t slot_index(std::uint16_t column) const noexcept;

    Bytes bytes_;
    std::uint16_t columns_ = 0;
    std::uint32_t unavailable_ = 0;  // offsets of the bitmaps; 0: the row has none
    std::uint32_t present_ = 0;
    std::uint32_t slots_ = 0;
};

// Reads the old row whole: its delta over the new row, or the old row itself (of a delete).
class OldRowView {
public:
    explicit OldRowView(RowView whole) noexcept : old_(whole) {}
    OldRowView(RowView delta, RowView newer) noexcept : old_(delta), newer_(newer) {}

    [[nodiscard]] std::uint16_t columns() const noexcept { return old_.columns(); }
    [[nodiscard]] Cell cell(std::uint16_t column, TypeCode code) const noexcept;
    // Whether the update gave the column another value; false for one that is unavailable.
    [[nodiscard]] bool differs(std::uint16_t column) const noexcept {
        return column < old_.columns() && old_.is_delta() && old_.is_present(column);
    }

private:
    RowView old_;
    std::optional<RowView> newer_;
};

// The value of an array column.
class ArrayView {
public:
    static constexpr std::uint32_t kMaxDimensions = 6;

    [[nodiscard]] static std::optional<ArrayView> parse(Bytes bytes) noexcept;

    [[nodiscard]] std::uint32_t dimensions() const noexcept { return dimensions_; }
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    [[nodiscard]] std::int32_t length(std::uint32_t dimension) const noexcept {
        return load<std::int32_t>(bytes_.data() + 8 + 8 * dimension);
    }
    [[nodiscard]] std::int32_t lower_bound(std::uint32_t dimension) const noexcept {
        return load<std::int32_t>(bytes_.data() + 12 + 8 * dimension);
    }
    [[nodiscard]] Cell element(std::uint32_t index, TypeCode code) const noexcept;

private:
    Bytes bytes_;
    std::uint32_t dimensions_ = 0;
    std::uint32_t size_ = 0;
    std::size_t nulls_ = 0;
    std::size_t slots_ = 0;
};

}  // namespace fatwal::wire
