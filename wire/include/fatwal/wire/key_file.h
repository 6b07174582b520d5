// Key files, in ZeroMQ's certificate format (ZPL), as `fatwal keygen` and zmq.auth of pyzmq write
// them: lines of `name = "value"`, of which public-key and secret-key count.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fatwal::wire {

// Of CURVE, each in Z85: 40 characters for the 32 bytes of a key.
struct KeyPair {
    std::string public_key;
    std::string secret_key;
};

// Whether it is spelled as a key. libzmq takes some characters that are not of Z85 for others.
[[nodiscard]] bool is_key(std::string_view text);

// The keys in the text of a key file; nothing when one of them is missing, or is none. Whether the
// one is of the other only CURVE can tell.
[[nodiscard]] std::optional<KeyPair> key_pair_in(std::string_view file);

}  // namespace fatwal::wire
