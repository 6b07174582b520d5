// The words that all of the access domain uses.
//
// The module portal/access/ is a core without I/O: events and the time go in, actions come out.
// Nothing here has a clock, a thread, a lock or a socket. Everything of one account (its state,
// presence and channels) is called from one thread at a time; different accounts may be on
// different threads, and Relays, which all accounts read, changes only while none of them runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "fatwal/client/typed.h"

namespace fatwal::access {

using client::Uuid;
// Two times, which are never compared. What a row or a policy says ends at an instant of the wall
// clock, in UTC. What is waited for lasts a length of time, by a clock that nobody sets. Channels
// never ask for either themselves.
using Instant = client::Timestamp;
using Tick = std::chrono::time_point<std::chrono::steady_clock, std::chrono::microseconds>;
using Json = nlohmann::json;
using Ids = std::unordered_set<Uuid>;

// 64 random bits a call. A process seeds one generator from the system's entropy; a test from a
// number.
using Random = std::function<std::uint64_t()>;

// A process of channels, by its number in the fleet's directory; 0 is none.
using ProcessId = std::uint64_t;

// Which connection of a device: each registration has a higher one than those before it. 0
// addresses whichever is current.
using Generation = std::uint64_t;

// A random UUID (version 4).
[[nodiscard]] Uuid random_uuid(const Random& random);

// Seconds since 1970, the form of every time in a payload; rounded down, so that no device holds on
// for longer than it may.
[[nodiscard]] std::int64_t unix_seconds(Instant time);

// As people read it, in whole seconds that are rounded down: 2026-03-01T17:59:59Z.
[[nodiscard]] std::string utc_text(Instant time);

}  // namespace fatwal::access
