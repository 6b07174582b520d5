// The messages of the control protocol (docs/control-protocol.md). Not for the extension: these own
// their strings.
//
//     const std::string bytes = encode({request_id, Ping{}});
//     const DecodedControl decoded = decode_control(as_bytes(reply));
//     if (decoded.message) std::visit(Handler{}, decoded.message->body);
//
// Each message is a struct with its number, kType, and fields(), which names its fields in their
// order on the wire. fields() is the one description of the body: the encoder, the decoder and the
// tests are each a visitor that it is called with (wire/src/control.cpp), so they cannot disagree.
// What a visitor offers:
//
//   wire(value)              an integer (little-endian), a string behind its u16 length, 16 bytes
//   of
//                            nonce, an account's key, or a struct that has fields() of its own
//   wire.name(text)          a subscriber's name: the decoder refuses what refusal_of_name() does
//   wire.flags8(a, b, …)     bits 1, 2, … of a u8; flags16 of a u16. Unknown bits are ignored
//   wire.choice(e, last)     an enum of a u8, at most `last`
//   wire.list16(items, most) a u16 count and the items; list32 behind a u32. More are malformed
//   wire.long_texts16(texts, most)  a u16 count, and strings that are each behind a u32 length
//   wire.optional_tail(v)    the last field, left out where it is 0: what an older peer does not
//   know
//
// A request names its reply as Reply: so a handler of requests, and one of replies, can list its
// own kind and leave the other kind to one template, and a message that it forgets does not
// compile.
//
// Threads: nothing is shared. Errors: decode_control() says what is wrong; nothing throws but
// AccountKey::from_text() and the allocation of memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
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
// Bytes of messages in one reply, whatever the request asks for: more than a message, and no more
// than a slow reader may make fatwald keep.
inline constexpr std::uint32_t kLeastCredit = 64 * 1024;
inline constexpr std::uint32_t kMostCredit = 32 * 1024 * 1024;
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
    Forbidden = 18,        // the credential lacks the right; the hint is what grants it
};

// Which history of which cluster a position belongs to: positions of another mean nothing.
struct History {
    std::uint64_t system_identifier = 0;
    std::uint32_t timeline = 0;

    static void fields(auto& self, auto& wire) {
        wire(self.system_identifier);
        wire(self.timeline);
    }
    friend bool operator==(const History&, const History&) = default;
};

// Of the requests, which name them.
struct Attached;
struct Detached;
struct Described;
struct StatusReply;
struct Confirmed;
struct Pong;
struct Replayed;
struct SnapshotPart;
struct DurableList;
struct Forgotten;
struct HoldList;
struct SubscriberList;
struct AccountList;
struct EventList;

struct Attach {
    using Reply = Attached;
    static constexpr std::uint8_t kType = 1;
    Nonce nonce{};
    AccountKey account;
    bool durable = false;
    std::string subscriber;
    Lsn cursor = 0;   // of a durable subscriber that comes back: it has processed all that commits
                      // before; 0 nothing
    History history;  // of the cursor

    static void fields(auto& self, auto& wire) {
        wire(self.nonce);
        wire(self.account);
        wire.flags16(self.durable);
        wire.name(self.subscriber);
        wire(self.cursor);
        wire(self.history);
    }
};
struct Attached {
    static constexpr std::uint8_t kType = 2;
    static constexpr bool kMayBeLarge = false;
    std::uint64_t epoch = 0;
    std::uint64_t head_sequence = 0;
    std::uint32_t heartbeat_ms = 0;
    History history;
    std::string endpoint;
    std::string topic;  // before the header of all that is the account's on that socket; empty if
                        // the socket is the account's own

    static void fields(auto& self, auto& wire) {
        wire(self.epoch);
        wire(self.head_sequence);
        wire(self.heartbeat_ms);
        wire(self.history);
        wire(self.endpoint);
        wire(self.topic);
    }
};
struct Detach {
    using Reply = Detached;
    static constexpr std::uint8_t kType = 3;
    Nonce nonce{};
    bool forget = false;  // a durable subscriber does not come back: what it has not acknowledged
                          // is kept no longer

