// The messages of the control protocol. See docs/control-protocol.md. Not for the extension: these
// own their strings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "fatwal/wire/account.h"
#include "fatwal/wire/publication.h"
#include "fatwal/wire/transaction_snapshot.h"
#include "fatwal/wire/types.h"

namespace fatwal::wire {

inline constexpr std::size_t kControlHeaderBytes = 8;
inline constexpr std::size_t kMaxControlBytes = 8 * 1024;  // of a request
inline constexpr std::size_t kMaxSubscriberNameBytes = 63;
// Of one DESCRIBE: more than the relations that one frame can name.
inline constexpr std::size_t kMaxDescribe = 256;

// A key that owns its bytes: what maps are keyed by.
struct AccountKey {
    AccountKind kind = AccountKind::Operators;
    std::string bytes;

    AccountKey() = default;
    explicit AccountKey(AccountView view) : kind(view.kind), bytes(as_text(view.bytes)) {}
    // `text` as a person types it, at most kMaxAccountBytes bytes, else std::invalid_argument.
    [[nodiscard]] static AccountKey from_text(std::string_view text);
    [[nodiscard]] std::string to_text() const;
    [[nodiscard]] AccountView view() const noexcept { return {kind, as_bytes(bytes)}; }
    friend auto operator<=>(const AccountKey&, const AccountKey&) = default;
};

enum class ErrorCode : std::uint16_t {
    Version = 1,
    Malformed = 2,
    UnknownType = 3,
    BadAccount = 4,
    TooManyAttachments = 5,
    NotStreaming = 6,
    ShuttingDown = 7,
    Internal = 8,
    TooOld = 9,         // what the cursor asks for is no longer held: take a snapshot
    AskByCursor = 10,   // what was asked for by sequence or as a continuation is no longer at hand,
                        // but may be by cursor
    SnapshotGone = 11,  // begin another
    SnapshotFailed = 12,
    NotAttached = 13,      // or not by this connection: attach again
    BadName = 14,          // of a durable or other subscriber
    TooManyDurables = 15,  // forget some
    BadPosition = 16,      // an offset that was never given, a cursor beyond what was sent
    Dropped = 17,          // a durable subscriber's changes are no longer kept: attach again
};

// Which history of which cluster a position belongs to: positions of another mean nothing.
struct History {
    std::uint64_t system_identifier = 0;
    std::uint32_t timeline = 0;
    friend bool operator==(const History&, const History&) = default;
};

struct Attach {
    Nonce nonce{};
    AccountKey account;
    bool durable = false;
    std::string subscriber;
    Lsn cursor = 0;   // of a durable subscriber that comes back: it has processed all that commits
                      // before; 0 nothing
    History history;  // of the cursor
};
struct Attached {
    std::uint64_t epoch = 0;
    std::uint64_t head_sequence = 0;
    std::uint32_t heartbeat_ms = 0;
    History history;
    std::string endpoint;
    std::string topic;  // before the header of all that is the account's on that socket; empty if
                        // the socket is the account's own
};
struct Detach {
    Nonce nonce{};
    bool forget = false;  // a durable subscriber does not come back: what it has not acknowledged
                          // is kept no longer
};
struct Detached {};
struct Describe {
    std::vector<SchemaId> schemas;
};
struct Described {
    std::vector<std::string> schemas;  // schema messages
};
struct Status {};
struct StatusReply {
    std::vector<std::pair<std::string, std::string>> values;
};
struct Confirm {};
struct Confirmed {
    Lsn lsn = 0;
};
struct Ping {};
struct Pong {
    std::uint64_t epoch = 0;
};
// Asks for published messages again: all from `sequence` on; all of the transactions that commit at
// `cursor` or later; or what follows the last reply to such a request. At most about `credit` bytes
// of them, one message at least.
struct Replay {
    enum class From : std::uint8_t { Cursor = 0, Sequence = 1, Continue = 2 };
    Nonce nonce{};
    std::uint64_t epoch = 0;
    From from = From::Cursor;
    std::uint64_t sequence = 0;
    Lsn cursor = 0;
    History history;  // of the cursor
    std::uint32_t credit = 0;
};
// `messages` messages follow in parts of their own.
struct Replayed {
    std::uint64_t epoch = 0;
    std::uint64_t first_sequence = 0;  // of the first message, or of the next one if there is none;
                                       // 0: without numbers, read again from the slot
    bool end = false;                  // what follows comes, or came, on the account's socket
    std::uint16_t messages = 0;
};
// Asks for the account's rows: `snapshot` 0 begins, else goes on at `offset` of that snapshot.
struct SnapshotRequest {
    Nonce nonce{};
    std::uint64_t snapshot = 0;
    std::uint64_t offset = 0;
    std::uint32_t credit = 0;
    Lsn not_before = 0;  // in a beginning: one that was taken after all before it was published
};
// `messages` messages follow in parts of their own. The rest is in the reply to a beginning only.
struct SnapshotPart {
    std::uint64_t snapshot = 0;
    std::uint64_t next_offset = 0;
    bool end = false;
    std::uint16_t messages = 0;
    Lsn cursor = 0;  // the stream goes on here, without the transactions before `until` that the
                     // snapshot sees
    Lsn until = 0;
    TransactionSnapshot sees;
};
// A durable subscriber has processed all that commits before `cursor`. There is no reply.
struct Acknowledge {
    Nonce nonce{};
    Lsn cursor = 0;
};
// Asks for the durable subscribers behind `after`, in the order of their accounts and names; an
// empty name begins.
struct ListDurables {
    AccountKey account;
    std::string after;
};
struct DurableEntry {
    AccountKey account;
    std::string name;
    Lsn acknowledged = 0;
    Lsn stored = 0;         // of that, what is stored in the database
    bool attached = false;  // a subscriber of this name is attached
    bool holds = false;     // WAL is kept for it
};
struct DurableList {
    std::vector<DurableEntry> durables;
    bool end = false;  // there are no more behind them
};
// A durable subscriber does not come back, and need not be attached.
struct ForgetDurable {
    AccountKey account;
    std::string name;
};
struct Forgotten {};
struct ControlError {
    ErrorCode code = ErrorCode::Internal;
    std::string message;
    std::string detail;
    std::string hint;
};

using ControlBody =
    std::variant<Attach, Attached, Detach, Detached, Describe, Described, Status, StatusReply,
                 Confirm, Confirmed, Ping, Pong, Replay, Replayed, SnapshotRequest, SnapshotPart,
                 Acknowledge, ListDurables, DurableList, ForgetDurable, Forgotten, ControlError>;

struct ControlMessage {
    std::uint32_t request_id = 0;
    ControlBody body;
};

[[nodiscard]] std::string encode(const ControlMessage& message);

// Why no subscriber can have this account or name, with the error code that says what is wrong;
// nothing when it can. Both travel into the database, into log lines and into other programs, so
// they are UTF-8 on one line; and an account has one key (docs/wire-format.md), as nothing is ever
// published to another spelling of it.
[[nodiscard]] std::optional<ControlError> refusal_of_account(std::uint8_t kind, Bytes bytes);
[[nodiscard]] std::optional<ControlError> refusal_of_name(std::string_view name);

// What decode() found: a message; an error to answer with (its request id is 0 when the header was
// cut); or, with neither, something of another protocol, to be dropped.
struct DecodedControl {
    std::optional<ControlMessage> message;
    std::optional<ControlMessage> error;
};
[[nodiscard]] DecodedControl decode_control(Bytes bytes);

}  // namespace fatwal::wire
