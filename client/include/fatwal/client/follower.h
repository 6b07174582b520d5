// From the messages of the sockets to events for the worker: finds gaps and has them replayed,
// takes snapshots, drops repeats, binds schemas, keeps transactions whole. It is the part of a
// subscription that decides; Link carries out what take_request() gives.
//
// States:
//
//     Detached ─attached()─► Joining ─marker()─► Snapshotting ─end─► Replaying ─no hole─► Live
//                                 └──── has a cursor ───────────────────►▲   ◄──a gap──┘
//     From any of the last three: TooOld, a resync record or a transaction that is too old begin a
//     snapshot; detached() ends all.
//
// Numbers of the account's socket in one epoch:
//
//     1 … sequence_ │ sequence_+1 … │ ahead_: some of … head_
//     delivered       missing: asked   came already, wait behind the hole
//
// and positions in the WAL: all that commits before cursor_->next is delivered; with sequence_ ==
// head_ all that commits before position_ was sent, so the cursor may be moved to it.
//
// Invariants: in Live sequence_ == head_, as each message or heartbeat that shows a hole asks for a
// replay at once. In Replaying and Live there is a cursor. A message goes through waiting_, which
// stops at a frame whose schema is not known (DESCRIBE), so nothing overtakes it. No event is
// handed out between the frames of one transaction.
//
// No I/O and no clock of its own: messages and times in, events and requests out, all on one
// thread. The times that it is given only move on, as those of a steady clock: a wall clock that is
// set must not make a stream look old.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fatwal/client/cursor.h"
#include "fatwal/client/events.h"
#include "fatwal/wire/publication.h"

namespace fatwal::client {

struct FollowerOptions {
    wire::AccountKey account;
    // SubscriptionOptions says what each costs and when to change it.
    bool snapshots = true;
    std::size_t max_transaction_bytes = 268'435'456;
    std::size_t max_ahead_bytes = 4'194'304;
    std::uint32_t credit = 1'048'576;
    std::chrono::seconds resync_after{1800};
    std::chrono::milliseconds resync_interval{10'000};
    std::vector<std::string> resync_tables;
    std::optional<Cursor> not_before;
};

class Follower {
public:
    using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

    // `cursor`: where an earlier subscription stood.
    Follower(FollowerOptions options, std::optional<Cursor> cursor);

    // The sidecar has accepted the attach; the marker comes next.
    void attached(const wire::Nonce& nonce, std::uint64_t epoch, const wire::History& history);
    // Nothing more will come of what was asked for.
    void detached();
    // The marker has come: all after its sequence will arrive or show as a gap.
    void marker(const wire::PublicationHeader& header, WallTime now);
    void heartbeat(const wire::PublicationHeader& header, WallTime now);
    void message(const wire::PublicationHeader& header, std::string bytes, WallTime now);

    // The next request to be sent, if any: one at a time, until its answer comes to one of the
    // functions below. With `snapshots` false no snapshot is begun yet: see snapshot_pause().
    std::optional<wire::ControlBody> take_request(bool snapshots = true);
    // How many snapshots were begun, and how long to wait before the newest is asked for: nothing,
    // unless it follows another one closely. Then it grows, as whatever made the last snapshot
    // useless is likely to do so again, and each costs the database a query.
    [[nodiscard]] std::uint64_t snapshots_begun() const { return snapshots_begun_; }
    [[nodiscard]] std::chrono::milliseconds snapshot_pause() const { return snapshot_pause_; }
    // The bytes that the next request asks for.
    void set_credit(std::uint32_t credit) { options_.credit = credit; }
    [[nodiscard]] std::uint32_t credit() const { return options_.credit; }
    void replayed(const wire::Replayed& head, std::vector<std::string> messages, WallTime now);
    void snapshot_part(const wire::SnapshotPart& head, std::vector<std::string> messages);
    void described(std::vector<std::string> schemas, WallTime now);
    // False when the subscription must attach again.
    [[nodiscard]] bool refused(const wire::ControlError& error);
    // No answer came: what was asked for is asked again.
    void ask_again();

