// Snapshots of accounts: read from the database by a few sessions, one snapshot for all who ask at
// about the same time, kept in spools until their readers have them. So neither a large account nor
// a slow reader costs memory, and a crowd costs few connections.
//
// A snapshot waits for its turn (snapshot_concurrency of them are read at a time), is read, ends,
// and is kept: for snapshot_reuse_ms for others of its account, and for as long as an attached
// subscriber reads it, however slowly, within retention_s without a read. The turn waits while the
// spools hold as much as they may (spool_bytes); then snapshots that nobody reads go first.
//
// A snapshot that fails answers all of its account with its reason for a while that grows with each
// failure: whatever makes it fail (a right that is missing, a row filter) is seldom mended in
// milliseconds, and many subscribers ask.
//
// One snapshot:
//
//     turn ─► running: job ─► taken: cursor ─► readable ─► ended ─► forgotten
//               │                │                           ▲
//               │ failed, or its cursor is too old           │ nobody has rows of it: again, as
//               ▼                ▼                           │ the same one; else `abandoned`,
//             failed      back to turn ──────────────────────┘ and a new one
//
// What one account or credential asks for leaves room for others: of an account at most kMostKept
// snapshots are kept, and of those that take more than a quarter of spool_bytes two; then the
// newest serves for longer than snapshot_reuse_ms, and who needs a later one is refused. And while
// another credential waits for its turn, one has not the last session.
//
// Numbers rise in the order in which snapshots are begun, and `newest_begun` and `oldest_unknown`
// bound those that may have been taken and are not known yet. The ledger's Visibility needs that: a
// snapshot that is known later may be older than what a newer one has seen.
//
// Invariants: a running snapshot has a job; no more run than snapshot_concurrency; a snapshot is
// readable only when its cursor is known. The sessions' threads read (snapshot_sessions.h); all
// else belongs to fatwald's loop.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/control.h"
#include "service/event.h"
#include "service/metrics_text.h"
#include "sidecar/account_map.h"
#include "sidecar/delivery/snapshot_job.h"
#include "sidecar/delivery/snapshot_sessions.h"
#include "sidecar/delivery/spool.h"
#include "sidecar/postgres/connection.h"
#include "sidecar/postgres/notices.h"

namespace fatwal::sidecar {

class Snapshots {
public:
    using Time = std::chrono::steady_clock::time_point;
    using Id = std::uint64_t;

    // A snapshot has been taken by the database: its rows are being read.
    struct NewSnapshot {
        Id id = 0;
        wire::TransactionSnapshot sees;
        wire::Lsn until = 0;  // every transaction that it sees commits before
    };
    // Some of its messages, as the extension wrote them.
    struct Part {
        std::vector<zmq::message_t> messages;
        std::uint64_t next_offset = 0;
        bool end = false;
    };
    // What a snapshot has to be for a subscriber to use it.
    struct Needs {
        wire::Lsn floor = 0;  // the stream resumes here or later, as nothing before can be replayed
        wire::Lsn resync = 0;     // it was taken after the transaction that commits here; 0: none
        wire::Lsn published = 0;  // every transaction that commits before is published
    };

    Snapshots(const Settings& settings, SpoolBudget& budget);
    ~Snapshots();
    Snapshots(const Snapshots&) = delete;
    Snapshots& operator=(const Snapshots&) = delete;

    // The snapshot that serves the account now, a new one if there is none; nothing when the
    // account has too many. `credential`: who asks; empty for local callers.
    std::optional<Id> find_or_begin(const wire::AccountKey& account, const Needs& needs,
                                    const std::string& credential, Time now);
    // It reads on in none of those that were begun.
    void leave(const wire::Nonce& reader);
    // Somebody waits for it: it is not forgotten now.
    void keep(Id id, Time now);
    // Where the stream resumes after it, to be set once it is taken.
    void set_cursor(Id id, wire::Lsn cursor);
    // Takes it again after a pause that grows, as what it does not see can no longer be replayed.
    void take_again(Id id, Time now);

