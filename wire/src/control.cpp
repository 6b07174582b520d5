#include "fatwal/wire/control.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "fatwal/wire/text.h"

namespace fatwal::wire {

namespace {

enum class Type : std::uint8_t {
    Attach = 1,
    Attached = 2,
    Detach = 3,
    Detached = 4,
    Describe = 5,
    Described = 6,
    Status = 7,
    StatusReply = 8,
    Confirm = 9,
    Confirmed = 10,
    Ping = 11,
    Pong = 12,
    Replay = 13,
    Replayed = 14,
    SnapshotRequest = 15,
    SnapshotPart = 16,
    Acknowledge = 17,
    ListDurables = 18,
    DurableList = 19,
    ForgetDurable = 20,
    Forgotten = 21,
    Error = 255,
};

constexpr std::uint16_t kDurable = 1;
constexpr std::uint16_t kForget = 1;
constexpr std::uint8_t kEnd = 1;
constexpr std::uint8_t kAttached = 1;
constexpr std::uint8_t kHolds = 2;
constexpr std::size_t kMaxStr = 0xFFFF;

class Writer {
public:
    template <class T>
    void put(T value) {
        static_assert(std::is_integral_v<T>);
        out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    void put_bytes(Bytes bytes) { out_.append(as_text(bytes)); }
    void put_text(std::string_view text) {
        text = text.substr(0, kMaxStr);
        put(static_cast<std::uint16_t>(text.size()));
        out_.append(text);
    }
    std::string take() { return std::move(out_); }

private:
    std::string out_;
};

struct Encoder {
    Writer& out;

    static Type type_of(const ControlBody& body) {
        static constexpr Type types[] = {
            Type::Attach,       Type::Attached,      Type::Detach,
            Type::Detached,     Type::Describe,      Type::Described,
            Type::Status,       Type::StatusReply,   Type::Confirm,
            Type::Confirmed,    Type::Ping,          Type::Pong,
            Type::Replay,       Type::Replayed,      Type::SnapshotRequest,
            Type::SnapshotPart, Type::Acknowledge,   Type::ListDurables,
            Type::DurableList,  Type::ForgetDurable, Type::Forgotten,
            Type::Error};
        static_assert(std::size(types) == std::variant_size_v<ControlBody>);
        return types[body.index()];
    }

