// From numbered messages to whole transactions: finds gaps, drops duplicates, binds schemas. No I/O: messages in, events out.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fatwal/client/transaction.h"
#include "fatwal/wire/account.h"

namespace fatwal::client {

// Messages were lost between the subscriber and the sidecar: the next one expected and the next one there is. In this version they are not
// sent again: whoever needs them must read the database.
struct Gap {
    std::uint64_t expected = 0;
    std::uint64_t got = 0;
};

// Something that the stream must not hold. The subscription goes on.
struct StreamError {
    std::string message;
    std::string hint;
};

using StreamEvent = std::variant<Transaction, Gap, StreamError>;

class Assembler {
public:
    // A transaction of more bytes than `max_transaction_bytes` is not delivered, but reported.
    Assembler(wire::AccountView account, std::size_t max_transaction_bytes);

    // The marker has come: all after `sequence` of `epoch` will arrive. A Gap when something before it was missed in this epoch.
    std::optional<Gap> joined(std::uint64_t epoch, std::uint64_t sequence);

    // A heartbeat says that the last message sent is `sequence`. A Gap when some of those were dropped and nothing came after them.
    std::optional<Gap> heartbeat(std::uint64_t epoch, std::uint64_t sequence);

    // The next numbered message. Its events come by take(), as far as their schemas are known.
    void message(std::uint64_t epoch, std::uint64_t sequence, std::string bytes);
    // Schemas that were asked for.
    void described(std::vector<std::string> schemas);
    // What the oldest waiting frame lacks; empty when nothing waits.
    [[nodiscard]] std::vector<wire::SchemaId> missing() const;

    // The next event, oldest first.
    std::optional<StreamEvent> take();

private:
    void advance();
    void add(Transaction::Frame frame);
    void learn(std::string message);

    std::string account_;
    wire::AccountKind account_kind_;
    std::size_t max_transaction_bytes_;
    std::uint64_t epoch_ = 0;
    std::uint64_t sequence_ = 0;
    wire::Lsn delivered_ = 0;  // commit LSN of the last whole transaction
    std::map<wire::SchemaId, std::shared_ptr<const Schema>> schemas_;
    std::vector<std::string> waiting_;  // messages from a frame with an unknown schema on
    std::size_t waiting_bytes_ = 0;
    std::optional<Transaction> current_;
    std::size_t current_bytes_ = 0;
    bool too_large_ = false;
    std::vector<StreamEvent> events_;
};

}  // namespace fatwal::client
