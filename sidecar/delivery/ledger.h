// What was received from the slot, what was published, seen and acknowledged, and so what may be
// confirmed. No I/O: events in, answers out.
//
// Five positions in the WAL, in this order; each only rises while one epoch lasts:
//
//     confirmed    confirmable      published        received     the server's end
//   ------|-------------|---------------|----------------|---------------|------> LSN
//         |             |               |                |
//         |             |               |                `- read from the slot
//         |             |               `- every transaction that commits before is published
//         |             `- before it nobody needs the WAL: no hold, no snapshot that may not see it
//         `- sent to Postgres, which may remove the WAL before it (confirmation.h)
//
// A frame moves `received` when it comes and `published` when it is the last of its transaction.
// `confirmable` is the least of `published`, the oldest transaction that a snapshot may not see yet
// (Visibility) and the oldest hold (Holds). After a lost connection the server sends again from
// `confirmed` on: admit() leaves out what was published, frame by frame, as the plugin cuts a
// transaction into the same frames each time.
//
// One thread: fatwald's loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "fatwal/wire/publication.h"
#include "fatwal/wire/transaction_snapshot.h"

namespace fatwal::sidecar {

inline constexpr wire::Lsn kNoLsn = std::numeric_limits<wire::Lsn>::max();

// The transactions that were published and that a new snapshot of the database may not see yet. A
// commit is decoded when its record is flushed; others see it only after that, and under
// synchronous replication perhaps long after. Whoever takes a snapshot in between needs the
// transaction from the log, so it is not confirmable before all see it.
class Visibility {
public:
    // The last frame of a transaction was published.
    void add(std::uint32_t xid, wire::Lsn commit_lsn);
    // A snapshot that was taken now: what it sees, all later ones see. Other snapshots up to the
    // one numbered `newest_begun` may have been taken before it and not be known yet.
    void seen(const wire::TransactionSnapshot& snapshot, std::uint64_t newest_begun);
    // All snapshots before the one of this number are known.
    void known_before(std::uint64_t number);
    // No snapshot will ever be taken that does not see all: the server is going down, or another's
    // stream begins.
    void seen_all();

    [[nodiscard]] bool all_seen() const { return unseen_.empty(); }
    // Where the oldest of them commits; kNoLsn when there is none.
    [[nodiscard]] wire::Lsn oldest() const {
        return unseen_.empty() ? kNoLsn : unseen_.front().commit_lsn;
    }
    // Where the oldest commits that this snapshot does not see, also of those that a newer one has
    // seen.
    [[nodiscard]] wire::Lsn oldest_unseen_by(const wire::TransactionSnapshot& snapshot) const;

private:
    struct Transaction {
        std::uint32_t xid;
        wire::Lsn commit_lsn;
    };
    struct SeenTransaction {
        Transaction transaction;
        std::uint64_t newest_begun;
    };
    std::deque<Transaction> unseen_;    // in commit order
    std::deque<SeenTransaction> seen_;  // that a snapshot which is not known yet may not see
};

// Who keeps WAL: a subscriber that catches up, a snapshot, or a durable subscriber. Keys are
// values: text that is joined from parts can be the same for different parts, and names are chosen
// by peers.
struct AttachmentHold {
    wire::Nonce nonce{};
    friend auto operator<=>(const AttachmentHold&, const AttachmentHold&) = default;
};
struct SnapshotHold {
    std::uint64_t id = 0;
    friend auto operator<=>(const SnapshotHold&, const SnapshotHold&) = default;
};
struct DurableKey {
    wire::AccountKey account;
    std::string name;
    friend auto operator<=>(const DurableKey&, const DurableKey&) = default;
};
using HoldKey = std::variant<AttachmentHold, SnapshotHold, DurableKey>;

// The WAL holds: who needs the log from which position on.
class Holds {
public:
    using Time = std::chrono::steady_clock::time_point;

    // Moves the hold, or makes it. `now` counts for its age if it is made or moved.
    void hold(const HoldKey& key, wire::Lsn from, Time now);
    void release(const HoldKey& key) { holds_.erase(key); }
    void clear() { holds_.clear(); }

    // kNoLsn when nothing is held.
    [[nodiscard]] wire::Lsn oldest() const;
    [[nodiscard]] wire::Lsn of(const HoldKey& key) const;
    // Those that are older than `since` or hold more than `bytes` before `published`.
    [[nodiscard]] std::vector<HoldKey> beyond(std::uint64_t bytes, wire::Lsn published,
                                              Time since) const;
    [[nodiscard]] std::size_t size() const { return holds_.size(); }

    struct Hold {
        wire::Lsn from;
        Time since;
    };
    [[nodiscard]] const std::map<HoldKey, Hold>& all() const { return holds_; }
    // Behind the first `skip`, at most `most` of them, those first that hold from the lowest
    // position on.
    [[nodiscard]] std::vector<std::pair<HoldKey, Hold>> worst(std::size_t skip,
                                                              std::size_t most) const;

private:
    std::map<HoldKey, Hold> holds_;
};

class Ledger {
public:
    // The stream begins at `position`: another's work, a new slot, or the first connection. Nothing
    // before it will come.
    void begin(wire::Lsn position);

    // The connection is lost: what comes next begins at or before the last confirmed position.
    void restart() {
        frames_of_transaction_ = 0;
        in_transaction_ = false;
    }

    // Takes the next frame of the stream. False when it was published before the connection was
    // lost and must not be published again: the server begins again at the confirmed position, and
    // the plugin cuts a transaction into the same frames each time.
    [[nodiscard]] bool admit(const wire::FrameView& frame);

    // The admitted frame was handed to its sockets.
    void frame_published(const wire::FrameView& frame);

    // All up to here was sent by the server.
    void keepalive(wire::Lsn wal_end);

    // Every transaction that commits before it was published.
    [[nodiscard]] wire::Lsn published() const { return published_; }
    [[nodiscard]] wire::Lsn received() const { return received_; }
    // Whether a transaction is received in part.
    [[nodiscard]] bool in_transaction() const { return in_transaction_; }

    // What may be confirmed: all before it was published, is seen by every later snapshot, and was
    // acknowledged. Never falls. It rises with a confirmation and not before: until then Postgres
    // has the WAL for whoever must replay, and the heartbeats before the confirmation let those who
    // have everything advance with it.
    [[nodiscard]] wire::Lsn confirmable() const { return confirmable_; }
    // Where the next confirmation would raise it to.
    [[nodiscard]] wire::Lsn next_confirmable() const;
    wire::Lsn raise_confirmable();

    Visibility visibility;
    Holds holds;

private:
    wire::Lsn published_ = 0;
    wire::Lsn confirmable_ = 0;
    wire::Lsn received_ = 0;
    wire::Lsn transaction_ = 0;  // commit LSN of the newest transaction seen
    bool transaction_done_ = true;
    bool in_transaction_ = false;
    std::uint64_t published_of_transaction_ = 0;  // frames of `transaction_`, in this run
    std::uint64_t frames_of_transaction_ = 0;     // frames of `transaction_`, on this connection
};

}  // namespace fatwal::sidecar