    void operator()(const Attach& body) const {
        out.put_bytes(body.nonce);
        put_account(body.account);
        out.put(body.durable ? kDurable : std::uint16_t{0});
        out.put_text(body.subscriber);
        out.put(body.cursor);
        put_history(body.history);
    }
    void operator()(const Attached& body) const {
        out.put(body.epoch);
        out.put(body.head_sequence);
        out.put(body.heartbeat_ms);
        put_history(body.history);
        out.put_text(body.endpoint);
        out.put_text(body.topic);
    }
    void operator()(const Detach& body) const {
        out.put_bytes(body.nonce);
        out.put(body.forget ? kForget : std::uint16_t{0});
    }
    void operator()(const Detached&) const {}
    void operator()(const Describe& body) const {
        const std::size_t count = std::min(body.schemas.size(), kMaxDescribe);
        out.put(static_cast<std::uint16_t>(count));
        for (std::size_t i = 0; i < count; ++i) {
            out.put(body.schemas[i].relation);
            out.put(body.schemas[i].fingerprint);
        }
    }
    void operator()(const Described& body) const {
        const std::size_t count = std::min(body.schemas.size(), kMaxDescribe);
        out.put(static_cast<std::uint16_t>(count));
        for (std::size_t i = 0; i < count; ++i) {
            out.put(static_cast<std::uint32_t>(body.schemas[i].size()));
            out.put_bytes(as_bytes(body.schemas[i]));
        }
    }
    void operator()(const Status&) const {}
    void operator()(const StatusReply& body) const {
        out.put(static_cast<std::uint16_t>(body.values.size()));
        for (const auto& [name, value] : body.values) {
            out.put_text(name);
            out.put_text(value);
        }
    }
    void operator()(const Confirm&) const {}
    void operator()(const Confirmed& body) const { out.put(body.lsn); }
    void operator()(const Ping&) const {}
    void operator()(const Pong& body) const { out.put(body.epoch); }
    void operator()(const Replay& body) const {
        out.put_bytes(body.nonce);
        out.put(body.epoch);
        out.put(static_cast<std::uint8_t>(body.from));
        out.put(body.sequence);
        out.put(body.cursor);
        put_history(body.history);
        out.put(body.credit);
    }
    void operator()(const Replayed& body) const {
        out.put(body.epoch);
        out.put(body.first_sequence);
        out.put(body.end ? kEnd : std::uint8_t{0});
        out.put(body.messages);
    }
    void operator()(const SnapshotRequest& body) const {
        out.put_bytes(body.nonce);
        out.put(body.snapshot);
        out.put(body.offset);
        out.put(body.credit);
        // An older sidecar takes no longer request.
        if (body.not_before != 0) out.put(body.not_before);
    }
    void operator()(const SnapshotPart& body) const {
        out.put(body.snapshot);
        out.put(body.next_offset);
        out.put(body.end ? kEnd : std::uint8_t{0});
        out.put(body.messages);
        out.put(body.cursor);
        out.put(body.until);
        out.put(body.sees.xmin);
        out.put(body.sees.xmax);
        out.put(static_cast<std::uint32_t>(body.sees.in_progress.size()));
        for (const std::uint64_t xid : body.sees.in_progress) out.put(xid);
    }
    void operator()(const Acknowledge& body) const {
        out.put_bytes(body.nonce);
        out.put(body.cursor);
    }
    void operator()(const ListDurables& body) const {
        put_account(body.account);
        out.put_text(body.after);
    }
    void operator()(const DurableList& body) const {
        out.put(body.end ? kEnd : std::uint8_t{0});
        out.put(static_cast<std::uint16_t>(body.durables.size()));
        for (const DurableEntry& entry : body.durables) {
            put_account(entry.account);
            out.put_text(entry.name);
            out.put(entry.acknowledged);
            out.put(entry.stored);
            out.put(static_cast<std::uint8_t>((entry.attached ? kAttached : 0) |
                                              (entry.holds ? kHolds : 0)));
        }
    }
    void operator()(const ForgetDurable& body) const {
        put_account(body.account);
        out.put_text(body.name);
    }
    void operator()(const Forgotten&) const {}
    void operator()(const ControlError& body) const {
        out.put(static_cast<std::uint16_t>(body.code));
        out.put_text(body.message);
        out.put_text(body.detail);
        out.put_text(body.hint);
    }

private:
    void put_account(const AccountKey& account) const {
        out.put(static_cast<std::uint8_t>(account.kind));
        out.put(static_cast<std::uint8_t>(account.bytes.size()));
        out.put_bytes(account.view().bytes);
    }
    void put_history(const History& history) const {
        out.put(history.system_identifier);
        out.put(history.timeline);
    }
};

History read_history(Cursor& cursor) {
    const auto system = cursor.read<std::uint64_t>();
    return {system, cursor.read<std::uint32_t>()};
}

Nonce read_nonce(Cursor& cursor) {
    Nonce nonce{};
    const Bytes bytes = cursor.take(kNonceBytes);
    if (cursor.ok()) std::copy(bytes.begin(), bytes.end(), nonce.begin());
    return nonce;
}

// What is wrong with a body beyond its end: it is malformed, or one of its values is refused.
struct Fault {
    bool malformed = false;
    std::optional<ControlError> refusal;

