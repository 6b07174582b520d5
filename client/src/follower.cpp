#include "fatwal/client/follower.h"

#include <algorithm>
#include <utility>

#include "fatwal/wire/invariant.h"

namespace fatwal::client {

namespace {

Follower::WallTime wall_time(wire::Microseconds since_2000) {
    return Follower::WallTime(std::chrono::seconds(wire::kPostgresEpochUnixSeconds) +
                              std::chrono::microseconds(since_2000));
}

// A snapshot that is begun within this time of the one before it, and of the pause before that one,
// follows it closely.
constexpr std::chrono::seconds kClosely{10};
constexpr std::chrono::milliseconds kNoPause{0};
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kMostPause{30'000};

}  // namespace

Follower::Follower(FollowerOptions options, std::optional<Cursor> cursor)
    : options_(std::move(options)), cursor_(std::move(cursor)) {
    if (!options_.not_before) return;
    given_ = options_.not_before->next;
    given_in_ = options_.not_before->history;
}

// Called at the end of what takes a message in.
void Follower::check() const {
    FATWAL_INVARIANT(state_ != State::Live || sequence_ == head_,
                     "a live follower is at the head of its stream, or asks for a replay");
    FATWAL_INVARIANT(cursor_ || (state_ != State::Live && state_ != State::Replaying),
                     "a follower that reads the stream has a cursor");
}

void Follower::tell(Event event) { events_.emplace_back(std::move(event), cursor()); }

std::optional<Follower::Told> Follower::take() {
    if (events_.empty()) return std::nullopt;
    auto event = std::move(events_.front());
    events_.pop_front();
    return event;
}

// Why the frame asks for a snapshot; nothing when it has no resync record of a table that the
// worker reads. A record of all tables names none.
std::optional<std::string> Follower::resync_reason(const Frame& frame) const {
    const std::vector<std::string>& read = options_.resync_tables;
    std::optional<std::string> reason;
    frame.view->for_each_record([&](const wire::RecordView& record) {
        if (record.op() != wire::Op::Resync) return true;
        std::string rows = "rows";
        if (record.relation() < frame.schemas.size()) {
            const Schema& schema = *frame.schemas[record.relation()];
            const std::string table =
                std::string(schema.schema()) + '.' + std::string(schema.table());
            if (!read.empty() && std::find(read.begin(), read.end(), table) == read.end())
                return true;
            rows += " of " + table;
        }
        reason = rows + " changed in a way that the stream cannot tell";
        return false;
    });
    return reason;
}

void Follower::hear_clock(const wire::PublicationHeader& header, WallTime now) {
    now_ = now;
    if (header.time == 0) return;
    const auto ahead = wall_time(static_cast<wire::Microseconds>(header.time) * 1'000'000) - now;
    server_ahead_ = std::max(server_ahead_.value_or(ahead), ahead);
}

// Whatever a clock says: what follows a snapshot was committed after it, or about then. So it is
// not older than the snapshot, and no further one is taken before that is.
bool Follower::too_far_behind(WallTime committed, WallTime now) const {
    if (!options_.snapshots || options_.resync_after.count() == 0) return false;
    if (snapshot_begun_at_ && now - *snapshot_begun_at_ < options_.resync_after) return false;
    const auto there = now + server_ahead_.value_or(WallTime::duration(0));
    return committed < there - options_.resync_after;
}

void Follower::drop_unfinished() {
    current_.reset();
    waiting_.clear();
    waiting_bytes_ = 0;
    ahead_.clear();
    ahead_bytes_ = 0;
}

void Follower::attached(const wire::Nonce& nonce, std::uint64_t epoch,
                        const wire::History& history) {
    drop_unfinished();
    nonce_ = nonce;
    epoch_ = epoch;
    history_ = history;
    sequence_ = head_ = 0;
    asked_ = describing_ = caught_up_ = false;
    server_ahead_.reset();
    state_ = State::Joining;
}

void Follower::detached() {
    drop_unfinished();
    asked_ = describing_ = false;
    state_ = State::Detached;
}

void Follower::replay(wire::Replay::From from) {
    state_ = State::Replaying;
    from_ = from;
    asked_ = false;
    // By cursor whole transactions come, from the first that is not had.
    if (from == wire::Replay::From::Cursor) drop_unfinished();
}

void Follower::begin_snapshot() {
    // Those that resync records ask for keep an interval of their own; not so another beginning.
    const bool of_record = resyncing_ && state_ != State::Snapshotting;
    drop_unfinished();
    state_ = State::Snapshotting;
    snapshot_ = snapshot_offset_ = 0;
    after_snapshot_.reset();
    note_given();
    cursor_.reset();
    caught_up_ = false;
    // Whichever resync record it does not see is replayed after it, and is owed again then.
    owed_.reset();
    asked_ = false;
    ++snapshots_begun_;
    const bool closely =
        !of_record && snapshot_begun_at_ && now_ - *snapshot_begun_at_ < kClosely + snapshot_pause_;
    snapshot_pause_ = closely ? std::clamp(snapshot_pause_ * 2, kFirstPause, kMostPause) : kNoPause;
    snapshot_begun_at_ = now_;
}

// Before the cursor goes: a later snapshot must not take back what the worker has by now.
void Follower::note_given() {
    if (!cursor_) return;
    given_ = cursor_->history == given_in_ ? std::max(given_, cursor_->next) : cursor_->next;
    given_in_ = cursor_->history;
}

void Follower::resync(std::string reason) {
    if (options_.snapshots) begin_snapshot();
    tell(Resync{std::move(reason)});
    if (options_.snapshots) return;
    // Without rows there is nothing to begin with: the stream resumes at the newest position that
    // is known.
    cursor_ = Cursor{history_, position_, {}};
    replay(wire::Replay::From::Cursor);
}

// A wall clock that was set back does not lengthen the interval.
bool Follower::may_resync(WallTime now) const {
    return !resynced_ || now < *resynced_ || now - *resynced_ >= options_.resync_interval;
}

void Follower::marker(const wire::PublicationHeader& header, WallTime now) {
    if (header.epoch != epoch_) return;
    hear_clock(header, now);
    if (state_ != State::Joining) {
        // The socket has connected again by itself: numbers tell what was lost meanwhile.
        heartbeat(header, now);
        return;
    }
    head_ = header.sequence;
    position_ = header.position;
    tell(Joined{header.epoch, header.sequence});
    if (!cursor_ && options_.snapshots) {
        begin_snapshot();
        return;
    }
    // By cursor and not from the marker's number on: the marker may stand amid a transaction, whose
    // first frames went to nobody. A replay by cursor brings it whole.
    if (!cursor_) cursor_ = Cursor{history_, position_, {}};
    replay(wire::Replay::From::Cursor);
}

void Follower::heartbeat(const wire::PublicationHeader& header, WallTime now) {
    if (header.epoch != epoch_ || header.sequence < head_) return;
    head_ = header.sequence;
    position_ = header.position;
    hear_clock(header, now);
    if (state_ != State::Live) return;
    if (owed_ && may_resync(now)) {
        resynced_ = now;
        resyncing_ = true;
        resync(std::string(owed_->reason));
        return;
    }
    if (sequence_ < head_)
        replay(wire::Replay::From::Sequence);
    else
        catch_up(now);
    check();
}

void Follower::message(const wire::PublicationHeader& header, std::string bytes, WallTime now) {
    if (header.epoch != epoch_ || state_ == State::Detached || state_ == State::Joining) return;
    head_ = std::max(head_, header.sequence);
    position_ = std::max(position_, header.position);
    hear_clock(header, now);
    if (state_ == State::Snapshotting || header.sequence <= sequence_) return;
    if (state_ == State::Live && header.sequence == sequence_ + 1) {
        sequence_ = header.sequence;
        enqueue(std::move(bytes), now);
        check();
        return;
    }
    // It waits behind the hole. One for which there is no room is another hole, which the replay of
    // the first finds.
    // A repetition counts once.
    if (ahead_bytes_ + bytes.size() <= options_.max_ahead_bytes &&
        !ahead_.contains(header.sequence)) {
        ahead_bytes_ += bytes.size();
        ahead_.emplace(header.sequence, std::move(bytes));
    }
    if (state_ == State::Live) replay(wire::Replay::From::Sequence);
    check();
}

// What waits behind the gap, as far as it is closed.
void Follower::catch_up(WallTime now) {
    while (state_ != State::Snapshotting && !ahead_.empty() &&
           ahead_.begin()->first <= sequence_ + 1) {
        auto next = ahead_.extract(ahead_.begin());
        ahead_bytes_ -= next.mapped().size();
        if (next.key() <= sequence_) continue;
        sequence_ = next.key();
        enqueue(std::move(next.mapped()), now);
    }
    // Every transaction before the position was sent, and all that was sent is delivered.
    if (state_ != State::Live || sequence_ != head_ || current_ || !waiting_.empty() || !cursor_)
        return;
    if (cursor_->next < position_) {
        cursor_->next = position_;
        if (cursor_->held && cursor_->next >= cursor_->held->until) cursor_->held.reset();
    }
    if (caught_up_ || (given_in_ == history_ && position_ < given_)) return;
    caught_up_ = true;
    tell(CaughtUp{position_});
}

std::optional<wire::ControlBody> Follower::take_request(bool snapshots) {
    if (!describing_ && !waiting_.empty()) {
        describing_ = true;
        return wire::Describe{missing()};
    }
    if (asked_) return std::nullopt;
    if (state_ == State::Replaying) {
        asked_ = true;
        return wire::Replay{nonce_,        epoch_,           from_,          sequence_ + 1,
                            cursor_->next, cursor_->history, options_.credit};
    }
    if (state_ == State::Snapshotting && (snapshots || snapshot_ != 0)) {
        asked_ = true;
        const bool says = snapshot_ == 0 && may_say_given_ && given_in_ == history_;
        return wire::SnapshotRequest{nonce_, snapshot_, snapshot_offset_, options_.credit,
                                     says ? given_ : 0};
    }
    return std::nullopt;
}

void Follower::ask_again() {
    describing_ = false;
    if (!asked_) return;
    asked_ = false;
    // What a lost continuation held comes again only by cursor.
    if (state_ == State::Replaying && from_ == wire::Replay::From::Continue)
        replay(wire::Replay::From::Cursor);
}

void Follower::replayed(const wire::Replayed& head, std::vector<std::string> messages,
                        WallTime now) {
    if (state_ != State::Replaying || !asked_ || head.epoch != epoch_) return;
    asked_ = false;
    // The sidecar has found that the cursor holds on its timeline, so it is one of that now: it may
    // go beyond the point up to which it held on its own.
    if (cursor_) cursor_->history = history_;
    if (head.first_sequence == 0) {
        from_ = wire::Replay::From::Continue;
        for (std::string& bytes : messages) {
            enqueue(std::move(bytes), now);
            if (state_ != State::Replaying) return;
        }
        return;
    }
    // A reply by cursor tells where the numbers begin.
    if (from_ != wire::Replay::From::Sequence) sequence_ = head.first_sequence - 1;
    from_ = wire::Replay::From::Sequence;
    std::uint64_t number = head.first_sequence;
    for (std::string& bytes : messages) {
        if (number++ != sequence_ + 1) continue;
        ++sequence_;
        enqueue(std::move(bytes), now);
        if (state_ != State::Replaying) return;
    }
    head_ = std::max(head_, sequence_);
    catch_up(now);
    if (state_ != State::Replaying || !head.end || !ahead_.empty() || sequence_ < head_) return;
    state_ = State::Live;
    catch_up(now);
    check();
}

void Follower::snapshot_part(const wire::SnapshotPart& head, std::vector<std::string> messages) {
    if (state_ != State::Snapshotting || !asked_) return;
    asked_ = false;
    if (snapshot_offset_ == 0) {
        snapshot_ = head.snapshot;
        after_snapshot_ = Cursor{history_, head.cursor, Cursor::Held{head.sees, head.until}};
        tell(SnapshotBegin{});
    }
    snapshot_offset_ = head.next_offset;
    for (std::string& bytes : messages) {
        if (wire::message_kind(wire::as_bytes(bytes)) == wire::kSchemaKind) {
            learn(std::move(bytes));
            continue;
        }
        auto frame = bind(bytes);
        if (!frame || !frame->view)
            tell(StreamError{"a malformed part of a snapshot has arrived",
                             "The sidecar and this library may be of different versions."});
        else if (frame->view->record_count() > 0)
            tell(SnapshotRows(std::move(*frame)));
    }
    if (!head.end) return;
    cursor_ = std::move(after_snapshot_);
    // The interval begins again, so that transactions come between two snapshots however long each
    // takes.
    if (std::exchange(resyncing_, false)) resynced_ = std::max(*resynced_, now_);
    tell(SnapshotEnd{});
    replay(wire::Replay::From::Cursor);
}

bool Follower::refused(const wire::ControlError& error) {
    asked_ = false;
    switch (error.code) {
        case wire::ErrorCode::TooOld: resync(error.message + ". " + error.detail); return true;
        case wire::ErrorCode::AskByCursor: replay(wire::Replay::From::Cursor); return true;
        case wire::ErrorCode::SnapshotGone: begin_snapshot(); return true;
        case wire::ErrorCode::Malformed: return std::exchange(may_say_given_, false);
        default: return false;
    }
}

// Every message that continues the stream comes through here, in order.
void Follower::enqueue(std::string bytes, WallTime now) {
    waiting_bytes_ += bytes.size();
    waiting_.push_back(std::move(bytes));
    advance(now);
    if (waiting_bytes_ > options_.max_transaction_bytes)
        resync("too much has arrived before the schema that it needs");
}

void Follower::described(std::vector<std::string> schemas, WallTime now) {
    describing_ = false;
    const auto missing_before = missing();
    for (std::string& schema : schemas) learn(std::move(schema));
    if (missing_before.empty()) return;
    if (missing() == missing_before) {
        // The sidecar does not have it any more: the frame cannot be read.
        resync("the schema of relation " + std::to_string(missing_before.front().relation) +
               " is not to be had");
        return;
    }
    advance(now);
    catch_up(now);
}

void Follower::learn(std::string message) {
    if (auto schema = Schema::parse(std::move(message))) {
        const wire::SchemaId id = schema->id();
        schemas_[id] = std::move(schema);
    }
}

std::vector<wire::SchemaId> Follower::missing() const {
    std::vector<wire::SchemaId> ids;
    if (waiting_.empty()) return ids;
    const auto frame = wire::FrameView::parse(wire::as_bytes(waiting_.front()));
    for (std::uint16_t i = 0; frame && i < frame->relation_count(); ++i)
        if (!schemas_.contains(frame->relation(i))) ids.push_back(frame->relation(i));
    return ids;
}

// The frame with its schemas, and without a view if it is malformed; nothing, and `bytes` as they
// were, when a schema is not known.
std::optional<Frame> Follower::bind(std::string& bytes) const {
    Frame frame;
    auto kept = std::make_shared<std::string>(std::move(bytes));
    frame.view = wire::FrameView::parse(wire::as_bytes(*kept));
    for (std::uint16_t i = 0; frame.view && i < frame.view->relation_count(); ++i) {
        const auto found = schemas_.find(frame.view->relation(i));
        if (found == schemas_.end()) {
            bytes = std::move(*kept);
            return std::nullopt;
        }
        frame.schemas.push_back(found->second);
    }
    frame.bytes = std::move(kept);
    return frame;
}

// Takes off waiting_ what can be read: a frame stops it until its schemas are known. A snapshot is
// begun only between two messages, as it empties waiting_.
void Follower::advance(WallTime now) {
    while (!waiting_.empty()) {
        std::string& bytes = waiting_.front();
        const std::size_t length = bytes.size();
        if (wire::message_kind(wire::as_bytes(bytes)) == wire::kSchemaKind) {
            learn(std::move(bytes));
        } else {
            auto frame = bind(bytes);
            if (!frame) return;
            add(std::move(*frame), now);
        }
        waiting_bytes_ -= length;
        waiting_.pop_front();
        if (!resync_reason_.empty()) {
            resync(std::exchange(resync_reason_, {}));
            return;
        }
    }
}

// A frame joins the open transaction, or begins one. It is dropped if the worker has it: after a
// reconnect or a replay by cursor messages come again.
void Follower::add(Frame frame, WallTime now) {
    if (!frame.view) {
        tell(StreamError{"a malformed frame has arrived",
                         "The sidecar and this library may be of different versions."});
        current_.reset();
        return;
    }
    const wire::FrameView view = *frame.view;
    if (view.account().kind != wire::AccountKind::Everyone &&
        !(view.account() == options_.account.view())) {
        tell(StreamError{"a frame of another account has arrived", "It is not delivered."});
        return;
    }
    if (view.commit_lsn() < cursor_->next) return;
    const WallTime committed = wall_time(view.commit_time());
    const bool had = cursor_->has(view.xid(), view.commit_lsn());
    if (!had && view.xid() != 0 && too_far_behind(committed, now)) {
        resync_reason_ = "the stream is more than " +
                         std::to_string(options_.resync_after.count()) + " s behind";
        return;
    }
    if (!current_ || current_->commit_lsn != view.commit_lsn()) {
        current_.emplace();
        current_bytes_ = 0;
        current_->xid = view.xid();
        current_->commit_lsn = view.commit_lsn();
        current_->transactional = !view.has(wire::kNonTransactional);
        current_->commit_time = committed;
    }
    const bool last = view.has(wire::kLastOfAccount);
    if (!had && view.record_count() > 0) {
        current_bytes_ += view.bytes().size();
        if (current_bytes_ <= options_.max_transaction_bytes)
            current_->frames_.push_back(std::move(frame));
        else
            current_->frames_.clear();
    }
    if (last) finish_transaction(now);
}

// A transaction that is too large is read to its end before it is replaced: only then has the
// sidecar published past it, so only then can the stream resume behind it.
void Follower::finish_transaction(WallTime now) {
    if (current_bytes_ > options_.max_transaction_bytes) {
        std::string reason = "transaction " + std::to_string(current_->xid) +
                             " is larger than max_transaction_bytes, " +
                             std::to_string(options_.max_transaction_bytes);
        if (options_.snapshots) {
            resync_reason_ = std::move(reason);
            current_.reset();
            return;
        }
        tell(Resync{std::move(reason)});
    }
    // A resync record anywhere in the transaction asks for a snapshot.
    std::optional<std::string> asks;
    for (const Frame& frame : current_->frames_)
        if (!asks) asks = resync_reason(frame);
    if (!options_.snapshots) {
        if (asks) tell(Resync{std::move(*asks)});
    } else if ((asks || owed_) && may_resync(now)) {
        // The snapshot takes the transaction's place, or the transaction is replayed after it.
        resync_reason_ = asks ? std::move(*asks) : owed_->reason;
        resynced_ = now;
        resyncing_ = true;
        current_.reset();
        return;
    } else if (asks && !owed_) {
        owed_ = Owed{std::move(*asks), cursor_};
    }
    cursor_->next = current_->commit_lsn + 1;
    if (cursor_->held && cursor_->next >= cursor_->held->until) cursor_->held.reset();
    if (!current_->frames_.empty()) tell(std::move(*current_));
    current_.reset();
}

}  // namespace fatwal::client
