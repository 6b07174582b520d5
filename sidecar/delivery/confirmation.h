// When fatwald confirms a position to Postgres, and what it does before. Pure: events in, the next
// step out; the daemon carries the step out.
//
// Confirming lets Postgres remove WAL, so each confirmation is preceded by what makes it safe:
//
//     ask what new snapshots see ─► confirmable rises ─► heartbeat ─► record ─► confirm
//         (a snapshot session)         (the ledger)       (all)     (the table)  (the stream)
//
// - Ask: a transaction that was published and is not visible yet is not confirmable. Postgres does
//   not say when it becomes visible, so the keeper reads a snapshot while there is such a one.
// - Heartbeat: a subscriber that has received everything advances its cursor by it, so no cursor
//   points into WAL that Postgres may have removed.
// - Record: while there are durable subscribers the position is stored in fatwal.slot first. A slot
//   that stands beyond the stored position was then moved by somebody else (start.h). One position
//   is being stored at a time; what becomes confirmable meanwhile is stored next.
//
// A server that shuts down waits until all is confirmed, and asks for that with a keepalive. From
// then on (`urgent`) every event that may make more confirmable leads to a confirmation at once. It
// takes no more writing by then, so nothing is recorded any more.
//
// Invariants: confirmed never falls within an epoch; confirmed <= confirmable; while positions are
// recorded, it never rises beyond what is recorded. One thread: fatwald's loop.
#pragma once

#include <chrono>
#include <optional>

#include "fatwal/wire/types.h"

namespace fatwal::sidecar {

class Confirmation {
public:
    using Time = std::chrono::steady_clock::time_point;

    // What the ledger and the durable subscribers say at the moment of an event.
    struct Facts {
        wire::Lsn confirmable = 0;  // where a confirmation would raise it to
        wire::Lsn received = 0;
        bool durables = false;     // there are durable subscribers
        bool all_visible = false;  // new snapshots see all that was published
        bool streams = true;       // there is a stream to confirm on
    };
    // What is to be done, in this order. Without a stream nothing is confirmed, so the position
    // does not rise either: it is what Postgres was sent.
    struct Step {
        bool ask = false;                 // the keeper: what do new snapshots see?
        bool heartbeat = false;           // to all subscribers
        std::optional<wire::Lsn> record;  // store it in fatwal.slot
        bool confirm = false;             // send confirmed() to Postgres
        friend bool operator==(const Step&, const Step&) = default;
    };

    // An epoch begins: the slot stands at `begin`, and `recorded` is what the table has.
    void begin(wire::Lsn begin, wire::Lsn recorded);
    // A connection is lost: whoever waited for a confirmation on it waits no more.
    void disconnected();

    // It is time to confirm, or somebody asked for it.
    [[nodiscard]] Step due(const Facts& facts);
    // A keepalive that asks for a reply.
    [[nodiscard]] Step server_asks(const Facts& facts);
    // The keeper has answered what new snapshots see.
    [[nodiscard]] Step visible(const Facts& facts);
    // Acknowledgements were stored, so holds may have moved.
    [[nodiscard]] Step stored(const Facts& facts);
    // The keeper has recorded `position`.
    [[nodiscard]] Step recorded(wire::Lsn position, const Facts& facts);
    // Some work of the keeper has failed. What it was asked may be asked again.
    void keeper_failed();
    // The server takes no more connections.
    [[nodiscard]] Step server_goes_down(const Facts& facts, Time now);
    // Once a second.
    [[nodiscard]] Step tick(const Facts& facts);

    [[nodiscard]] wire::Lsn confirmed() const { return confirmed_; }
    [[nodiscard]] bool records() const { return recording_ != 0; }
    [[nodiscard]] bool urgent() const { return urgent_; }
    [[nodiscard]] std::optional<Time> goes_down_since() const { return goes_down_since_; }

private:
    [[nodiscard]] bool is_recorded_first(const Facts& facts) const {
        return facts.durables && !goes_down_since_;
    }
    void raise(const Facts& facts);

    wire::Lsn confirmed_ = 0;
    wire::Lsn recorded_ = 0;
    wire::Lsn recording_ = 0;  // 0: nothing is being recorded
    bool asking_ = false;
    bool urgent_ = false;
    std::optional<Time> goes_down_since_;
};

}  // namespace fatwal::sidecar
