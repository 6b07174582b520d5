#include "sidecar/pgoutput/row.h"

namespace fatwal::sidecar::pgoutput {

bool Values::put(const Target& target, std::size_t slot_at, const PlanColumn& column) const {
    const RowCell& cell = at(column);
    if (cell.state != RowCell::State::Value) return false;
    if (is_its_text(column.type.code))
        return target.put_variable(slot_at, cell.text.data(), cell.text.size());
    const std::byte* kept = scratch->bytes().data();
    const auto slot = wire::load<std::uint64_t>(kept + cell.slot_at);
    if (!wire::is_fixed(column.type.code))
        return target.put_variable(slot_at, kept + static_cast<std::uint32_t>(slot), slot >> 32U);
    wire::store(target.buffer.at(slot_at), slot);
    return true;
}

bool read_cell(RowCell& cell, const Field& field, const TextType& type, HeapBuffer& scratch) {
    cell.text = field.text;
    cell.state = field.state == Field::State::Null        ? RowCell::State::Null
                 : field.state == Field::State::Unchanged ? RowCell::State::Unlogged
                                                          : RowCell::State::Value;
    if (cell.state != RowCell::State::Value || is_its_text(type.code)) return true;
    cell.slot_at = scratch.extend_zeroed(sizeof(std::uint64_t));
    const std::size_t end = scratch.size();
    switch (put_text({scratch, 0, wire::kMaxRecordBytes}, cell.slot_at, field.text, type)) {
        case Put::Done: return true;
        case Put::NotUnderstood: return false;
        case Put::NoRoom: break;
    }
    scratch.truncate(end);
    cell.state = RowCell::State::TooLarge;
    return true;
}

std::optional<std::string_view> account_text(const Plan& plan, const Values& values) {
    if (!plan.names_account() || !values.present()) return std::nullopt;
    const RowCell& cell = values.at(plan.column[plan.account_column]);
    if (cell.state == RowCell::State::Null || cell.state == RowCell::State::Unlogged)
        return std::nullopt;
    std::string_view text = cell.text;
    if (plan.account_type == AccountType::BlankPadded)
        while (text.ends_with(' ')) text.remove_suffix(1);
    return text;
}

wire::AccountView account_of(const Plan& plan, const Values& values, wire::AccountBuffer& buffer) {
    const auto text = account_text(plan, values);
    if (!text || text->size() > wire::kMaxAccountBytes) return {};
    return wire::account_from_text(*text, buffer);
}

}  // namespace fatwal::sidecar::pgoutput
