// The messages of the control protocol. See docs/control-protocol.md. Not for the extension: these own their strings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fatwal/wire/account.h"
#include "fatwal/wire/publication.h"
#include "fatwal/wire/types.h"

namespace fatwal::wire {

inline constexpr std::size_t kControlHeaderBytes = 8;
inline constexpr std::size_t kMaxControlBytes = 64 * 1024;
inline constexpr std::size_t kMaxSubscriberNameBytes = 63;
inline constexpr std::size_t kMaxDescribe = 4096;

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
};

struct Attach {
    Nonce nonce{};
    AccountKey account;
    bool durable = false;
    std::string subscriber;
};
struct Attached {
    std::uint64_t epoch = 0;
    std::uint64_t head_sequence = 0;
    std::uint32_t heartbeat_ms = 0;
    std::string endpoint;
};
struct Detach {
    Nonce nonce{};
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
struct ControlError {
    ErrorCode code = ErrorCode::Internal;
    std::string message;
    std::string detail;
    std::string hint;
};

using ControlBody = std::variant<Attach, Attached, Detach, Detached, Describe, Described, Status, StatusReply, Confirm, Confirmed, Ping,
                                 Pong, ControlError>;

struct ControlMessage {
    std::uint32_t request_id = 0;
    ControlBody body;
};

[[nodiscard]] std::string encode(const ControlMessage& message);

// What decode() found: a message; an error to answer with (its request id is 0 when the header was cut); or, with neither,
// something of another protocol, to be dropped.
struct DecodedControl {
    std::optional<ControlMessage> message;
    std::optional<ControlMessage> error;
};
[[nodiscard]] DecodedControl decode_control(Bytes bytes);

}  // namespace fatwal::wire
