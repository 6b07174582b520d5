// The values of a tuple of pgoutput, in the forms of the wire.
//
// All values of a row are read before any is written, as a record cannot be taken back once a
// value of it proves to be no value of its type. What is not its own text is kept in a buffer
// (`scratch`), in the forms in which a row has them: a slot, and for a variable type its bytes.
#pragma once

#include <string_view>
#include <vector>

#include "sidecar/pgoutput/messages.h"
#include "sidecar/pgoutput/plan.h"

namespace fatwal::sidecar::pgoutput {

struct RowCell {
    enum class State : std::uint8_t { Null, Unlogged, Value, TooLarge };
    State state = State::Null;
    std::string_view text;
    std::size_t slot_at = 0;  // in the scratch
};
using Row = std::vector<RowCell>;  // by the fields of the tuple

// What wire/encoding/row_encoder.h asks for the values.
struct Values {
    const Row* row = nullptr;
    const HeapBuffer* scratch = nullptr;

    [[nodiscard]] const RowCell& at(const PlanColumn& column) const { return (*row)[column.field]; }
    [[nodiscard]] bool present() const { return row != nullptr; }
    [[nodiscard]] bool is_null(const PlanColumn& column) const {
        return at(column).state == RowCell::State::Null;
    }
    [[nodiscard]] bool is_unlogged_toast(const PlanColumn& column) const {
        return at(column).state == RowCell::State::Unlogged;
    }
    [[nodiscard]] bool put(const Target& target, std::size_t slot_at,
                           const PlanColumn& column) const;
    // The session's settings make the text of a value as exact as its bytes.
    [[nodiscard]] bool same(const Values& other, const PlanColumn& column) const {
        return at(column).text == other.at(column).text;
    }
};

// Reads a field of a tuple into its cell. False when the text does not read as the type.
[[nodiscard]] bool read_cell(RowCell& cell, const Field& field, const TextType& type,
                             HeapBuffer& scratch);

// The account that a row names; the operators' when it names none.
[[nodiscard]] wire::AccountView account_of(const Plan& plan, const Values& values,
                                           wire::AccountBuffer& buffer);
// The text of the account column, if the row has it.
[[nodiscard]] std::optional<std::string_view> account_text(const Plan& plan, const Values& values);

}  // namespace fatwal::sidecar::pgoutput