    // The next event, oldest first, and how far the worker has come with it; no cursor while a
    // snapshot is not whole.
    using Told = std::pair<Event, std::optional<Cursor>>;
    std::optional<Told> take();
    [[nodiscard]] bool has_events() const { return !events_.empty(); }
    // How far a worker has come that got all events.
    [[nodiscard]] const std::optional<Cursor>& cursor() const {
        return owed_ ? owed_->before : cursor_;
    }
    [[nodiscard]] bool live() const { return state_ == State::Live; }

private:
    enum class State : std::uint8_t {
        Detached,      // nothing comes
        Joining,       // the marker is to come
        Replaying,     // a replay brings what is missing; what comes meanwhile waits
        Snapshotting,  // a snapshot brings the rows; what comes meanwhile is left to the replay
                       // after it
        Live,          // each message continues the one before
    };

    void replay(wire::Replay::From from);
    void begin_snapshot();
    void note_given();
    void resync(std::string reason);
    void catch_up(WallTime now);
    void enqueue(std::string bytes, WallTime now);
    void advance(WallTime now);
    void add(Frame frame, WallTime now);
    void finish_transaction(WallTime now);
    [[nodiscard]] bool may_resync(WallTime now) const;
    [[nodiscard]] std::optional<std::string> resync_reason(const Frame& frame) const;
    void hear_clock(const wire::PublicationHeader& header, WallTime now);
    [[nodiscard]] bool too_far_behind(WallTime committed, WallTime now) const;
    void learn(std::string message);
    [[nodiscard]] std::optional<Frame> bind(std::string& bytes) const;
    [[nodiscard]] std::vector<wire::SchemaId> missing() const;
    void drop_unfinished();
    void tell(Event event);
    void check() const;

    FollowerOptions options_;
    State state_ = State::Detached;
    wire::Nonce nonce_{};
    std::uint64_t epoch_ = 0;
    wire::History history_;
    std::uint64_t sequence_ = 0;  // of the last message that continued the one before
    std::uint64_t head_ = 0;      // of the last message that the publisher is known to have sent
    // With sequence_ == head_, every transaction that commits before was sent.
    wire::Lsn position_ = 0;
    std::optional<Cursor> cursor_;

    // All before it was given to the worker, of this history: no snapshot may take that back. An
    // older sidecar refuses a request that says so.
    wire::Lsn given_ = 0;
    wire::History given_in_;
    bool may_say_given_ = true;
    bool caught_up_ = false;  // CaughtUp was given since the last join or snapshot

    wire::Replay::From from_ = wire::Replay::From::Cursor;
    std::uint64_t snapshot_ = 0;
    std::uint64_t snapshot_offset_ = 0;
    std::optional<Cursor> after_snapshot_;
    bool asked_ = false;       // the request of the state is under way
    bool describing_ = false;  // that for schemas is

    std::map<std::uint64_t, std::string> ahead_;  // messages behind a gap, by sequence
    std::size_t ahead_bytes_ = 0;
    std::map<wire::SchemaId, std::shared_ptr<const Schema>> schemas_;
    std::deque<std::string> waiting_;  // messages from a frame with an unknown schema on
    std::size_t waiting_bytes_ = 0;
    std::optional<Transaction> current_;
    std::size_t current_bytes_ = 0;
    std::string resync_reason_;  // found while messages are being worked off

    // A resync record asks for a snapshot. The first begins it at once. One that comes within
    // resync_interval is delivered, and its snapshot is owed until the interval is over: else a
    // table that is always written to would keep all accounts in snapshots, and a snapshot that
    // does not see the record's transaction yet, and so is followed by it, would begin itself again
    // without end.
    struct Owed {
        std::string reason;
        // Where the worker stood before the record. It gets no later cursor until the snapshot:
        // after a restart the record comes again.
        std::optional<Cursor> before;
    };
    std::optional<Owed> owed_;
    std::optional<WallTime>
        resynced_;  // when the last snapshot that a resync record asked for began, or ended
    bool resyncing_ = false;  // that snapshot is being taken
    WallTime now_;            // of the last marker, message or heartbeat

    // Postgres's clock minus ours, by the headers since the last attach. A header that was read
    // late makes it too small, so the greatest counts. Without one (an older sidecar) ours is
    // compared.
    std::optional<WallTime::duration> server_ahead_;
    std::optional<WallTime> snapshot_begun_at_;
    std::uint64_t snapshots_begun_ = 0;
    std::chrono::milliseconds snapshot_pause_{0};
    std::deque<Told> events_;
};

}  // namespace fatwal::client