    static void fields(auto& self, auto& wire) {
        wire(self.nonce);
        wire.flags16(self.forget);
    }
};
struct Detached {
    static constexpr std::uint8_t kType = 4;
    static constexpr bool kMayBeLarge = false;
    static void fields(auto&, auto&) {}
};
struct Describe {
    using Reply = Described;
    static constexpr std::uint8_t kType = 5;
    std::vector<SchemaId> schemas;

    static void fields(auto& self, auto& wire) { wire.list16(self.schemas, kMaxDescribe); }
};
struct Described {
    static constexpr std::uint8_t kType = 6;
    static constexpr bool kMayBeLarge = true;
    std::vector<std::string> schemas;  // schema messages

    static void fields(auto& self, auto& wire) { wire.long_texts16(self.schemas, kMaxDescribe); }
};
struct Status {
    using Reply = StatusReply;
    static constexpr std::uint8_t kType = 7;
    static void fields(auto&, auto&) {}
};
struct StatusReply {
    static constexpr std::uint8_t kType = 8;
    static constexpr bool kMayBeLarge = false;
    std::vector<std::pair<std::string, std::string>> values;

    static void fields(auto& self, auto& wire) { wire.list16(self.values); }
};
struct Confirm {
    using Reply = Confirmed;
    static constexpr std::uint8_t kType = 9;
    static void fields(auto&, auto&) {}
};
struct Confirmed {
    static constexpr std::uint8_t kType = 10;
    static constexpr bool kMayBeLarge = false;
    Lsn lsn = 0;

    static void fields(auto& self, auto& wire) { wire(self.lsn); }
};
struct Ping {
    using Reply = Pong;
    static constexpr std::uint8_t kType = 11;
    static void fields(auto&, auto&) {}
};
struct Pong {
    static constexpr std::uint8_t kType = 12;
    static constexpr bool kMayBeLarge = false;
    std::uint64_t epoch = 0;

    static void fields(auto& self, auto& wire) { wire(self.epoch); }
};
// Asks for published messages again: all from `sequence` on; all of the transactions that commit at
// `cursor` or later; or what follows the last reply to such a request. At most about `credit` bytes
// of them, one message at least.
struct Replay {
    using Reply = Replayed;
    static constexpr std::uint8_t kType = 13;
    enum class From : std::uint8_t { Cursor = 0, Sequence = 1, Continue = 2 };
    Nonce nonce{};
    std::uint64_t epoch = 0;
    From from = From::Cursor;
    std::uint64_t sequence = 0;
    Lsn cursor = 0;
    History history;  // of the cursor
    std::uint32_t credit = 0;

    static void fields(auto& self, auto& wire) {
        wire(self.nonce);
        wire(self.epoch);
        wire.choice(self.from, From::Continue);
        wire(self.sequence);
        wire(self.cursor);
        wire(self.history);
        wire(self.credit);
    }
};
// `messages` messages follow in parts of their own.
struct Replayed {
    static constexpr std::uint8_t kType = 14;
    static constexpr bool kMayBeLarge = true;
    std::uint64_t epoch = 0;
    std::uint64_t first_sequence = 0;  // of the first message, or of the next one if there is none;
                                       // 0: without numbers, read again from the slot
    bool end = false;                  // what follows comes, or came, on the account's socket
    std::uint16_t messages = 0;

    static void fields(auto& self, auto& wire) {
        wire(self.epoch);
        wire(self.first_sequence);
        wire.flags8(self.end);
        wire(self.messages);
    }
};
// Asks for the account's rows: `snapshot` 0 begins, else resumes at `offset` of that snapshot.
struct SnapshotRequest {
    using Reply = SnapshotPart;
    static constexpr std::uint8_t kType = 15;
    Nonce nonce{};
    std::uint64_t snapshot = 0;
    std::uint64_t offset = 0;
    std::uint32_t credit = 0;
    Lsn not_before = 0;  // in a beginning: one that was taken after all before it was published

