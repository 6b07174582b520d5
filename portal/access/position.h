// Where in its account's stream a state stands.
#pragma once

#include <cstdint>

#include "fatwal/wire/control.h"

namespace fatwal::access {

// A commit LSN of one history. A failover or a restore begins another history, in which the same
// LSN means something else and the stream may stand at a lower one: positions of two histories are
// never compared.
struct Position {
    wire::History history;
    std::uint64_t lsn = 0;

    [[nodiscard]] bool is_behind(const Position& other) const {
        return history == other.history && lsn < other.lsn;
    }
    friend bool operator==(const Position&, const Position&) = default;
};

}  // namespace fatwal::access
