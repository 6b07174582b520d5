// What the process measures of itself, for /metrics. One thread, the loop's.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "portal/access/action.h"
#include "service/metrics_text.h"

namespace fatwal::process {

struct Measures {
    // What became of clients' requests for resources, and of pairs that gateways let through.
    enum class Outcome : std::uint8_t { Granted, Forbidden, NotFound, Offline, Other, Revoked };
    static constexpr std::array<const char*, 6> kOutcomes = {"granted", "forbidden", "not_found",
                                                             "offline", "other",     "revoked"};

    // Counts what is pushed to a device.
    void pushed(access::Device device, const access::Push& push);
    void count(Outcome outcome) { ++outcomes.at(static_cast<std::size_t>(outcome)); }

    std::uint64_t pushes_to_clients = 0;
    std::uint64_t pushes_to_gateways = 0;
    std::array<std::uint64_t, kOutcomes.size()> outcomes{};
    // From a COMMIT to what it brings about: when its account has taken it in, when a device is
    // sent something.
    service::Histogram transaction_latency{service::latency_bounds()};
    service::Histogram push_latency{service::latency_bounds()};
    // How long a channel takes to say what a transaction, snapshot or time means for its device.
    service::Histogram decisions{service::latency_bounds()};
};

}  // namespace fatwal::process