    static void fields(auto& self, auto& wire) {
        wire(self.nonce);
        wire(self.snapshot);
        wire(self.offset);
        wire(self.credit);
        wire.optional_tail(self.not_before);
    }
};
// `messages` messages follow in parts of their own. The rest is in the reply to a beginning only.
struct SnapshotPart {
    static constexpr std::uint8_t kType = 16;
    static constexpr bool kMayBeLarge = true;
    std::uint64_t snapshot = 0;
    std::uint64_t next_offset = 0;
    bool end = false;
    std::uint16_t messages = 0;
    Lsn cursor = 0;  // the stream resumes here, without the transactions before `until` that the
                     // snapshot sees
    Lsn until = 0;
    TransactionSnapshot sees;

    static void fields(auto& self, auto& wire) {
        wire(self.snapshot);
        wire(self.next_offset);
        wire.flags8(self.end);
        wire(self.messages);
        wire(self.cursor);
        wire(self.until);
        wire(self.sees);
    }
};
// A durable subscriber has processed all that commits before `cursor`. There is no reply.
struct Acknowledge {
    using Reply = void;
    static constexpr std::uint8_t kType = 17;
    Nonce nonce{};
    Lsn cursor = 0;

    static void fields(auto& self, auto& wire) {
        wire(self.nonce);
        wire(self.cursor);
    }
};
// Asks for the durable subscribers behind `after`, in the order of their accounts and names; an
// empty name begins.
struct ListDurables {
    using Reply = DurableList;
    static constexpr std::uint8_t kType = 18;
    AccountKey account;
    std::string after;

    static void fields(auto& self, auto& wire) {
        wire(self.account);
        wire(self.after);
    }
};
struct DurableEntry {
    AccountKey account;
    std::string name;
    Lsn acknowledged = 0;
    Lsn stored = 0;         // of that, what is stored in the database
    bool attached = false;  // a subscriber of this name is attached
    bool holds = false;     // WAL is kept for it

    static void fields(auto& self, auto& wire) {
        wire(self.account);
        wire(self.name);
        wire(self.acknowledged);
        wire(self.stored);
        wire.flags8(self.attached, self.holds);
    }
};
struct DurableList {
    static constexpr std::uint8_t kType = 19;
    static constexpr bool kMayBeLarge = true;
    std::vector<DurableEntry> durables;
    bool end = false;  // there are no more behind them

    static void fields(auto& self, auto& wire) {
        wire.flags8(self.end);
        wire.list16(self.durables);
    }
};
// A durable subscriber does not come back, and need not be attached.
struct ForgetDurable {
    using Reply = Forgotten;
    static constexpr std::uint8_t kType = 20;
    AccountKey account;
    std::string name;

    static void fields(auto& self, auto& wire) {
        wire(self.account);
        wire.name(self.name);
    }
};
struct Forgotten {
    static constexpr std::uint8_t kType = 21;
    static constexpr bool kMayBeLarge = false;
    static void fields(auto&, auto&) {}
};
// Asks who keeps WAL, the worst first: those who need it from the lowest position on. `skip`: begin
// behind so many of them. The list may change between two requests.
struct ListHolds {
    using Reply = HoldList;
    static constexpr std::uint8_t kType = 22;
    std::uint32_t skip = 0;

