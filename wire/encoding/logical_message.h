// What the messages in the log mean. Any role that may call pg_logical_emit_message writes any
// bytes under any prefix, so nothing here trusts them, and nothing here raises an error: the same
// message would be decoded again and again.
#pragma once

#include <string_view>

#include "fatwal/wire/account.h"
#include "fatwal/wire/types.h"

namespace fatwal::wire {

// The prefix of the messages of fatwal.emit. Their content: str account, str topic, and the payload
// to the end.
inline constexpr char kEmitPrefix[] = "fatwal";
inline constexpr std::size_t kMaxTopicBytes = 255;

// A message up to this size, prefix and content together, fits into a frame whatever lies beside
// it: a record and a part of at most frame_bytes stay below the 1 GB of one message to the client.
inline constexpr std::size_t kMaxMessageBytes = std::size_t{512} * 1024 * 1024;

struct LogicalMessage {
    AccountView account;
    std::uint8_t flags;
    std::string_view prefix;  // the topic, when emitted
    std::string_view content;
};

// The one rule of what fatwal.emit accepts and the plugin passes on as its message; all else is a
// foreign message.
enum class EmitFault : std::uint8_t { None, Account, Topic, Payload, Size };
[[nodiscard]] EmitFault fault_of(std::string_view account, std::string_view topic,
                                 std::string_view payload);

// A message of the log: one of fatwal.emit for its account, or a foreign one for the operators. One
// that is too large has no content and says so. `buffer` holds the account of the result.
[[nodiscard]] LogicalMessage understand(const char* prefix, std::string_view content,
                                        AccountBuffer& buffer);

}  // namespace fatwal::wire
