// Writes a change of a row as records of the accounts that it concerns.
//
// An insert goes to the account that the new row names, a delete to the old row's. An update whose
// row moves between accounts is a delete for the one and an insert for the other, each with MOVED.
// Without an old row that names the account the row has not moved. A row that names no account is
// the operators'.
//
// A Plan and Values have what row_encoder.h asks for. A Plan has also
//     SchemaId schema
//     bool unrouted                          its column list hides the account
//     std::int16_t account_column            index into `column`
//     bool names_account() const             its rows name an account
//     bool old_rows_name_account() const     an old row does, if there is one
//     bool knows_old_account() const         that, or there is none to know
// and beside it stands
//     AccountView account_of(const Plan&, const Values&, AccountBuffer&)
// which gives the operators' when the row names none.
#pragma once

#include "wire/encoding/logical_message.h"
#include "wire/encoding/row_encoder.h"
#include "wire/encoding/transaction.h"

namespace fatwal::wire {

// What the publications' row filters leave of an update.
enum class UpdateAs : std::uint8_t { Update, Insert, Delete };

template <class Transaction, class Output, class Plan, class Values>
class ChangeWriter {
public:
    ChangeWriter(Transaction& transaction, Output& output, const Plan& plan)
        : transaction_(transaction), output_(output), plan_(plan) {}

    void insert(const Values& newer) {
        transaction_.flush_everyone(output_);
        AccountBuffer buffer;
        write_new(account_of(plan_, newer, buffer), 0, newer, Values{});
    }
    // `old` is not present when none was logged.
    void update(const Values& newer, const Values& old, UpdateAs as) {
        transaction_.flush_everyone(output_);
        const Values whole_old = plan_.full_identity() ? old : Values{};
        AccountBuffer newer_buffer;
        AccountBuffer old_buffer;
        const bool unlogged_key =
            plan_.names_account() && newer.is_unlogged_toast(plan_.column[plan_.account_column]);
        const AccountView to = account_of(plan_, unlogged_key ? whole_old : newer, newer_buffer);
        const AccountView from = old.present() && plan_.old_rows_name_account()
                                     ? account_of(plan_, old, old_buffer)
                                     : to;
        if (as == UpdateAs::Insert) return write_new(to, 0, newer, whole_old);
        if (as == UpdateAs::Delete) return write_old(from, 0, old);
        if (!(from == to)) {
            write_old(from, kMoved, old);
            return write_new(to, kMoved, newer, whole_old);
        }
        const auto record =
            transaction_.start_record(output_, to, Op::Update, marked(0), plan_.schema);
        auto& buffer = record.part->frame.buffer;
        encode_new_row(buffer, record.start + kMaxRecordBytes, plan_, newer, whole_old);
        transaction_.set_old_offset(record);
        encode_old_delta(buffer, record.start + kMaxRecordBytes, plan_, newer, old);
        transaction_.finish_record(output_, record);
    }
    void remove(const Values& old) {
        transaction_.flush_everyone(output_);
        AccountBuffer buffer;
        if (plan_.knows_old_account())
            write_old(account_of(plan_, old, buffer), 0, old);
        else
            write_old({}, kUnrouted, old);
    }

private:
    // A change of a table whose column list hides the account goes to the operators, and says so.
    [[nodiscard]] std::uint8_t marked(std::uint8_t flags) const {
        return plan_.unrouted ? static_cast<std::uint8_t>(flags | kUnrouted) : flags;
    }

    void write_new(AccountView account, std::uint8_t flags, const Values& newer,
                   const Values& whole_old) {
        const auto record =
            transaction_.start_record(output_, account, Op::Insert, marked(flags), plan_.schema);
        encode_new_row(record.part->frame.buffer, record.start + kMaxRecordBytes, plan_, newer,
                       whole_old);
        transaction_.finish_record(output_, record);
    }

    void write_old(AccountView account, std::uint8_t flags, const Values& old) {
        const auto record =
            transaction_.start_record(output_, account, Op::Delete, marked(flags), plan_.schema);
        transaction_.set_old_offset(record);
        encode_old_row(record.part->frame.buffer, record.start + kMaxRecordBytes, plan_, old);
        transaction_.finish_record(output_, record);
    }

    Transaction& transaction_;
    Output& output_;
    const Plan& plan_;
};

// Writes a logical message as a record of its account.
template <class Transaction, class Output>
void write_message(Transaction& transaction, Output& output, const char* prefix,
                   std::string_view content) {
    AccountBuffer buffer;
    const LogicalMessage message = understand(prefix, content, buffer);
    transaction.flush_everyone(output);
    const auto record =
        transaction.start_record(output, message.account, Op::Message, message.flags, {});
    auto& out = record.part->frame.buffer;
    out.append(static_cast<std::uint32_t>(message.prefix.size()));
    out.append(static_cast<std::uint32_t>(message.content.size()));
    out.append(message.prefix.data(), message.prefix.size());
    out.append(message.content.data(), message.content.size());
    transaction.finish_record(output, record);
}

}  // namespace fatwal::wire