    static void fields(auto& self, auto& wire) { wire(self.skip); }
};
enum class HoldKind : std::uint8_t {
    Absent = 1,          // a durable subscriber that is not attached
    Unacknowledged = 2,  // a durable subscriber that is attached
    Replay = 3,          // a subscriber that catches up
    SnapshotReader = 4,  // a subscriber that reads a snapshot
    Snapshot = 5,        // a snapshot, for those who will read it
};
struct HoldEntry {
    AccountKey account;
    std::string name;                // of the subscriber; empty for a snapshot
    std::uint8_t kind = 0;           // a HoldKind; a later release may have others
    Lsn from = 0;                    // WAL is kept from here on
    std::uint64_t behind = 0;        // bytes of WAL from there to what is published
    std::uint32_t held_s = 0;        // since it stands there
    std::uint32_t seconds_left = 0;  // until it is dropped, if it does not move
    std::uint64_t bytes_left = 0;    // the same in bytes

    static void fields(auto& self, auto& wire) {
        wire(self.account);
        wire(self.name);
        wire(self.kind);
        wire(self.from);
        wire(self.behind);
        wire(self.held_s);
        wire(self.seconds_left);
        wire(self.bytes_left);
    }
};
struct HoldList {
    static constexpr std::uint8_t kType = 23;
    static constexpr bool kMayBeLarge = true;
    std::uint32_t total = 0;
    std::vector<HoldEntry> holds;
    bool end = false;  // there are no more behind them

    static void fields(auto& self, auto& wire) {
        wire.flags8(self.end);
        wire(self.total);
        wire.list16(self.holds);
    }
};
// Asks for the subscribers behind the one of this number, in the order in which they attached.
struct ListSubscribers {
    using Reply = SubscriberList;
    static constexpr std::uint8_t kType = 24;
    std::uint64_t after = 0;

    static void fields(auto& self, auto& wire) { wire(self.after); }
};
enum class SubscriberState : std::uint8_t {
    Joining = 1,      // attached, and not subscribed to its marker
    Live = 2,         // receives what is published
    Replaying = 3,    // receives it, and catches up with what it missed
    Snapshotting = 4  // waits for a snapshot, or reads it
};
struct SubscriberEntry {
    std::uint64_t number = 0;  // rises from attach to attach
    AccountKey account;
    std::string name;
    std::string credential;  // empty: a local one
    std::uint8_t state = 0;  // a SubscriberState; a later release may have others
    bool durable = false;
    std::uint64_t lag = 0;     // bytes of WAL that fatwald keeps for it
    std::uint32_t unread = 0;  // bytes that wait in its connection
    std::uint32_t attached_s = 0;

    static void fields(auto& self, auto& wire) {
        wire(self.number);
        wire(self.account);
        wire(self.name);
        wire(self.credential);
        wire(self.state);
        wire.flags8(self.durable);
        wire(self.lag);
        wire(self.unread);
        wire(self.attached_s);
    }
};
struct SubscriberList {
    static constexpr std::uint8_t kType = 25;
    static constexpr bool kMayBeLarge = true;
    std::vector<SubscriberEntry> subscribers;
    bool end = false;

    static void fields(auto& self, auto& wire) {
        wire.flags8(self.end);
        wire.list16(self.subscribers);
    }
};
// Asks for the accounts that fatwald has in memory: those with subscribers, with durable names, or
// with messages that are kept for replay. `skip`: as of ListHolds.
struct ListAccounts {
    using Reply = AccountList;
    static constexpr std::uint8_t kType = 26;
    enum class Order : std::uint8_t { ByKey = 0, ByBytes = 1, BySubscribers = 2 };
    Order order = Order::ByKey;  // the others: the most first
    std::uint32_t skip = 0;

    static void fields(auto& self, auto& wire) {
        wire.choice(self.order, Order::BySubscribers);
        wire(self.skip);
    }
};
struct AccountEntry {
    AccountKey account;
    std::uint32_t subscribers = 0;  // attached
    std::uint32_t durables = 0;
    std::uint64_t sequence = 0;  // of its newest message
    Lsn newest = 0;              // where its newest transaction commits; 0: none came
    std::uint64_t frames = 0;    // published since it is in memory
    std::uint64_t bytes = 0;

