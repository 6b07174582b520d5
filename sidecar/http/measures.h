// What fatwald's loop measures of itself, for /metrics. One thread: fatwald's loop.
#pragma once

#include <cstdint>

#include "service/metrics_text.h"
#include "service/watch.h"
#include "sidecar/http/position_ages.h"

namespace fatwal::sidecar {

struct Measures {
    service::TurnTimes turns;
    // From the COMMIT, by the server's clock, to the moment at which the last frame of a
    // transaction was handed to its sockets.
    service::Histogram publish_latency{service::latency_bounds()};
    std::uint64_t received_frames = 0;
    std::uint64_t received_bytes = 0;     // of all messages of the plugin
    std::uint64_t published_changes = 0;  // of all accounts
    std::uint64_t gaps = 0;               // starts that left changes out
    PositionAges received;
};

}  // namespace fatwal::sidecar
