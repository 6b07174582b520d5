#include "daemon.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <system_error>

#include <spdlog/spdlog.h>

#include "fatwal/wire/text_sink.h"

namespace fatwal {

namespace {

// Bounds of one turn of the loop, so that neither the stream nor the requests keep the other
// waiting.
constexpr int kMessagesPerTurn = 256;
constexpr int kRequestsPerTurn = 64;
// A message that is smaller is copied: that is cheaper than giving libzmq the buffer and a way to
// free it. So is one of several in a CopyData, as its buffer is not its own.
constexpr std::size_t kCopiedBytes = 2048;
constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::seconds kHealthInterval{10};
// Without a stream for longer the subscribers are sent away: another fatwald may have the slot by
// now.
constexpr std::chrono::seconds kStreamGrace{5};
constexpr std::chrono::milliseconds kLastLook{2000};
constexpr char kSnapshotHold[] = "snapshot ";

std::uint64_t microseconds_since_unix_epoch() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

zmq::message_t payload_of(Received received) {
    if (!received.buffer || received.message.size() < kCopiedBytes)
        return {received.message.data(), received.message.size()};
    const wire::Bytes message = received.message;
    return {const_cast<std::byte*>(message.data()), message.size(),
            [](void*, void* buffer) { PQfreemem(buffer); }, received.buffer.release()};
}

zmq::context_t make_context(const Descriptors& descriptors) {
    zmq::context_t context;
    // Before the first socket: libzmq ignores it later.
    context.set(zmq::ctxopt::max_sockets,
                static_cast<int>(std::min<std::size_t>(descriptors.limit(), 65'535)));
    context.set(zmq::ctxopt::io_threads, 1);
    return context;
}

Reply refuse(wire::ErrorCode code, std::string message, std::string detail = {},
             std::string hint = {}) {
    return {wire::ControlError{code, std::move(message), std::move(detail), std::move(hint)}, {}};
}

std::string hold_of_snapshot(Snapshots::Id id) { return kSnapshotHold + std::to_string(id); }

}  // namespace

Daemon::Daemon(const Settings& settings, const RunDir& run_dir)
    : settings_(settings),
      started_(Clock::now()),
      context_(make_context(descriptors_)),
      accounts_(context_, settings, run_dir, descriptors_, ledger_.holds),
      control_(context_, settings.control),
      spools_(static_cast<std::uint64_t>(settings.spool_bytes)),
      replays_(settings, accounts_, ledger_.holds, spools_),
      snapshots_(settings, spools_),
      connector_(settings, notices_),
      keeper_(settings),
      backoff_(std::random_device{}()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      lost_at_(started_),
      next_tick_(started_ + kTick),
      next_confirm_(started_),
      next_health_(started_) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    for (const int fd : {control_.fd(), accounts_.fd(), connector_.fd(), keeper_.fd(),
                         snapshots_.fd(), replays_.fd()})
        watch(fd, EPOLLIN);
}

Daemon::~Daemon() { ::close(epoll_); }

void Daemon::watch(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

std::optional<Failure> Daemon::run(int signals) {
    watch(signals, EPOLLIN);
    connect_at_ = started_;
    spdlog::info("control endpoint {}", settings_.control);
    for (;;) {
        const auto now = Clock::now();
        if (connect_at_ && now >= *connect_at_) {
            connect_at_.reset();
            connecting_ = true;
            connector_.start(epoch_ != 0);
        }
        std::array<epoll_event, 16> events{};
        const auto until = std::min({next_tick_, stream_ ? next_confirm_ : next_tick_,
                                     connect_at_.value_or(next_tick_),
                                     accounts_.next_look().value_or(next_tick_)});
        const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                     more_ ? 0 : static_cast<int>(std::max<long>(timeout, 0)));
        more_ = false;
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd == signals) {
                spdlog::info("stopping");
                end_stream();
                return std::nullopt;
            }
            if (fd == control_.fd()) control_.signalled();
            if (fd == accounts_.fd()) accounts_.signalled();
            if (fd == connector_.fd() && connecting_)
                if (auto failure = connected()) return failure;
            if (fd == keeper_.fd()) look_at_keeper();
            if (fd == snapshots_.fd()) look_at_snapshots(Clock::now());
            if (fd == replays_.fd()) look_at_replays(Clock::now());
        }
        if (stream_)
            if (auto failure = read_stream()) return failure;
        if (stream_ && stream_->sent() != 0) server_clock_.heard(stream_->sent(), Clock::now());
        accounts_.set_time(server_clock_.seconds(Clock::now()));
        accounts_.hear(Clock::now());
        accounts_.look_at_suspects(Clock::now());
        if (answer_requests()) more_ = true;
        control_.accept(!descriptors_.scarce());
        tick(Clock::now());
    }
}

std::optional<Failure> Daemon::connected() {
    connecting_ = false;
    Outcome outcome = connector_.take();
    if (auto* failure = std::get_if<Failure>(&outcome)) {
        if (failure->fatal) return std::move(*failure);
        lost(*failure);
        return std::nullopt;
    }
    Streaming& streaming = std::get<Streaming>(outcome);
    backoff_.reset();
    sender_timeout_ = streaming.sender_timeout;
    server_end_ = streaming.server_end;
    server_goes_down_.reset();
    const wire::Lsn position = ledger_.position();
    // Whoever moved the slot on, or took the log away behind it, has made a gap that only new
    // snapshots can close; or it was another fatwald, and what it knows of the subscribers is in
    // the table.
    if (epoch_ == 0 || streaming.slot_created || streaming.history != history_ ||
        streaming.begin > confirmed_ || streaming.server_end < position)
        begin_epoch(streaming);
    else
        ledger_.restart();
    stream_.emplace(std::move(streaming.connection));
    stream_fd_ = stream_->fd();
    watch(stream_fd_, EPOLLIN);
    next_health_ = Clock::now();
    spdlog::info("streaming slot {} of publication {} from {}, epoch {}", settings_.slot,
                 settings_.publication, wire::lsn_text(streaming.begin), epoch_);
    confirm();
    return std::nullopt;
}

void Daemon::begin_epoch(const Streaming& streaming) {
    const bool moved_on = !streaming.subscribers.empty() && streaming.recorded < streaming.begin;
    // Another fatwald had it meanwhile, and held the log for those that are waited for.
    const bool taken_over =
        epoch_ != 0 && !streaming.slot_created && streaming.recorded >= streaming.begin &&
        streaming.history == history_ && streaming.server_end >= ledger_.position();
    const bool broken =
        epoch_ != 0 && (streaming.history != history_ || streaming.begin > ledger_.position() ||
                        streaming.server_end < ledger_.position());
    const bool gap = !taken_over && (broken || streaming.slot_created || moved_on);
    if (streaming.slot_created) spdlog::info("slot {} was made", settings_.slot);
    if (taken_over) spdlog::info("another fatwald had the slot meanwhile");
    if (gap && !(epoch_ == 0 && streaming.slot_created))
        spdlog::error(
            "the slot does not go on where we stood ({}), it begins at {}: every subscriber behind "
            "that takes a new snapshot",
            wire::lsn_text(epoch_ != 0 ? ledger_.position() : streaming.recorded),
            wire::lsn_text(streaming.begin));
    epoch_ = std::max(epoch_ + 1, microseconds_since_unix_epoch());
    history_ = streaming.history;
    replays_.clear();
    snapshots_.clear();
    waiting_snapshots_.clear();
    waiting_attaches_.clear();
    storing_.clear();
    schemas_ = Schemas();
    resync_ = 0;
    ledger_.begin(streaming.begin);
    confirmed_ = streaming.begin;
    recorded_ = streaming.recorded;
    recording_ = 0;
    std::vector<DurableSubscriber> subscribers = streaming.subscribers;
    // Behind a gap nobody has what lies before it.
    for (DurableSubscriber& subscriber : subscribers)
        if (gap) subscriber.acknowledged = std::max(subscriber.acknowledged, streaming.begin);
    accounts_.begin(epoch_, history_, streaming.begin, subscribers);
}

void Daemon::lost(const Failure& failure) {
    // They may say why.
    log_notices(Clock::now());
    if (stream_) {
        epoll_ctl(epoll_, EPOLL_CTL_DEL, stream_fd_, nullptr);
        stream_.reset();
        lost_at_ = Clock::now();
        ++reconnects_;
    }
    const auto delay = backoff_.next();
    connect_at_ = Clock::now() + delay;
    spdlog::warn("{}; trying again in {} ms", failure.text(), delay.count());
}

std::optional<Failure> Daemon::read_stream() {
    const bool alive = stream_->read_socket();
    (void)stream_->flush();
    for (int i = 0; i < kMessagesPerTurn; ++i) {
        auto [message, state] = stream_->next();
        if (state == Stream::State::Ended) {
            Failure failure = stream_->failure();
            if (failure.fatal) return failure;
            lost(failure);
            return std::nullopt;
        }
        if (auto* received = std::get_if<Received>(&message)) {
            if (auto failure = take(std::move(*received))) return failure;
        } else if (const auto* keepalive = std::get_if<Keepalive>(&message)) {
            take(*keepalive);
            if (!stream_) return std::nullopt;
        } else {
            if (!alive) lost(stream_->failure());
            return std::nullopt;
        }
    }
    more_ = true;
    return std::nullopt;
}

std::optional<Failure> Daemon::take(Received received) {
    zmq::message_t payload = payload_of(std::move(received));
    const wire::Bytes message(static_cast<const std::byte*>(payload.data()), payload.size());
    if (const auto frame = wire::FrameView::parse_header(message)) {
        if (!ledger_.admit(*frame)) return std::nullopt;
        zmq::message_t shared;  // the view stays valid by `payload`
        shared.copy(payload);
        accounts_.publish(*frame, std::move(shared), schemas_, Clock::now());
        const std::uint64_t resyncs = tally_.resyncs;
        tally_.add(*frame);
        if (tally_.resyncs != resyncs) resync_ = frame->commit_lsn();
        ledger_.published(*frame);
        accounts_.advance(ledger_.position());
        return std::nullopt;
    }
    if (const auto schema = wire::SchemaView::parse(message)) {
        schemas_.add(*schema);
        return std::nullopt;
    }
    return Failure{"the output plugin sent a message that is not understood",
                   std::to_string(message.size()) + " bytes.",
                   "Install the extension and fatwald of the same version."};
}

void Daemon::take(const Keepalive& keepalive) {
    ledger_.keepalive(keepalive.wal_end);
    accounts_.advance(ledger_.position());
    if (!keepalive.reply_requested) return;
    confirm();
    // A server that shuts down asks once, and waits until all is confirmed.
    asked_ = stream_ && confirmed_ < ledger_.received();
    if (asked_ && !looking_) {
        looking_ = true;
        keeper_.look_what_is_seen();
    }
}

void Daemon::confirm() {
    if (!stream_) return;
    const wire::Lsn settled = ledger_.settle();
    // Those that have all shall know it before: their cursors are not to fall behind what Postgres
    // still holds.
    if (settled > confirmed_) accounts_.heartbeat();
    // While subscribers are waited for it is written down first: a slot beyond that was moved on by
    // somebody else.
    if (accounts_.durables.size() > 0 && settled > recorded_ && recording_ == 0 &&
        !server_goes_down_) {
        recording_ = settled;
        keeper_.record(settled);
    }
    send_confirmation();
}

void Daemon::send_confirmation() {
    if (!stream_) return;
    const bool to_be_recorded = accounts_.durables.size() > 0 && !server_goes_down_;
    const wire::Lsn settled = ledger_.settle();
    confirmed_ = std::max(confirmed_, to_be_recorded ? std::min(settled, recorded_) : settled);
    if (!stream_->confirm(ledger_.received(), confirmed_)) {
        lost(stream_->failure());
        return;
    }
    auto interval = std::chrono::milliseconds(settings_.confirm_interval_ms);
    if (sender_timeout_.count() > 0) interval = std::min(interval, sender_timeout_ / 2);
    next_confirm_ = Clock::now() + interval;
}

void Daemon::end_stream() {
    store_durables();
    if (!stream_) return;
    const auto deadline = Clock::now() + std::chrono::milliseconds(settings_.shutdown_drain_ms);
    const auto until = std::min(deadline, Clock::now() + kLastLook);
    const auto await = [&](auto&& done) {
        while (stream_ && !done() && Clock::now() < until) {
            pollfd wait = {keeper_.fd(), POLLIN, 0};
            (void)poll(&wait, 1, 100);
            look_at_keeper();
        }
    };
    // What was published last is seen by now, but we have not looked.
    if (!ledger_.visibility.all_seen()) keeper_.look_what_is_seen();
    await([this] { return ledger_.visibility.all_seen() && storing_.empty() && recording_ == 0; });
    confirm();
    await([this] { return recording_ == 0; });
    if (!stream_) return;
    stream_->finish(deadline);
    spdlog::info("confirmed {}", wire::lsn_text(confirmed_));
}

bool Daemon::answer_requests() {
    for (int i = 0; i < kRequestsPerTurn; ++i) {
        auto request = control_.next();
        if (!request) return false;
        if (auto reply = answer(*request, Clock::now()))
            control_.send(request->requester, std::move(*reply));
    }
    return true;
}

std::optional<Reply> Daemon::answer(const Request& request, Clock::time_point now) {
    const wire::ControlBody& body = request.body;
    if (const auto* asked = std::get_if<wire::Attach>(&body))
        return attach(*asked, request.requester, now);
    if (const auto* detach = std::get_if<wire::Detach>(&body)) {
        accounts_.detach(*detach);
        if (detach->forget) store_durables();
        return Reply{wire::Detached{}, {}};
    }
    if (const auto* describe = std::get_if<wire::Describe>(&body)) {
        wire::Described described;
        for (const wire::SchemaId id : describe->schemas)
            if (const std::string* schema = schemas_.find(id)) described.schemas.push_back(*schema);
        return Reply{std::move(described), {}};
    }
    if (const auto* replay = std::get_if<wire::Replay>(&body))
        return replays_.answer(*replay, request.requester, standing(), now);
    if (const auto* asked = std::get_if<wire::SnapshotRequest>(&body)) {
        wire::SnapshotRequest copy = *asked;
        return snapshot(copy, request.requester, now);
    }
    if (const auto* acknowledge = std::get_if<wire::Acknowledge>(&body)) {
        accounts_.acknowledge(*acknowledge);
        if (asked_) store_durables();
        return std::nullopt;
    }
    if (std::holds_alternative<wire::Status>(body)) return Reply{status(), {}};
    if (std::holds_alternative<wire::Confirm>(body)) {
        if (!stream_)
            return refuse(wire::ErrorCode::NotStreaming, "the slot is not being streamed");
        confirm();
        return Reply{wire::Confirmed{confirmed_}, {}};
    }
    if (std::holds_alternative<wire::Ping>(body)) return Reply{wire::Pong{epoch_}, {}};
    return refuse(wire::ErrorCode::UnknownType, "this is a reply, not a request");
}

std::optional<Reply> Daemon::attach(const wire::Attach& request, const Requester& requester,
                                    Clock::time_point now) {
    if (!stream_ && (epoch_ == 0 || now - lost_at_ >= kStreamGrace))
        return refuse(wire::ErrorCode::NotStreaming, "the slot is not being streamed", {},
                      "Another fatwald may have it; else see the log of this one.");
    auto answered = accounts_.attach(request, ledger_.settled(), now);
    if (auto* error = std::get_if<wire::ControlError>(&answered)) {
        spdlog::warn("attach of {} refused: {} {}", request.subscriber, error->message,
                     error->detail);
        return Reply{std::move(*error), {}};
    }
    wire::Attached& attached = std::get<wire::Attached>(answered);
    if (!accounts_.to_be_written(request)) return Reply{std::move(attached), {}};
    // A promise to wait for somebody outlives us: it is given when it is written down.
    store_durables();
    waiting_attaches_.emplace(last_ticket_, WaitingAttach{requester, std::move(attached)});
    return std::nullopt;
}

std::optional<Reply> Daemon::snapshot(wire::SnapshotRequest& request, const Requester& requester,
                                      Clock::time_point now) {
    const auto attachment = accounts_.find(request.nonce);
    if (!attachment) return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
    if (request.snapshot == 0)
        request.snapshot = snapshots_.find_or_begin(
            *attachment->account,
            {replayable_from(attachment->account->view()), resync_, ledger_.position()}, now);
    switch (snapshots_.state(request.snapshot, request.offset)) {
        case Snapshots::State::Unknown:
            return refuse(wire::ErrorCode::SnapshotGone, "there is no such snapshot any more");
        case Snapshots::State::Failed: {
            const Failure failure = snapshots_.failure(request.snapshot);
            return refuse(wire::ErrorCode::SnapshotFailed, failure.message, failure.detail,
                          failure.hint);
        }
        case Snapshots::State::Waiting:
            waiting_snapshots_.add(request.snapshot, {requester, request});
            return std::nullopt;
        case Snapshots::State::Readable: break;
    }
    constexpr std::uint32_t kLeastCredit = 64 * 1024;
    constexpr std::uint32_t kMostCredit = 8 * 1024 * 1024;
    auto part = snapshots_.read(request.snapshot, request.nonce, request.offset,
                                std::clamp(request.credit, kLeastCredit, kMostCredit), now);
    if (!part)
        return refuse(wire::ErrorCode::SnapshotGone, "the snapshot cannot be read at this offset");
    wire::SnapshotPart head = snapshots_.head(request.snapshot);
    if (request.offset == 0) {
        // Until it has caught up with the stream the log is kept for it.
        ledger_.holds.hold(attachment->hold, head.cursor, now);
    } else {
        head.sees = {};
        head.cursor = head.until = 0;
    }
    head.next_offset = part->next_offset;
    head.end = part->end;
    head.messages = static_cast<std::uint16_t>(part->messages.size());
    return Reply{std::move(head), std::move(part->messages)};
}

void Daemon::look_at_snapshots(Clock::time_point now) {
    const auto progress = snapshots_.progress();
    for (const Snapshots::Taken& taken : progress.taken) {
        // Nothing that commits before this is missing in it.
        const wire::Lsn cursor =
            std::min(ledger_.position(), ledger_.visibility.oldest_unseen_by(taken.sees));
        if (cursor < replayable_from(snapshots_.account(taken.id).view())) {
            snapshots_.take_again(taken.id, now);
            continue;
        }
        ledger_.holds.hold(hold_of_snapshot(taken.id), cursor, now);
        snapshots_.set_cursor(taken.id, cursor);
    }
    ledger_.visibility.known_before(snapshots_.oldest_unknown());
    for (const Snapshots::Id id : progress.changed)
        for (auto& asked : waiting_snapshots_.take(id))
            if (auto reply = snapshot(asked.request, asked.requester, now))
                control_.send(asked.requester, std::move(*reply));
}

void Daemon::look_at_replays(Clock::time_point now) {
    for (auto& [requester, reply] : replays_.progress(standing(), now))
        control_.send(requester, std::move(reply));
}

Replays::Standing Daemon::standing() const {
    return {epoch_, history_, ledger_.settled(), ledger_.position(),
            std::max(server_end_, ledger_.position())};
}

wire::Lsn Daemon::replayable_from(wire::AccountView account) const {
    const wire::Lsn in_memory = accounts_.floor_of(account);
    return settings_.reread_concurrency == 0 ? in_memory : std::min(in_memory, ledger_.settled());
}

void Daemon::look_at_keeper() {
    while (auto kept = keeper_.take()) {
        if (const auto* seen = std::get_if<Seen>(&*kept)) {
            looking_ = false;
            ledger_.visibility.seen(seen->snapshot, snapshots_.newest_begun());
            ledger_.visibility.known_before(snapshots_.oldest_unknown());
            if (asked_) confirm();
        } else if (const auto* stored = std::get_if<Stored>(&*kept)) {
            look_at(*stored);
        } else if (const auto* recorded = std::get_if<Recorded>(&*kept)) {
            recorded_ = std::max(recorded_, recorded->confirmed);
            recording_ = 0;
            send_confirmation();
        } else if (const auto* health = std::get_if<SlotHealth>(&*kept)) {
            look_at(*health);
        } else {
            look_at(std::get<KeeperFailed>(*kept));
        }
    }
}

void Daemon::look_at(const SlotHealth& health) {
    if (!stream_) return;
    if (!health.slot || health.slot->wal_status == "lost") {
        lost({"slot \"" + settings_.slot + "\" is " + (health.slot ? "lost" : "missing"),
              {},
              {},
              false});
        return;
    }
    const SlotHealth::Slot& slot = *health.slot;
    if (slot.wal_status != wal_status_ && slot.wal_status == "unreserved")
        spdlog::warn(
            "the server may take away WAL that slot {} needs: raise max_slot_wal_keep_size, or see "
            "who holds it (fatwal check)",
            settings_.slot);
    wal_status_ = slot.wal_status;
    safe_wal_size_ = slot.safe_wal_size.value_or(-1);
    retained_bytes_ = slot.retained_bytes;
}

void Daemon::look_at(const Stored& stored) {
    if (auto changes = storing_.extract(stored.ticket))
        accounts_.durables.stored(changes.mapped(), Clock::now());
    const auto [first, last] = waiting_attaches_.equal_range(stored.ticket);
    for (auto waiting = first; waiting != last; ++waiting)
        control_.send(waiting->second.requester, {std::move(waiting->second.attached), {}});
    waiting_attaches_.erase(first, last);
    if (asked_) confirm();
}

void Daemon::look_at(const KeeperFailed& failed) {
    looking_ = false;
    recording_ = 0;
    if (auto changes = storing_.extract(failed.ticket))
        accounts_.durables.not_stored(std::move(changes.mapped()));
    const auto [first, last] = waiting_attaches_.equal_range(failed.ticket);
    for (auto waiting = first; waiting != last; ++waiting)
        control_.send(
            waiting->second.requester,
            refuse(wire::ErrorCode::Internal, "the durable subscriber could not be written down",
                   failed.failure.detail, failed.failure.hint));
    waiting_attaches_.erase(first, last);
    if (!failed.server_goes_down || !stream_) {
        if (stream_) spdlog::warn("{}", failed.failure.text());
        return;
    }
    // It takes no more connections, so no snapshot will be taken before it has started again; then
    // all is seen.
    if (!server_goes_down_) {
        spdlog::info("the server is going down");
        server_goes_down_ = Clock::now();
    }
    ledger_.visibility.seen_all();
    accounts_.durables.count_unwritten(Clock::now());
    confirm();
}

void Daemon::store_durables() {
    auto changes = accounts_.durables.take_changes();
    if (changes.empty()) return;
    keeper_.store(changes.written, changes.removed, ++last_ticket_);
    storing_.emplace(last_ticket_, std::move(changes));
}

void Daemon::give_up_those_beyond_retention(Clock::time_point now) {
    const auto since = now - std::chrono::seconds(settings_.retention_s);
    for (const std::string& hold : ledger_.holds.beyond(
             static_cast<std::uint64_t>(settings_.retention_bytes), ledger_.position(), since)) {
        const wire::Lsn from = ledger_.holds.of(hold);
        const bool durable = accounts_.durables.give_up(hold);
        ledger_.holds.release(hold);
        if (!durable) continue;
        ++given_up_;
        spdlog::warn(
            "{} is given up: it holds the log from {}, beyond the retention; it will be told to "
            "take a snapshot",
            hold, wire::lsn_text(from));
    }
}

wire::StatusReply Daemon::status() const {
    const auto uptime =
        std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count();
    return {{{"version", FATWAL_VERSION},
             {"state", stream_ ? "streaming" : "connecting"},
             {"slot", settings_.slot},
             {"publication", settings_.publication},
             {"epoch", std::to_string(epoch_)},
             {"received_lsn", wire::lsn_text(ledger_.received())},
             {"published_lsn", wire::lsn_text(ledger_.position())},
             {"settled_lsn", wire::lsn_text(ledger_.settled())},
             {"confirmed_lsn", wire::lsn_text(confirmed_)},
             {"wal_status", wal_status_},
             {"safe_wal_bytes", std::to_string(safe_wal_size_)},
             {"retained_wal_bytes", std::to_string(retained_bytes_)},
             {"accounts", std::to_string(accounts_.attached())},
             {"subscribers", std::to_string(accounts_.subscribers())},
             {"durable_subscribers", std::to_string(accounts_.durables.size())},
             {"holds", std::to_string(ledger_.holds.size())},
             {"given_up", std::to_string(given_up_)},
             {"schemas", std::to_string(schemas_.size())},
             {"published_frames", std::to_string(accounts_.frames())},
             {"published_bytes", std::to_string(accounts_.bytes())},
             {"resyncs_sent", std::to_string(tally_.resyncs)},
             {"unrouted", std::to_string(tally_.unrouted)},
             {"replay_bytes", std::to_string(accounts_.ring_bytes())},
             {"replayed_messages", std::to_string(replays_.replayed())},
             {"rereads", std::to_string(replays_.rereads())},
             {"snapshot_queries", std::to_string(snapshots_.queries())},
             {"snapshots", std::to_string(snapshots_.size())},
             {"snapshots_waiting", std::to_string(snapshots_.waiting())},
             {"snapshot_failures", std::to_string(snapshots_.failures())},
             {"snapshot_failure", snapshots_.last_failure()},
             {"spool_bytes", std::to_string(spools_.used())},
             {"cut_subscribers", std::to_string(accounts_.cuts())},
             {"reconnects", std::to_string(reconnects_)},
             {"descriptors_used", std::to_string(descriptors_.used())},
             {"descriptors_limit", std::to_string(descriptors_.limit())},
             {"uptime_seconds", std::to_string(uptime)}}};
}

void Daemon::log_notices(Clock::time_point now) {
    for (const std::string& line : notices_.lines(now)) spdlog::warn("Postgres: {}", line);
    for (const std::string& line : snapshots_.log_lines(now))
        spdlog::error("a snapshot has failed: {}", line);
}

void Daemon::tick(Clock::time_point now) {
    if (stream_ && now >= next_confirm_) confirm();
    if (now < next_tick_) return;
    log_notices(now);
    next_tick_ = now + std::min<Clock::duration>(
                           kTick, std::chrono::milliseconds(settings_.heartbeat_interval_ms));
    accounts_.tick(now);
    replays_.tick(now);
    const auto attached = [&](const wire::Nonce& nonce) {
        return accounts_.find(nonce).has_value();
    };
    for (const Snapshots::Id id : snapshots_.tick(now, attached))
        ledger_.holds.release(hold_of_snapshot(id));
    give_up_those_beyond_retention(now);
    if (!stream_) {
        if (accounts_.subscribers() > 0 && now - lost_at_ >= kStreamGrace) {
            spdlog::warn("no stream: the subscribers are sent away, to another fatwald or to wait");
            accounts_.close_sockets();
        }
        return;
    }
    store_durables();
    if (!looking_ && !ledger_.visibility.all_seen()) {
        looking_ = true;
        keeper_.look_what_is_seen();
    }
    if (now >= next_health_) {
        next_health_ = now + kHealthInterval;
        keeper_.look_at_slot();
    }
    if (server_goes_down_ &&
        now - *server_goes_down_ >= std::chrono::milliseconds(settings_.shutdown_drain_ms))
        lost({"the server goes down and is not kept waiting any longer",
              "Subscribers have not acknowledged all; the slot keeps it for them.",
              {},
              false});
}

}  // namespace fatwal