    static void fields(auto& self, auto& wire) {
        wire(self.account);
        wire(self.subscribers);
        wire(self.durables);
        wire(self.sequence);
        wire(self.newest);
        wire(self.frames);
        wire(self.bytes);
    }
};
struct AccountList {
    static constexpr std::uint8_t kType = 27;
    static constexpr bool kMayBeLarge = true;
    std::uint32_t total = 0;
    std::vector<AccountEntry> accounts;
    bool end = false;

    static void fields(auto& self, auto& wire) {
        wire.flags8(self.end);
        wire(self.total);
        wire.list16(self.accounts);
    }
};
// Asks for the newest lines of fatwald's log behind the one of this number; 0 begins with the
// oldest that is kept. The numbers begin with 1 in each process, and `start` names the process:
// where it is another than before, ask again from 0.
struct ListEvents {
    using Reply = EventList;
    static constexpr std::uint8_t kType = 28;
    std::uint64_t after = 0;

    static void fields(auto& self, auto& wire) { wire(self.after); }
};
enum class EventLevel : std::uint8_t { Info = 1, Warning = 2, Error = 3, Critical = 4 };
struct EventEntry {
    std::uint64_t number = 0;
    std::int64_t unix_us = 0;
    std::uint8_t level = 0;  // an EventLevel; a later release may have others
    std::string text;        // may have several lines, and is cut behind 1 KiB

    static void fields(auto& self, auto& wire) {
        wire(self.number);
        wire(self.unix_us);
        wire(self.level);
        wire(self.text);
    }
};
struct EventList {
    static constexpr std::uint8_t kType = 29;
    static constexpr bool kMayBeLarge = true;
    std::uint64_t start = 0;  // when the process began, in microseconds since 1970
    std::vector<EventEntry> events;
    bool end = false;  // there are no more behind them yet

    static void fields(auto& self, auto& wire) {
        wire.flags8(self.end);
        wire(self.start);
        wire.list16(self.events);
    }
};
struct ControlError {
    static constexpr std::uint8_t kType = 255;
    ErrorCode code = ErrorCode::Internal;
    std::string message;
    std::string detail;
    std::string hint;

    static void fields(auto& self, auto& wire) {
        wire(self.code);
        wire(self.message);
        wire(self.detail);
        wire(self.hint);
    }
};

using ControlBody =
    std::variant<Attach, Attached, Detach, Detached, Describe, Described, Status, StatusReply,
                 Confirm, Confirmed, Ping, Pong, Replay, Replayed, SnapshotRequest, SnapshotPart,
                 Acknowledge, ListDurables, DurableList, ForgetDurable, Forgotten, ListHolds,
                 HoldList, ListSubscribers, SubscriberList, ListAccounts, AccountList, ListEvents,
                 EventList, ControlError>;

struct ControlMessage {
    std::uint32_t request_id = 0;  // chosen by who asks, repeated in the reply; 0: nobody asked
    ControlBody body;
};

// Whether it is a request: only those name a reply (void: none comes). fatwald answers a reply that
// somebody sends it with UnknownType.
template <class Body>
concept ControlRequest = requires {
    typename Body::Reply;
};

// Whether the reply to the request may be large; a reply that does not say so does not compile.
template <ControlRequest Request>
[[nodiscard]] constexpr bool asks_for_much(const Request&) {
    if constexpr (std::is_void_v<typename Request::Reply>)
        return false;
    else
        return Request::Reply::kMayBeLarge;
}

namespace control_types {

template <class... Bodies>
constexpr bool differ(const std::variant<Bodies...>*) {
    const std::uint8_t types[] = {Bodies::kType...};
    for (std::size_t i = 0; i < sizeof...(Bodies); ++i)
        for (std::size_t j = 0; j < i; ++j)
            if (types[i] == types[j]) return false;
    return true;
}
static_assert(differ(static_cast<const ControlBody*>(nullptr)), "two messages have the same kType");

}  // namespace control_types

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
