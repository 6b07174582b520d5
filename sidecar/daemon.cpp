#include "sidecar/daemon.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <system_error>

#include <spdlog/spdlog.h>

#include "fatwal/wire/text_sink.h"
#include "sidecar/inbound.h"
#include "sidecar/log_text.h"

namespace fatwal::sidecar {

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
// Of the schemas in one DESCRIBED, unless the first alone has more.
constexpr std::size_t kDescribedBytes = 1024 * 1024;
// While requests wait for their connections to read: how often those are checked.
constexpr std::chrono::milliseconds kWindowInterval{10};
constexpr std::chrono::seconds kRefusedInterval{10};

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

SnapshotHold hold_of_snapshot(Snapshots::Id id) { return {id}; }

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
      next_heartbeat_(started_),
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
                                     accounts_.attached() > 0 ? next_heartbeat_ : next_tick_,
                                     control_.waiting() ? now + kWindowInterval : next_tick_,
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
            if (stream_ && fd == stream_fd_) silence_.heard(Clock::now());
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
        if (accounts_.hear(Clock::now())) more_ = true;
        accounts_.look_at_suspects(Clock::now());
        if (answer_requests()) more_ = true;
        tick(Clock::now());
    }
}

std::optional<Failure> Daemon::connected() {
    connecting_ = false;
    Outcome outcome = connector_.take();
    if (auto* failure = std::get_if<Failure>(&outcome)) {
        // Once it has streamed, whoever changed the server mends it too, and no subscriber is to
        // wait until somebody starts this process again. A lost slot is another matter:
        // on_lost_slot has said what to do.
        if (failure->fatal && (epoch_ == 0 || failure->slot_lost)) return std::move(*failure);
        lost(*failure);
        return std::nullopt;
    }
    Streaming& streaming = std::get<Streaming>(outcome);
    silence_.begin(Clock::now(), streaming.sender_timeout);
    stalled_ = false;
    server_end_ = streaming.server_end;
    server_goes_down_.reset();
    const wire::Lsn position = ledger_.position();
    // Whoever moved the slot on, or took the log away behind it, has made a gap that only new
    // snapshots can close; or it was another fatwald, and what it knows of the subscribers is in
    // the table.
    // Another fatwald may have had the slot without moving it, and have promised to keep the log
    // for subscribers of which only the table knows.
    const bool promised_by_another = std::any_of(
        streaming.subscribers.begin(), streaming.subscribers.end(),
        [this](const DurableSubscriber& subscriber) { return !accounts_.holds_for(subscriber); });
    // On another timeline that has all that was published the stream goes on too, but the cursors
    // that are handed out name the new one: a new epoch.
    if (epoch_ == 0 || streaming.slot_created || promised_by_another ||
        streaming.history != timelines_.now || streaming.begin > confirmed_ ||
        streaming.server_end < position)
        begin_epoch(streaming);
    else
        ledger_.restart();
    for (const std::string& row : streaming.skipped) spdlog::error("{}", one_line(row));
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
    // Whoever acknowledged what lies before the slot lacks nothing of it.
    const bool moved_on = streaming.recorded < streaming.begin &&
                          std::any_of(streaming.subscribers.begin(), streaming.subscribers.end(),
                                      [&](const DurableSubscriber& subscriber) {
                                          return subscriber.acknowledged < streaming.begin;
                                      });
    const bool same_history = streaming.timelines.holds(timelines_.now, ledger_.position());
    // Another fatwald had it meanwhile, and held the log for those that are waited for; or the
    // server was switched over, and has all of what we published.
    const bool taken_over = epoch_ != 0 && !streaming.slot_created &&
                            streaming.recorded >= streaming.begin && same_history &&
                            streaming.server_end >= ledger_.position();
    const bool switched = epoch_ != 0 && streaming.history != timelines_.now && same_history;
    const bool broken = epoch_ != 0 && (!same_history || streaming.begin > ledger_.position() ||
                                        streaming.server_end < ledger_.position());
    const bool gap = !taken_over && (broken || streaming.slot_created || moved_on);
    if (streaming.slot_created) spdlog::info("slot {} was made", settings_.slot);
    if (switched)
        spdlog::info("the server is on timeline {} now: cursors of timeline {} hold",
                     streaming.history.timeline, timelines_.now.timeline);
    else if (taken_over)
        spdlog::info("another fatwald had the slot meanwhile");
    if (gap && !(epoch_ == 0 && streaming.slot_created))
        spdlog::error(
            "the slot does not go on where we stood ({}), it begins at {}: every subscriber behind "
            "that takes a new snapshot",
            wire::lsn_text(epoch_ != 0 ? ledger_.position() : streaming.recorded),
            wire::lsn_text(streaming.begin));
    epoch_ = std::max(epoch_ + 1, microseconds_since_unix_epoch());
    timelines_ = streaming.timelines;
    replays_.clear();
    snapshots_.clear();
    waiting_snapshots_.clear();
    part_offsets_.clear();
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
    accounts_.begin(epoch_, timelines_, streaming.begin, subscribers);
}

