// What the server must have before a slot can be streamed.
#pragma once

#include <chrono>
#include <optional>

#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

struct Server {
    bool slot_exists = false;
    std::chrono::milliseconds sender_timeout{0};
};

// Checks settings, extension, role, publications and slot over an ordinary connection; throws the
// first lack as the Failure, with the statement that mends it. With on_lost_slot=resync a slot that
// the server has invalidated is dropped here. `streamed_before`: the slot was streamed in this run.
Server preflight(PGconn* connection, const Settings& settings, bool streamed_before);

}  // namespace fatwal::sidecar
