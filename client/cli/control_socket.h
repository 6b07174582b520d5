// How the commands reach fatwald's control endpoint: with keys or without.
#pragma once

#include <optional>
#include <string>

#include <zmq.hpp>

#include "client/cli/commands.h"
#include "fatwal/client/keys.h"

namespace fatwal::cli {

// Nothing when none are given. Throws what client::Keys::from_file() throws.
[[nodiscard]] std::optional<client::Keys> load_keys(const KeyArguments& arguments);

// A DEALER that is connected, with linger 0.
[[nodiscard]] zmq::socket_t control_socket(zmq::context_t& context, const std::string& control,
                                           const KeyArguments& arguments);

// For standard error, when no reply has come.
[[nodiscard]] std::string no_reply_from(const std::string& control, const KeyArguments& arguments);

}  // namespace fatwal::cli
