// Snapshots as subscribers ask for them: the parts of a snapshot in, whoever waits for one, and the
// position from which the stream resumes behind it.
//
// What a snapshot does not see must be replayable. Where its stream resumes (`cursor`) is decided
// when the database has taken it:
//
//         floor of replay                        cursor                   published
//     ---------|-----------------------------------|-------------------------|------> LSN
//              |                                   |                         |
//              |                                   |                         `- the stream is here
//              |                                   `- the oldest transaction that the snapshot
//              |                                      does not see, or `published`
//              `- nothing before can be replayed: memory begins here, or the slot is confirmed
//
// Everything that commits before the cursor is in the snapshot. A hold keeps the slot at the cursor
// until the snapshot is forgotten, and for each reader until it has caught up. A cursor before the
// floor is of no use to anybody: the snapshot is taken again.
//
// A snapshot shows what the database has, which the stream reaches later (`until`). So the parts
// for a caller with a key are held back until it does: a right that was revoked before what the
// snapshot shows is then known to be gone, and its attachment has ended. For everybody they are
// held back where the server streams nothing that its standbys lack (synchronized_standby_slots):
// what only the primary has may be gone after a failover, and no change would ever take it back.
//
// Whoever waits (for the snapshot to be taken, or to grow) is kept by snapshot: whatever happens to
// one concerns its own waiters, and a crowd waits for thousands. A subscriber waits for one
// snapshot, once: if it asks again, that replaces its request. A snapshot is not forgotten while
// somebody waits for it. One thread: fatwald's loop.
//
// Invariant: who waits is in waiting_ and in waits_for_.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "sidecar/delivery/epoch.h"
#include "sidecar/delivery/ledger.h"
#include "sidecar/delivery/snapshots.h"
#include "sidecar/subscribers/attachments.h"
#include "sidecar/subscribers/control.h"

namespace fatwal::sidecar {

class SnapshotRequests {
public:
    SnapshotRequests(const Settings& settings, Accounts& accounts, Attachments& attachments,
                     const Epoch& epoch, Ledger& ledger, Snapshots& snapshots, Control& control);

    // Nothing: the reply comes later, by progress(), or never.
    [[nodiscard]] std::optional<Reply> answer(wire::SnapshotRequest request,
                                              const Requester& requester, Clock::time_point now);
    // Call it when snapshots_.fd() is readable: answers whoever waits for what has happened.
    void progress(Clock::time_point now);
    // The stream has moved on: answers whoever was held back until here.
    void stream_moved(Clock::time_point now);
    // Whether somebody is held back.
    [[nodiscard]] bool awaits_stream() const { return !held_.empty(); }
    void tick(Clock::time_point now);
    // This subscriber waits for nothing any more.
    void forget(const wire::Nonce& nonce);
    // An epoch begins.
    void clear();

    // Whether this subscriber waits for a snapshot, or has read a part of one.
    [[nodiscard]] bool concerns(const wire::Nonce& nonce) const {
        return waits_for_.contains(nonce) || snapshots_.is_read_by(nonce);
    }

private:
    using Id = Snapshots::Id;
    struct WaitingRequest {
        Requester requester;
        wire::SnapshotRequest request;
    };
    [[nodiscard]] std::optional<Reply> refusal(const wire::SnapshotRequest& request,
                                               const Attachment& attachment) const;
    [[nodiscard]] Reply part(const wire::SnapshotRequest& request, Clock::time_point now);
    void wait(const wire::SnapshotRequest& request, const Requester& requester);
    void answer_waiting(Id id, Clock::time_point now);
    void resume_behind(const Snapshots::NewSnapshot& snapshot, Clock::time_point now);
    // Every transaction of this account that commits here or later can be replayed.
    [[nodiscard]] wire::Lsn replayable_from(wire::AccountView account) const;

    const Settings& settings_;
    Accounts& accounts_;
    Attachments& attachments_;
    const Epoch& epoch_;
    Ledger& ledger_;
    Snapshots& snapshots_;
    Control& control_;
    std::map<Id, std::map<wire::Nonce, WaitingRequest>> waiting_;
    std::map<wire::Nonce, Id> waits_for_;      // of waiting_, the other way round
    std::set<std::pair<wire::Lsn, Id>> held_;  // snapshots whose waiters the stream has to reach
    // Where the parts of each snapshot begin that were sent: no message need begin elsewhere.
    std::map<Id, std::set<std::uint64_t>> part_offsets_;
};

}  // namespace fatwal::sidecar