    enum class Readiness { Unknown, Waiting, Readable, Failed };
    // Waiting: nothing to read at `offset` yet.
    [[nodiscard]] Readiness readiness(Id id, std::uint64_t offset) const;
    [[nodiscard]] Failure failure(Id id) const;
    [[nodiscard]] wire::AccountKey account(Id id) const;
    // Whether it may be sent only when the stream has reached `until` (snapshot_requests.h).
    [[nodiscard]] bool standby_first(Id id) const;
    // Of a snapshot that is Readable: the reply without its messages, and about `credit` bytes of
    // those, one at least. It is kept for this reader until that has read it to its end.
    [[nodiscard]] wire::SnapshotPart head(Id id) const;
    [[nodiscard]] std::optional<Part> read(Id id, const wire::Nonce& reader, std::uint64_t offset,
                                           std::size_t credit, Time now);

    // Readable when a snapshot was taken, has grown, or has ended; then call progress().
    [[nodiscard]] int fd() const { return event_.fd(); }
    // What was taken since the last call, and which snapshots may have more for those who wait.
    struct Progress {
        std::vector<NewSnapshot> taken;
        std::vector<Id> changed;
    };
    Progress progress();
    // Begins those that wait for their turn, forgets those that nobody reads any more; gives the
    // ids of the forgotten.
    using Attached = std::function<bool(const wire::Nonce&)>;
    std::vector<Id> tick(Time now, const Attached& attached);
    // Forgets all: another stream has begun.
    void clear();

    // The newest that was begun, and the oldest that may have been taken but is not known to
    // progress() yet; its number is that of the next one when there is none.
    [[nodiscard]] Id newest_begun() const { return newest_begun_; }
    [[nodiscard]] Id oldest_unknown() const;
    [[nodiscard]] std::uint64_t queries() const { return queries_; }
    [[nodiscard]] std::size_t size() const { return snapshots_.size(); }
    // Whether this reader has begun one and not read it to its end.
    [[nodiscard]] bool is_read_by(const wire::Nonce& reader) const {
        return reads_.contains(reader);
    }
    [[nodiscard]] std::size_t waiting() const;
    [[nodiscard]] std::uint64_t failures() const { return failures_; }
    // Of those that ended well: how long each took from its turn on, and their rows.
    [[nodiscard]] const service::Histogram& durations() const { return durations_; }
    [[nodiscard]] std::uint64_t rows() const { return rows_; }
    [[nodiscard]] std::size_t running() const { return running_.size(); }
    // Why the last one failed; empty when one has succeeded since.
    [[nodiscard]] const std::string& last_failure() const { return last_failure_; }
    // The failures since the last call, for the log: each text once a minute, with its count.
    [[nodiscard]] std::vector<std::string> log_lines(Time now) { return log_.lines(now); }

private:
    struct Snapshot;
    static constexpr std::size_t kMostKept = 8;
    // How long an account's last failure stands, and the next one will.
    struct Cooldown {
        std::chrono::milliseconds pause;
        Time until;
    };
    Snapshot& add(const wire::AccountKey& account, Time now);
    void begin_waiting(Time now);
    bool make_room(Time now);
    void drop_job(Snapshot& snapshot);
    void try_again(Snapshot& snapshot, const Failure& why, Time now);
    void failed(Snapshot& snapshot, const Failure& why, Time now);
    enum class Age : std::uint8_t { Fresh, Any };
    [[nodiscard]] bool serves(const Snapshot& snapshot, const Needs& needs, Age age,
                              Time now) const;
    [[nodiscard]] bool has_many(const wire::AccountKey& account) const;
    [[nodiscard]] std::optional<Id> next_in_turn();
    [[nodiscard]] Snapshot* find(Id id) const;

    const Settings& settings_;
    SpoolBudget& budget_;
    service::Event event_;
    Id last_id_ = 0;
    Id newest_begun_ = 0;
    std::uint64_t queries_ = 0;
    std::uint64_t failures_ = 0;
    service::Histogram durations_{service::latency_bounds()};
    std::uint64_t rows_ = 0;
    std::string last_failure_;
    Notices log_;
    std::map<Id, std::unique_ptr<Snapshot>> snapshots_;
    AccountMap<Id> newest_;                        // of each account
    std::map<wire::Nonce, Id> reads_;              // which one each reader has not read to its end
    std::map<std::string, std::deque<Id>> turns_;  // those that wait, by who asked
    std::string served_;                           // whose turn it was last
    std::set<Id> running_;            // those whose turn has come and that have not ended
    AccountMap<Cooldown> cooldowns_;  // of accounts whose last snapshot failed
    SnapshotPlans plans_;             // of pgoutput
    SnapshotSessions sessions_;       // ends before what its tasks use
};

}  // namespace fatwal::sidecar
