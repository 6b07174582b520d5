// Whether fatwald has the slot: it waits for its next attempt, an attempt is under way, or it
// streams.
//
//                  time is over                   the attempt has a stream
//     ┌─────────┐ ─────────────► ┌────────────┐ ─────────────────────────► ┌───────────┐
//     │ Waiting │                │ Connecting │                            │ Streaming │
//     └─────────┘ ◄───────────── └────────────┘                            └───────────┘
//          ▲           it failed                                                 │
//          └─────────────────────────────────────────────────────────────────────┘
//                 the connection is lost, silent, or its slot is; or nothing can be decoded
//
// Each state holds what only it needs, so there is no stream while it connects and no second
// attempt while it streams. The pause before an attempt grows with each failure and begins small
// again after a stream, unless the stream ended because a change cannot be decoded: that fails
// again at once.
//
// What blocks (connecting, waiting for another fatwald to leave the slot) runs in the Connector's
// thread; all else belongs to fatwald's loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "sidecar/backoff.h"
#include "sidecar/postgres/connector.h"
#include "sidecar/postgres/keeper.h"
#include "sidecar/postgres/notices.h"
#include "sidecar/postgres/silence.h"
#include "sidecar/postgres/stream.h"

namespace fatwal::sidecar {

class SlotSession {
public:
    using Time = std::chrono::steady_clock::time_point;

    SlotSession(const Settings& settings, Notices& notices, Time now);
    SlotSession(const SlotSession&) = delete;
    SlotSession& operator=(const SlotSession&) = delete;

    // Begins an attempt if its time has come. `streamed_before`: see Connector::start().
    void connect_if_due(Time now, bool streamed_before);
    // When connect_if_due() has something to do.
    [[nodiscard]] std::optional<Time> next_attempt() const;
    // Readable when an attempt has ended.
    [[nodiscard]] int connector_fd() const { return connector_.fd(); }
    // How the attempt has ended; nothing when none is under way. It is still Connecting: begin() or
    // lose() follows.
    [[nodiscard]] std::optional<Outcome> outcome();

    // From Connecting: streams from here on.
    void begin(Connection connection, std::chrono::milliseconds sender_timeout, Time now);
    // From Connecting or Streaming: logs why, and waits for the next attempt.
    void lose(const Failure& failure, Time now);

    // Null when it does not stream. lose() ends its life.
    [[nodiscard]] Stream* stream();
    // The descriptor of the stream's connection; -1: none.
    [[nodiscard]] int stream_fd() const;
    // It streams, and the server is not silent for too long.
    [[nodiscard]] bool is_live() const;
    [[nodiscard]] bool streams() const { return std::holds_alternative<Streaming>(state_); }
    // Since when there is no stream; the start, if there never was one.
    [[nodiscard]] Time lost_at() const { return lost_at_; }

    // The server has sent something.
    void heard(Time now);
    // Sends a status message to the server, and asks it to answer. False when the connection is
    // lost: lose() follows.
    [[nodiscard]] bool confirm(wire::Lsn received, wire::Lsn confirmed, Time now);
    // Between two status messages, at most: a silent server is to be noticed.
    [[nodiscard]] std::chrono::milliseconds most_interval() const;
    // Logs when the stream stalls, and when it moves again. Gives the failure when the server was
    // silent for too long: lose() follows.
    [[nodiscard]] std::optional<Failure> check_silence(Time now);
    // Stores what the server says of the slot. Gives the failure when the slot can no longer be
    // streamed: lose() follows.
    [[nodiscard]] std::optional<Failure> check(const SlotHealth& health);

    // "connecting", "streaming" or "stalled".
    [[nodiscard]] const char* text() const;
    // It waits for the slot, which another fatwald streams.
    [[nodiscard]] bool waits_for_another() const {
        return std::holds_alternative<Connecting>(state_) && connector_.waits_for_another();
    }
    // Why the last attempt or stream ended, on one line; empty while it streams.
    [[nodiscard]] const std::string& why() const { return why_; }
    [[nodiscard]] const SlotHealth::Slot& health() const { return health_; }
    [[nodiscard]] std::uint64_t reconnects() const { return reconnects_; }

private:
    struct Waiting {
        Time until;
    };
    struct Connecting {};
    struct Streaming {
        Stream stream;
        Silence silence = {};
        bool stalled = false;
    };

    const Settings& settings_;
    Connector connector_;
    Backoff backoff_;
    std::variant<Waiting, Connecting, Streaming> state_;
    Time lost_at_;
    std::string why_;
    SlotHealth::Slot health_;
    std::uint64_t reconnects_ = 0;
};

}  // namespace fatwal::sidecar
