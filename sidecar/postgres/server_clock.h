// Postgres's clock, as far as its replication messages tell: each says when it was sent. Commit
// times are by that clock, so ages of transactions are measured by it alone, however wrong
// fatwald's or a subscriber's is. No I/O.
//
// A message that was read late makes the clock seem slow, so of the last kWindow the message that
// makes it fastest counts.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "fatwal/wire/types.h"

namespace fatwal::sidecar {

class ServerClock {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kWindow{60};

    // A message that was read at `now` was sent at `sent`.
    void heard(wire::Microseconds sent, Time now) {
        const wire::Microseconds ahead = sent - microseconds(now);
        if (known_ && ahead < ahead_ && now - heard_at_ < kWindow) return;
        known_ = true;
        ahead_ = ahead;
        heard_at_ = now;
    }

    // Microseconds since 2000-01-01; nothing when nothing was heard.
    [[nodiscard]] std::optional<wire::Microseconds> at(Time now) const {
        if (!known_) return std::nullopt;
        return microseconds(now) + ahead_;
    }
    // Seconds since 2000-01-01, what a publication's header has; 0 when nothing was heard.
    [[nodiscard]] std::uint32_t seconds(Time now) const {
        if (!known_) return 0;
        return static_cast<std::uint32_t>((microseconds(now) + ahead_) / 1'000'000);
    }

private:
    static wire::Microseconds microseconds(Time time) {
        return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch())
            .count();
    }

    bool known_ = false;
    wire::Microseconds ahead_ = 0;  // of the steady clock
    Time heard_at_;
};

}  // namespace fatwal::sidecar
