// Durable subscribers, also those that are away: to list and to forget them, fatwald asks for the
// right to the operators' stream.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "client/cli/control_client.h"
#include "fatwal/wire/control.h"

namespace fatwal::cli {

// The first `most` of them, or some more. Nothing on a failure, which the client has.
[[nodiscard]] std::optional<std::vector<wire::DurableEntry>> list_durables(ControlClient& client,
                                                                           std::size_t most);
// False on a failure, which the client has.
[[nodiscard]] bool forget_durable(ControlClient& client, wire::ForgetDurable request);

}  // namespace fatwal::cli
