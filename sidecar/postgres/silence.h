// Whether the server that streams to us is alive.
//
// A server that goes silent without closing (a paused machine, a cut cable, a frozen balancer)
// looks like an idle one. So fatwald asks for a keepalive with each of its own status messages,
// which a live server answers at once, or, while it decodes a large transaction, within half of its
// sender timeout. Counted from the last byte that came:
//
//     0 ──────────── 2/3 bound: stalled ──────────── bound: lost
//
// Stalled: no heartbeats, no new subscribers; they turn to another fatwald. Lost: connect again.
// The bound is the server's wal_sender_timeout, after which the server has given the slot free as
// well. A server without one gets kOwnBound. Silence counts only if somebody asked: fatwald itself
// may have been paused.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace fatwal::sidecar {

class Silence {
public:
    using Time = std::chrono::steady_clock::time_point;
    using Span = std::chrono::steady_clock::duration;
    static constexpr std::chrono::seconds kOwnBound{60};

    enum class Liveness { Alive, Stalled, Lost };

    // A stream begins. `sender_timeout` 0: the server has none.
    void begin(Time now, std::chrono::milliseconds sender_timeout) {
        bound_ = sender_timeout.count() > 0 ? Span(sender_timeout) : Span(kOwnBound);
        heard(now);
    }
    void heard(Time now) {
        heard_ = now;
        asked_.reset();
    }
    void asked(Time now) {
        if (!asked_) asked_ = now;
    }
    [[nodiscard]] Liveness check(Time now) const {
        // The answer must have had the time to come.
        if (!asked_ || now - *asked_ < bound_ / 4) return Liveness::Alive;
        if (now - heard_ >= bound_) return Liveness::Lost;
        return now - heard_ >= bound_ * 2 / 3 ? Liveness::Stalled : Liveness::Alive;
    }
    // Between two questions, at most.
    [[nodiscard]] std::chrono::milliseconds interval() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(bound_ / 4);
    }

private:
    Span bound_ = kOwnBound;
    Time heard_;
    std::optional<Time> asked_;  // the first time since heard_
};

}  // namespace fatwal::sidecar