void Daemon::lost(const Failure& failure) {
    // They may say why.
    log_notices(Clock::now());
    if (stream_) {
        epoll_ctl(epoll_, EPOLL_CTL_DEL, stream_fd_, nullptr);
        stream_.reset();
        stalled_ = false;
        // What cannot be decoded fails again at once: with a pause that grows.
        if (!failure.decoding) backoff_.reset();
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
            // Nothing here is final: where a change cannot be decoded the error says the way out,
            // and the slot is free meanwhile for whoever goes it.
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
    if (settled > confirmed_ && !stalled_) accounts_.heartbeat();
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
    silence_.asked(Clock::now());
    if (!stream_->confirm(ledger_.received(), confirmed_, Stream::Reply::Wanted)) {
        lost(stream_->failure());
        return;
    }
    const auto interval =
        std::min(std::chrono::milliseconds(settings_.confirm_interval_ms), silence_.interval());
    next_confirm_ = Clock::now() + interval;
}

void Daemon::end_stream() {
    store_durables();
    if (!stream_) return announce_end();
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
    announce_end();
    if (!stream_) return;
    stream_->finish(deadline);
    spdlog::info("confirmed {}", wire::lsn_text(confirmed_));
}

// The heartbeats come first: whoever has all then knows it, and its cursor does not fall behind
// what the slot holds for the next fatwald.
void Daemon::announce_end() {
    if (streams()) accounts_.heartbeat();
    control_.announce_end(accounts_.identities());
}

bool Daemon::answer_requests() {
    for (int i = 0; i < kRequestsPerTurn; ++i) {
        auto request = control_.next(Clock::now());
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
        this->detach(*detach, request.requester);
        return Reply{wire::Detached{}, {}};
    }
    if (const auto* asked = std::get_if<wire::Describe>(&body))
        return describe(*asked, request.requester);
    if (std::holds_alternative<wire::ListDurables>(body) ||
        std::holds_alternative<wire::ForgetDurable>(body))
        return durables(request);
    if (const auto* replay = std::get_if<wire::Replay>(&body))
        return replays_.answer(*replay, request.requester, standing(), now);
    if (const auto* asked = std::get_if<wire::SnapshotRequest>(&body)) {
        wire::SnapshotRequest copy = *asked;
        return snapshot(copy, request.requester, now);
    }
    if (const auto* acknowledge = std::get_if<wire::Acknowledge>(&body)) {
        if (auto refused = accounts_.acknowledge(*acknowledge, request.requester.identity))
            return Reply{std::move(*refused), {}};
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
    if (std::holds_alternative<wire::Ping>(body))
        return Reply{wire::Pong{streams() ? epoch_ : 0}, {}};
    return refuse(wire::ErrorCode::UnknownType, "this is a reply, not a request");
}

std::optional<Reply> Daemon::attach(const wire::Attach& request, const Requester& requester,
                                    Clock::time_point now) {
    if (stalled_ || (!stream_ && (epoch_ == 0 || now - lost_at_ >= kStreamGrace)))
        return refuse(wire::ErrorCode::NotStreaming, "the slot is not being streamed", {},
                      "Another fatwald may have it; else see the log of this one.");
    auto answered = accounts_.attach(request, requester, ledger_.settled(), standing().end, now);
    if (auto* error = std::get_if<wire::ControlError>(&answered)) {
        warn_of_peer("attach of " + log_text(request.subscriber) + " refused: " + error->message +
                     ' ' + error->detail);
        return Reply{std::move(*error), {}};
    }
    wire::Attached& attached = std::get<wire::Attached>(answered);
    if (!accounts_.to_be_written(request)) return Reply{std::move(attached), {}};
    // A promise to wait for somebody outlives us: it is given when it is written down.
    store_durables();
    waiting_attaches_.emplace(last_ticket_,
                              WaitingAttach{requester, std::move(attached),
                                            DurableKey{request.account, request.subscriber}});
    return std::nullopt;
}

// Takes the nonce out of all that knows it: it names nobody from now on.
void Daemon::detach(const wire::Detach& request, const Requester& requester) {
    if (!accounts_.find(request.nonce, requester.identity)) return;
    accounts_.detach(request, requester.identity);
    replays_.forget(request.nonce);
    waiting_snapshots_.forget(request.nonce);
    if (request.forget) store_durables();
}

// Each schema once, as many as fit into a reply: who lacks others asks again.
std::optional<Reply> Daemon::describe(const wire::Describe& request,
                                      const Requester& requester) const {
    if (!accounts_.attached_by(requester.identity))
        return refuse(wire::ErrorCode::NotAttached, "nobody is attached by this connection", {},
                      "Attach first.");
    wire::Described described;
    std::set<wire::SchemaId> answered;
    std::size_t bytes = 0;
    for (const wire::SchemaId id : request.schemas) {
        const std::string* schema = schemas_.find(id);
        if (schema == nullptr || !answered.insert(id).second) continue;
        if (bytes > 0 && bytes + schema->size() > kDescribedBytes) break;
        bytes += schema->size();
        described.schemas.push_back(*schema);
    }
    return Reply{std::move(described), {}};
}

// Whoever reads the operators' stream may list and forget those of all accounts.
std::optional<Reply> Daemon::durables(const Request& request) {
    if (!accounts_.operates(request.requester.identity))
        return refuse(wire::ErrorCode::NotAttached,
                      "this connection is not attached to the operators' stream", {},
                      "Attach to the operators (account kind 0) first.");
    if (const auto* list = std::get_if<wire::ListDurables>(&request.body))
        return Reply{accounts_.list_durables(*list), {}};
    const auto& forget = std::get<wire::ForgetDurable>(request.body);
    const DurableKey key{forget.account, forget.name};
    if (!accounts_.durables.contains(key))
        return refuse(wire::ErrorCode::BadName, "there is no durable subscriber of this name", {},
                      "fatwal durable list shows them.");
    notify_dropped(accounts_.drop_durable(key));
    store_durables();
    return Reply{wire::Forgotten{}, {}};
}

void Daemon::notify_dropped(const std::vector<Requester>& attached) {
    for (const Requester& requester : attached)
        control_.send(requester,
                      refuse(wire::ErrorCode::Dropped,
                             "the durable subscriber was forgotten: nothing is kept for it", {},
                             "Attach again; what is no longer held is replaced by a snapshot."));
}

void Daemon::warn_of_peer(const std::string& line) {
    if (accounts_.log_budget.admits(line.size(), Clock::now())) spdlog::warn("{}", line);
}

std::optional<Reply> Daemon::snapshot(wire::SnapshotRequest& request, const Requester& requester,
                                      Clock::time_point now) {
    const auto attachment = accounts_.find(request.nonce, requester.identity);
    if (!attachment) return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
    // Numbers are easily guessed: of another account's there is nothing to be known.
    if (request.snapshot != 0 && snapshots_.account(request.snapshot) != *attachment->account)
        return refuse(wire::ErrorCode::SnapshotGone, "there is no such snapshot any more");
    if (request.offset != 0) {
        const auto offsets = part_offsets_.find(request.snapshot);
        if (offsets == part_offsets_.end() || !offsets->second.contains(request.offset))
            return refuse(wire::ErrorCode::BadPosition, "no part of the snapshot begins here",
                          "Offset " + std::to_string(request.offset) + ".",
                          "Begin with 0, and go on with the next offset of each reply.");
    }
    if (request.snapshot == 0)
        request.snapshot = snapshots_.find_or_begin(
            *attachment->account,
            {replayable_from(attachment->account->view()),
             std::max(resync_, request.not_before == 0 ? 0 : request.not_before - 1),
             ledger_.position()},
            now);
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
    part_offsets_[request.snapshot].insert(part->next_offset);
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
    return {epoch_, timelines_, ledger_.settled(), ledger_.position(),
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
    std::map<DurableKey, const Failure*> refused;
    for (const auto& [row, failure] : stored.refused) {
        refused.emplace(DurableKey{row.account, row.name}, &failure);
        warn_of_peer("durable subscriber " + log_text(row.name) + " of account " +
                     log_text(row.account.to_text()) + ": " + one_line(failure.text()));
    }
    if (auto changes = storing_.extract(stored.ticket)) {
        std::erase_if(changes.mapped().written, [&](const DurableSubscriber& row) {
            return refused.contains({row.account, row.name});
        });
        accounts_.durables.stored(changes.mapped(), Clock::now());
    }
    const auto [first, last] = waiting_attaches_.equal_range(stored.ticket);
    for (auto waiting = first; waiting != last; ++waiting) {
        const auto why = refused.find(waiting->second.durable);
        control_.send(waiting->second.requester,
                      why == refused.end() ? Reply{std::move(waiting->second.attached), {}}
                                           : refuse(wire::ErrorCode::Internal,
                                                    "the database refuses the durable subscriber",
                                                    why->second->detail, why->second->hint));
    }
    // Those who wait for their attach have their answer, and its error means the same to others.
    for (const auto& [key, failure] : refused) notify_dropped(accounts_.refused_durable(key));
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
    for (const HoldKey& hold : ledger_.holds.beyond(
             static_cast<std::uint64_t>(settings_.retention_bytes), ledger_.position(), since)) {
        const wire::Lsn from = ledger_.holds.of(hold);
        const auto attached = accounts_.drop_durable(hold);
        ledger_.holds.release(hold);
        const auto* durable = std::get_if<DurableKey>(&hold);
        if (durable == nullptr) continue;
        ++given_up_;
        warn_of_peer("durable subscriber " + log_text(durable->name) + " of account " +
                     log_text(durable->account.to_text()) +
                     " is dropped after retention: it holds WAL from " + wire::lsn_text(from) +
                     "; it will take a snapshot");
        notify_dropped(attached);
    }
}

wire::StatusReply Daemon::status() const {
    const auto uptime =
        std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count();
    return {{{"version", FATWAL_VERSION},
             {"state", stalled_  ? "stalled"
                       : stream_ ? "streaming"
                                 : "connecting"},
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
             {"cut_connections", std::to_string(inbound::cut())},
             {"refused_connections", std::to_string(inbound::refused())},
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

void Daemon::check_silence(Clock::time_point now) {
    if (!stream_) return;
    const Silence::State state = silence_.state(now);
    if (state == Silence::State::Lost) {
        lost({"the stream is lost",
              "The server has sent nothing for its wal_sender_timeout, although it was asked.",
              {},
              false});
        return;
    }
    const bool stalled = state == Silence::State::Stalled;
    if (stalled == std::exchange(stalled_, stalled)) return;
    if (stalled)
        spdlog::warn(
            "the stream is stalled: the server does not answer. Subscribers get no heartbeats "
            "until "
            "it does");
    else
        spdlog::info("the server answers again");
}

void Daemon::tick(Clock::time_point now) {
    if (stream_ && now >= next_confirm_) confirm();
    if (now >= next_heartbeat_) {
        next_heartbeat_ = now + std::chrono::milliseconds(settings_.heartbeat_interval_ms);
        // A heartbeat says that nothing is missing, which a silent stream does not know.
        if (!stalled_) accounts_.heartbeat();
    }
    if (now < next_tick_) return;
    log_notices(now);
    check_silence(now);
    next_tick_ = now + kTick;
    accounts_.tick(now);
    replays_.tick(now);
    const auto attached = [&](const wire::Nonce& nonce) {
        return accounts_.find(nonce).has_value();
    };
    for (const Snapshots::Id id : snapshots_.tick(now, attached)) {
        ledger_.holds.release(hold_of_snapshot(id));
        part_offsets_.erase(id);
    }
    control_.tick(now);
    if (const auto lines = accounts_.log_budget.take_left_out(now))
        spdlog::warn("{} more lines about subscribers were left out", *lines);
    if (inbound::refused() > refused_connections_ && now - refused_said_ >= kRefusedInterval) {
        spdlog::error(
            "file descriptors run out: {} connections were closed as they came. Raise the limit "
            "(LimitNOFILE, ulimit -n)",
            inbound::refused() - refused_connections_);
        refused_connections_ = inbound::refused();
        refused_said_ = now;
    }
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

}  // namespace fatwal::sidecar