    void add(std::optional<ControlError> found) {
        if (!refusal) refusal = std::move(found);
    }
};

// The account is empty when it is refused: nothing may be done with its bytes.
AccountKey read_account(Cursor& cursor, Fault& fault) {
    const auto kind = cursor.read<std::uint8_t>();
    const Bytes bytes = cursor.take(cursor.read<std::uint8_t>());
    if (!cursor.ok()) return {};
    auto refusal = refusal_of_account(kind, bytes);
    if (!refusal) return AccountKey({static_cast<AccountKind>(kind), bytes});
    fault.add(std::move(refusal));
    return {};
}

std::string read_name(Cursor& cursor, Fault& fault) {
    std::string name(cursor.text());
    if (cursor.ok()) fault.add(refusal_of_name(name));
    return name;
}

// Nothing when the type is not known. What is wrong shows in the cursor, or in `fault`.
std::optional<ControlBody> read_body(Type type, Cursor& cursor, Fault& fault) {
    switch (type) {
        case Type::Attach: {
            Attach body;
            body.nonce = read_nonce(cursor);
            body.account = read_account(cursor, fault);
            body.durable = (cursor.read<std::uint16_t>() & kDurable) != 0;
            body.subscriber = read_name(cursor, fault);
            body.cursor = cursor.read<Lsn>();
            body.history = read_history(cursor);
            return body;
        }
        case Type::Attached: {
            Attached body;
            body.epoch = cursor.read<std::uint64_t>();
            body.head_sequence = cursor.read<std::uint64_t>();
            body.heartbeat_ms = cursor.read<std::uint32_t>();
            body.history = read_history(cursor);
            body.endpoint = cursor.text();
            body.topic = cursor.text();
            return body;
        }
        case Type::Detach: {
            Detach body;
            body.nonce = read_nonce(cursor);
            body.forget = (cursor.read<std::uint16_t>() & kForget) != 0;
            return body;
        }
        case Type::Detached: return Detached{};
        case Type::Describe: {
            const std::size_t count = cursor.read<std::uint16_t>();
            fault.malformed = count > kMaxDescribe || count * 8 != cursor.left();
            Describe body;
            for (std::size_t i = 0; !fault.malformed && i < count; ++i) {
                const auto relation = cursor.read<std::uint32_t>();
                body.schemas.push_back({relation, cursor.read<std::uint32_t>()});
            }
            return body;
        }
        case Type::Described: {
            Described body;
            const std::size_t count = cursor.read<std::uint16_t>();
            for (std::size_t i = 0; i < count && cursor.ok(); ++i)
                body.schemas.emplace_back(as_text(cursor.take(cursor.read<std::uint32_t>())));
            return body;
        }
        case Type::Status: return Status{};
        case Type::StatusReply: {
            StatusReply body;
            const std::size_t count = cursor.read<std::uint16_t>();
            for (std::size_t i = 0; i < count && cursor.ok(); ++i) {
                const std::string_view name = cursor.text();
                body.values.emplace_back(name, cursor.text());
            }
            return body;
        }
        case Type::Confirm: return Confirm{};
        case Type::Confirmed: return Confirmed{cursor.read<std::uint64_t>()};
        case Type::Ping: return Ping{};
        case Type::Pong: return Pong{cursor.read<std::uint64_t>()};
        case Type::Replay: {
            Replay body;
            body.nonce = read_nonce(cursor);
            body.epoch = cursor.read<std::uint64_t>();
            const auto from = cursor.read<std::uint8_t>();
            body.from = static_cast<Replay::From>(from);
            body.sequence = cursor.read<std::uint64_t>();
            body.cursor = cursor.read<Lsn>();
            body.history = read_history(cursor);
            body.credit = cursor.read<std::uint32_t>();
            fault.malformed = from > static_cast<std::uint8_t>(Replay::From::Continue);
            return body;
        }
        case Type::Replayed: {
            Replayed body;
            body.epoch = cursor.read<std::uint64_t>();
            body.first_sequence = cursor.read<std::uint64_t>();
            body.end = (cursor.read<std::uint8_t>() & kEnd) != 0;
            body.messages = cursor.read<std::uint16_t>();
            return body;
        }
        case Type::SnapshotRequest: {
            SnapshotRequest body;
            body.nonce = read_nonce(cursor);
            body.snapshot = cursor.read<std::uint64_t>();
            body.offset = cursor.read<std::uint64_t>();
            body.credit = cursor.read<std::uint32_t>();
            if (cursor.left() != 0) body.not_before = cursor.read<Lsn>();
            return body;
        }
        case Type::SnapshotPart: {
            SnapshotPart body;
            body.snapshot = cursor.read<std::uint64_t>();
            body.next_offset = cursor.read<std::uint64_t>();
            body.end = (cursor.read<std::uint8_t>() & kEnd) != 0;
            body.messages = cursor.read<std::uint16_t>();
            body.cursor = cursor.read<Lsn>();
            body.until = cursor.read<Lsn>();
            body.sees.xmin = cursor.read<std::uint64_t>();
            body.sees.xmax = cursor.read<std::uint64_t>();
            const std::size_t count = cursor.read<std::uint32_t>();
            fault.malformed = count * sizeof(std::uint64_t) != cursor.left();
            for (std::size_t i = 0; !fault.malformed && i < count; ++i)
                body.sees.in_progress.push_back(cursor.read<std::uint64_t>());
            return body;
        }
        case Type::Acknowledge: {
            Acknowledge body;
            body.nonce = read_nonce(cursor);
            body.cursor = cursor.read<Lsn>();
            return body;
        }
        case Type::ListDurables: {
            ListDurables body;
            body.account = read_account(cursor, fault);
            body.after = cursor.text();
            return body;
        }
        case Type::DurableList: {
            DurableList body;
            body.end = (cursor.read<std::uint8_t>() & kEnd) != 0;
            const std::size_t count = cursor.read<std::uint16_t>();
            for (std::size_t i = 0; i < count && cursor.ok(); ++i) {
                DurableEntry entry;
                entry.account = read_account(cursor, fault);
                entry.name = cursor.text();
                entry.acknowledged = cursor.read<Lsn>();
                entry.stored = cursor.read<Lsn>();
                const auto flags = cursor.read<std::uint8_t>();
                entry.attached = (flags & kAttached) != 0;
                entry.holds = (flags & kHolds) != 0;
                body.durables.push_back(std::move(entry));
            }
            return body;
        }
        case Type::ForgetDurable: {
            ForgetDurable body;
            body.account = read_account(cursor, fault);
            body.name = read_name(cursor, fault);
            return body;
        }
        case Type::Forgotten: return Forgotten{};
        case Type::Error: {
            ControlError body;
            body.code = static_cast<ErrorCode>(cursor.read<std::uint16_t>());
            body.message = cursor.text();
            body.detail = cursor.text();
            body.hint = cursor.text();
            return body;
        }
    }
    return std::nullopt;
}

DecodedControl refuse(std::uint32_t request_id, ErrorCode code, std::string message,
                      std::string detail) {
    DecodedControl decoded;
    decoded.error =
        ControlMessage{request_id, ControlError{code, std::move(message), std::move(detail), {}}};
    return decoded;
}

}  // namespace

std::optional<ControlError> refusal_of_account(std::uint8_t kind, Bytes bytes) {
    const auto bad = [](std::string message, std::string detail, std::string hint) {
        return ControlError{ErrorCode::BadAccount, std::move(message), std::move(detail),
                            std::move(hint)};
    };
    if (kind > static_cast<std::uint8_t>(AccountKind::Text))
        return bad("unknown kind of account", "Kind " + std::to_string(kind) + ".",
                   "Kinds are 0 operators, 2 uuid, 3 integer, 4 text.");
    if (!is_valid_account(kind, bytes.size()))
        return bad(
            "an account's key has the wrong length",
            "Kind " + std::to_string(kind) + " with " + std::to_string(bytes.size()) + " bytes.",
            "Operators have none, a uuid 16, an integer 8, a text at most 255.");
    if (static_cast<AccountKind>(kind) != AccountKind::Text) return std::nullopt;
    if (!is_one_line(as_text(bytes)))
        return bad("an account's key is not text on one line",
                   "It is not UTF-8, or holds a control character or line separator.", {});
    AccountBuffer buffer;
    const AccountView canonical = account_from_text(as_text(bytes), buffer);
    if (canonical.kind != AccountKind::Text)
        return bad("an account's key is of another kind",
                   "The text spells a key of kind " +
                       std::to_string(static_cast<int>(canonical.kind)) + ".",
                   "Send a uuid as kind 2 and an integer as kind 3.");
    return std::nullopt;
}

std::optional<ControlError> refusal_of_name(std::string_view name) {
    if (!name.empty() && name.size() <= kMaxSubscriberNameBytes && is_one_line(name))
        return std::nullopt;
    return ControlError{
        ErrorCode::BadName, "a subscriber's name is not one",
        name.empty() || name.size() > kMaxSubscriberNameBytes
            ? "It has " + std::to_string(name.size()) + " bytes."
            : "It is not UTF-8, or holds a control character or line separator.",
        "Choose 1 to " + std::to_string(kMaxSubscriberNameBytes) + " bytes of text on one line."};
}

AccountKey AccountKey::from_text(std::string_view text) {
    if (text.size() > kMaxAccountBytes)
        throw std::invalid_argument("an account key has at most " +
                                    std::to_string(kMaxAccountBytes) + " bytes");
    AccountBuffer buffer;
    return AccountKey(account_from_text(text, buffer));
}

std::string AccountKey::to_text() const {
    char text[kMaxAccountBytes];
    return {text, account_to_text(view(), text)};
}

std::string encode(const ControlMessage& message) {
    Writer out;
    out.put('F');
    out.put('W');
    out.put(kVersion);
    out.put(static_cast<std::uint8_t>(Encoder::type_of(message.body)));
    out.put(message.request_id);
    std::visit(Encoder{out}, message.body);
    return out.take();
}

DecodedControl decode_control(Bytes bytes) {
    Cursor cursor(bytes);
    if (as_text(cursor.take(2)) != "FW") return {};
    const auto version = cursor.read<std::uint8_t>();
    const auto type = cursor.read<std::uint8_t>();
    const auto request_id = cursor.read<std::uint32_t>();
    if (!cursor.ok())
        return refuse(0, ErrorCode::Malformed, "malformed message",
                      "The header has " + std::to_string(kControlHeaderBytes) + " bytes.");
    if (version != kVersion)
        return refuse(request_id, ErrorCode::Version,
                      "protocol version " + std::to_string(version) + " is not supported",
                      "This is version " + std::to_string(kVersion) + ".");
    Fault fault;
    auto body = read_body(static_cast<Type>(type), cursor, fault);
    if (!body)
        return refuse(request_id, ErrorCode::UnknownType,
                      "unknown message type " + std::to_string(type), {});
    if (!cursor.ok() || fault.malformed || cursor.left() != 0)
        return refuse(request_id, ErrorCode::Malformed,
                      "malformed message of type " + std::to_string(type), {});
    DecodedControl decoded;
    if (fault.refusal) {
        decoded.error = ControlMessage{request_id, std::move(*fault.refusal)};
        return decoded;
    }
    decoded.message = ControlMessage{request_id, std::move(*body)};
    return decoded;
}

}  // namespace fatwal::wire
