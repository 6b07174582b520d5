// Durable subscribers and the table that outlives this process: what is to be written goes to the
// keeper, and what the keeper answers comes back to whoever waits for it.
//
// A batch of changes has a ticket. It is under way (`storing_`) until the keeper has stored it, or
// has failed; then its changes count, or are to be written again. An ATTACH of a new durable
// subscriber waits with the ticket of the batch that its row is in. Answering it is a promise to
// keep WAL, and a promise must survive a crash of this process, so the row comes first.
//
//     ATTACH ─► attach_when_stored() ─► ticket 7 ─► keeper ─► stored(7) ─► ATTACHED
//                                                        └──► failed(7) ─► ERROR, and again later
//
// A subscriber that is dropped while it is attached gets ERROR 17 with the id of its ATTACH.
//
// Invariant: whoever waits, waits for a ticket that is under way. One thread: fatwald's loop.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sidecar/delivery/durables.h"
#include "sidecar/delivery/ledger.h"
#include "sidecar/postgres/keeper.h"
#include "sidecar/subscribers/attachments.h"
#include "sidecar/subscribers/control.h"
#include "sidecar/subscribers/peer_log.h"

namespace fatwal::sidecar {

class DurableStore {
public:
    DurableStore(const Settings& settings, Accounts& accounts, Attachments& attachments,
                 Holds& holds, Keeper& keeper, Control& control, PeerLog& log);

    // Writes what has changed since the last call.
    void store();
    // Nothing is under way.
    [[nodiscard]] bool idle() const { return storing_.empty(); }

    // Whether this attach is the first of its durable subscriber, which is not stored yet.
    [[nodiscard]] bool is_new(const wire::Attach& request) const;
    // Stores it, and answers the attach when it is stored.
    void attach_when_stored(const wire::Attach& request, const Requester& requester,
                            wire::Attached reply);

    // The keeper's answers.
    void stored(const StoreResult& result, Clock::time_point now);
    void failed(std::uint64_t ticket, const Failure& failure);

    // Takes it out for good. False when there is none of this key.
    bool forget(const DurableKey& key);
    // Drops whoever holds more WAL than `retention_bytes` before `published`, or for longer than
    // `retention_s`.
    void drop_beyond_retention(wire::Lsn published, Clock::time_point now);

    // An epoch begins: what is under way is of the last one.
    void clear();

    [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

private:
    struct WaitingAttach {
        wire::Nonce nonce;
        Requester requester;
        wire::Attached reply;
        DurableKey durable;
    };
    void notify_dropped(const std::vector<Requester>& attached);

    const Settings& settings_;
    Accounts& accounts_;
    Attachments& attachments_;
    Holds& holds_;
    Keeper& keeper_;
    Control& control_;
    PeerLog& log_;
    std::multimap<std::uint64_t, WaitingAttach> waiting_;  // by ticket
    std::map<std::uint64_t, Durables::Changes> storing_;   // by ticket
    std::uint64_t last_ticket_ = 0;
    std::uint64_t dropped_ = 0;  // after retention
};

}  // namespace fatwal::sidecar
