#include "sidecar/daemon.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include <spdlog/spdlog.h>

#include "fatwal/wire/text_sink.h"
#include "sidecar/http/report_of.h"
#include "sidecar/status.h"
#include "sidecar/subscribers/inbound.h"

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
// Longer than an attempt takes that a person has to mend.
constexpr std::chrono::seconds kStandbyAfter{3};
constexpr std::chrono::seconds kHealthInterval{10};
// Between two looks at the publications. With so many tables that one takes long: 1 % of the time.
constexpr std::chrono::seconds kPublicationsInterval{5};
constexpr int kPublicationsPause = 100;  // times what the last took
// At the end: for the keeper to say what is visible, and to store what is acknowledged.
constexpr std::chrono::milliseconds kLastAnswers{2000};
constexpr std::chrono::seconds kRefusedInterval{10};
// Between two status messages, when a snapshot waits for the stream.
constexpr std::chrono::milliseconds kAwaitedInterval{20};
// How long it waits before the server is to flush its log, which it does by itself where anybody
// commits.
constexpr std::chrono::milliseconds kFlushAfter{100};
// One in a tick.
constexpr int kMostRefusals = 10;

std::uint64_t microseconds_since_unix_epoch() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

zmq::message_t payload_of(PluginMessage received) {
    if (!received.buffer || received.message.size() < kCopiedBytes)
        return {received.message.data(), received.message.size()};
    const wire::Bytes message = received.message;
    return {const_cast<std::byte*>(message.data()), message.size(),
            [](void*, void* buffer) { PQfreemem(buffer); }, received.buffer.release()};
}

wire::Microseconds microseconds_since_2000() {
    return static_cast<wire::Microseconds>(microseconds_since_unix_epoch()) -
           wire::kPostgresEpochUnixSeconds * 1'000'000;
}

zmq::context_t make_context(const Descriptors& descriptors, bool keyed) {
    zmq::context_t context;
    // Before the first socket: libzmq ignores it later.
    context.set(zmq::ctxopt::max_sockets,
                static_cast<int>(std::min<std::size_t>(descriptors.limit(), 65'535)));
    // The keyed sockets have a thread of their own.
    context.set(zmq::ctxopt::io_threads, keyed ? 2 : 1);
    return context;
}

// How many connections with keys there may be.
std::size_t bound_keyed(const Settings& settings) {
    std::vector<std::string> paths;
    for (const std::string& endpoint : {settings.keyed_control, settings.keyed_data})
        if (endpoint.starts_with("ipc://")) paths.push_back(path_of(endpoint));
    return inbound::set_keyed(static_cast<std::size_t>(settings.max_keyed_connections),
                              std::move(paths));
}

// The facts of classify_start(), as the connection found them.
FoundSlot found_slot(const StreamStart& found, const Accounts& accounts) {
    FoundSlot slot{found.slot_created,
                   found.begin,
                   found.server_end,
                   found.recorded,
                   found.timelines,
                   false,
                   kNoLsn};
    for (const DurableSubscriber& subscriber : found.subscribers) {
        // Another fatwald may have had the slot without moving it, and have promised to keep the
        // log for subscribers of which only the table knows.
        if (!accounts.holds_for(subscriber)) slot.promised_by_another = true;
        slot.oldest_acknowledged = std::min(slot.oldest_acknowledged, subscriber.acknowledged);
    }
    return slot;
}

}  // namespace

Daemon::Daemon(const Settings& settings, const RunDir& run_dir, service::RecentLines& log)
    : settings_(settings),
      started_(Clock::now()),
      context_(make_context(descriptors_, settings.keyed())),
      keyed_connections_(bound_keyed(settings) / 4),
      publishers_(
          context_, settings, descriptors_,
          [&run_dir](std::uint64_t epoch, std::uint64_t serial) {
              run_dir.ensure();
              return run_dir.endpoint(epoch, serial);
          },
          open_keyed(settings)),
      accounts_(settings, publishers_, ledger_.holds),
      attachments_(settings, accounts_, publishers_, descriptors_, ledger_.holds),
      control_(context_, settings, keyed_connections_),
      spools_(static_cast<std::uint64_t>(settings.spool_bytes)),
      replays_(settings, attachments_, ledger_.holds, spools_, peer_log_),
      snapshots_(settings, spools_),
      slot_(settings, notices_, started_),
      keeper_(settings),
      durables_(settings, accounts_, attachments_, ledger_.holds, keeper_, control_, peer_log_),
      snapshot_requests_(settings, accounts_, attachments_, epoch_, ledger_, snapshots_, control_),
      roster_(settings, ledger_, accounts_, attachments_, snapshots_, snapshot_requests_, log),
      requests_({slot_, epoch_, ledger_, confirmation_, credentials_, accounts_, attachments_,
                 durables_, replays_, snapshot_requests_, peer_log_, [this] { confirm(); },
                 [this] { return status_of(status_sources()); }, roster_,
                 [] { return microseconds_since_2000(); }}),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      next_tick_(started_ + kTick),
      next_heartbeat_(started_),
      next_confirm_(started_),
      next_health_(started_),
      next_publications_(started_) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    for (const int fd :
         {publishers_.fd(), slot_.connector_fd(), keeper_.fd(), snapshots_.fd(), replays_.fd()})
        watch(fd, EPOLLIN);
    for (const int fd : control_.fds()) watch(fd, EPOLLIN);
    if (settings.http_options) {
        watch_.emplace(*settings.http_options, "fatwal");
        spdlog::info("http at {}:{}", settings.http_options->address, watch_->port());
    }
    if (!settings.keyed()) return;
    watch(zap_->fd(), EPOLLIN);
    watch(keyed_data_->fd(), EPOLLIN);
}

StatusSources Daemon::status_sources() const {
    return {settings_,     slot_,
            epoch_,        ledger_,
            confirmation_, accounts_,
            attachments_,  durables_,
            publishers_,   replays_,
            snapshots_,    spools_,
            tally_,        descriptors_,
            credentials_,  keyed_connections_,
            measures_,     zap_ ? &*zap_ : nullptr,
            started_};
}

// The ZAP handler before the sockets that it admits to.
KeyedData* Daemon::open_keyed(const Settings& settings) {
    if (!settings.keyed()) return nullptr;
    zap_.emplace(context_);
    try {
        keyed_data_.emplace(context_, settings, keyed_connections_);
    } catch (const zmq::error_t& error) {
        throw Failure{"cannot listen at the keyed data endpoint",
                      settings.keyed_data + ": " + error.what(),
                      "Choose an address of this machine and a port that is free with "
                      "--keyed-data."};
    }
    return &*keyed_data_;
}

Daemon::~Daemon() { ::close(epoll_); }

void Daemon::watch(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

// While the stream waits for facts its socket is left alone: what the server sends stays with the
// server.
void Daemon::watch_stream(bool readable) {
    epoll_event event{};
    event.events = readable ? std::uint32_t{EPOLLIN} : 0;
    event.data.fd = slot_.stream_fd();
    if (epoll_ctl(epoll_, EPOLL_CTL_MOD, event.data.fd, &event) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

// In milliseconds, until something is due.
int Daemon::timeout(Clock::time_point now) const {
    if (more_) return 0;
    const auto until =
        std::min({next_tick_, slot_.streams() ? confirm_at() : next_tick_,
                  slot_.next_attempt().value_or(next_tick_),
                  accounts_.published() > 0 ? next_heartbeat_ : next_tick_,
                  control_.waiting() ? now + ReplyWindow::kInterval : next_tick_,
                  publishers_.next_check().value_or(next_tick_),
                  keyed_data_ ? keyed_data_->next_check().value_or(next_tick_) : next_tick_,
                  service_manager_.next().value_or(next_tick_)});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
    return static_cast<int>(std::max<long>(left, 0));
}

std::optional<Failure> Daemon::run(const Signals& signals, const std::function<void()>& reload) {
    watch(signals.stop().fd(), EPOLLIN);
    watch(signals.reload().fd(), EPOLLIN);
    spdlog::info("control endpoint {}", settings_.control);
    for (;;) {
        const auto now = Clock::now();
        slot_.connect_if_due(now, epoch_.number != 0);
        std::array<epoll_event, 16> events{};
        const int count =
            epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout(now));
        const auto woken = Clock::now();
        more_ = false;
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd == signals.stop().fd()) {
                spdlog::info("stopping");
                service_manager_.stopping();
                end_stream();
                return std::nullopt;
            }
            if (fd == signals.reload().fd()) {
                signals.reload().clear();
                service_manager_.reloading();
                reload();
                report_state(Clock::now());
            }
            if (fd == slot_.stream_fd()) slot_.heard(Clock::now());
            for (const int each : control_.fds())
                if (fd == each) control_.signalled();
            if (keyed_data_ && fd == keyed_data_->fd()) keyed_data_->signalled();
            if (fd == publishers_.fd()) publishers_.signalled();
            if (fd == slot_.connector_fd())
                if (auto failure = connected()) return failure;
            if (fd == keeper_.fd()) read_keeper();
            if (fd == snapshots_.fd()) snapshot_requests_.progress(Clock::now());
            if (fd == replays_.fd()) read_replays(Clock::now());
        }
        if (auto failure = read_stream()) return failure;
        snapshot_requests_.stream_moved(Clock::now());
        if (Stream* stream = slot_.stream(); stream != nullptr && stream->sent() != 0)
            server_clock_.heard(stream->sent(), Clock::now());
        publishers_.set_time(server_clock_.seconds(Clock::now()));
        if (zap_ && zap_->answer(credentials_, microseconds_since_2000())) more_ = true;
        if (attachments_.answer_markers(Clock::now())) more_ = true;
        if (keyed_data_ && attachments_.answer_markers(*keyed_data_, Clock::now())) more_ = true;
        publishers_.check_suspects(Clock::now());
        if (keyed_data_) keyed_data_->check_suspects(Clock::now());
        if (answer_requests()) more_ = true;
        do_what_is_due(Clock::now());
        service_manager_.alive(Clock::now());
        // What was sent may have swallowed the signal of what has come meanwhile.
        if (control_.unread()) more_ = true;
        const auto done = Clock::now();
        measures_.turns.took(done - woken, done);
    }
}

std::optional<Failure> Daemon::connected() {
    std::optional<Outcome> outcome = slot_.outcome();
    if (!outcome) return std::nullopt;
    if (auto* failure = std::get_if<Failure>(&*outcome)) {
        // Once it has streamed, whoever changed the server mends it too, and no subscriber is to
        // wait until somebody starts this process again. A lost slot is another matter:
        // on_lost_slot has said what to do.
        if (failure->fatal && (epoch_.number == 0 || failure->slot_lost))
            return std::move(*failure);
        lose(*failure);
        return std::nullopt;
    }
    begin_stream(std::get<StreamStart>(*outcome), Clock::now());
    return std::nullopt;
}

void Daemon::begin_stream(StreamStart& found, Clock::time_point now) {
    if (found.slot_created) spdlog::info("slot {} was made", settings_.slot);
    const PreviousStream previous{epoch_.number != 0, epoch_.timelines.now,
                                  confirmation_.confirmed(), ledger_.published()};
    const Start start = classify_start(previous, found_slot(found, accounts_));
    const auto* gap = std::get_if<Gap>(&start);
    // A first start with a new slot was asked for: by on_lost_slot, or there was none before.
    if (gap != nullptr && (previous.exists || gap->why != GapReason::SlotCreated))
        spdlog::error(
            "the slot does not go on where we stood ({}), it begins at {}: every subscriber behind "
            "that takes a new snapshot",
            wire::lsn_text(previous.exists ? previous.published : found.recorded),
            wire::lsn_text(found.begin));
    if (gap != nullptr && previous.exists) ++measures_.gaps;
    if (const auto* taken_over = std::get_if<TakenOver>(&start)) {
        if (taken_over->other_timeline)
            spdlog::info("the server is on timeline {} now: cursors of timeline {} hold",
                         found.timelines.now.timeline, previous.history.timeline);
        else
            spdlog::info("another fatwald had the slot meanwhile");
    }
    const wire::Lsn followed = ledger_.published();
    if (std::holds_alternative<Resumed>(start))
        ledger_.restart();
    else
        begin_epoch(found, gap != nullptr);
    epoch_.server_end = found.server_end;
    if (settings_.keyed()) {
        credentials_.begin(found.credentials, std::min(followed, found.server_end));
        end_forbidden();
    }
    for (const std::string& row : found.skipped) spdlog::error("{}", one_line(row));
    slot_.begin(std::move(found.connection), found.sender_timeout, now);
    watch(slot_.stream_fd(), EPOLLIN);
    next_health_ = next_publications_ = now;
    spdlog::info("streaming slot {} of publication {} from {}, epoch {}", settings_.slot,
                 settings_.publication, wire::lsn_text(found.begin), epoch_.number);
    report_state(now);
    confirm();
}

void Daemon::begin_epoch(const StreamStart& found, bool gap) {
    const std::uint64_t number = std::max(epoch_.number + 1, microseconds_since_unix_epoch());
    replays_.clear();
    snapshot_requests_.clear();
    durables_.clear();
    attachments_.detach_all();
    epoch_ = Epoch{number, found.timelines, {}, 0, found.server_end};
    ledger_.begin(found.begin);
    confirmation_.begin(found.begin, found.recorded);
    std::vector<DurableSubscriber> subscribers = found.subscribers;
    // Behind a gap nobody has what lies before it.
    for (DurableSubscriber& subscriber : subscribers)
        if (gap) subscriber.acknowledged = std::max(subscriber.acknowledged, found.begin);
    accounts_.begin(found.begin, subscribers);
    publishers_.set_epoch(number);
    publishers_.set_position(found.begin);
}

void Daemon::lose(const Failure& failure) {
    // They may say why.
    log_notices(Clock::now());
    if (slot_.streams()) epoll_ctl(epoll_, EPOLL_CTL_DEL, slot_.stream_fd(), nullptr);
    slot_.lose(failure, Clock::now());
    why_waiting_ = "waits to connect again: " + failure.message;
    report_state(Clock::now());
    facts_asked_ = false;
    facts_refused_ = 0;
    confirmation_.disconnected();
}

std::optional<Failure> Daemon::read_stream() {
    if (!slot_.streams() || slot_.stream()->waits_for() != nullptr) return std::nullopt;
    const bool alive = slot_.stream()->read_socket();
    (void)slot_.stream()->flush();
    // To answer a keepalive may lose the stream.
    for (int i = 0; i < kMessagesPerTurn && slot_.streams(); ++i) {
        auto [message, ended] = slot_.stream()->next();
        if (auto* received = std::get_if<PluginMessage>(&message)) {
            if (auto failure = publish(std::move(*received))) return failure;
        } else if (const auto* sent = std::get_if<Keepalive>(&message)) {
            keepalive(*sent);
        } else {
            // Nothing here is final: where a change cannot be decoded the error says the way out,
            // and the slot is free meanwhile for whoever takes that way.
            if (ended || !alive)
                lose(slot_.stream()->failure());
            else if (slot_.stream()->waits_for() != nullptr)
                ask_facts();
            return std::nullopt;
        }
    }
    more_ = slot_.streams();
    return std::nullopt;
}

std::optional<Failure> Daemon::publish(PluginMessage received) {
    zmq::message_t payload = payload_of(std::move(received));
    const wire::Bytes message(static_cast<const std::byte*>(payload.data()), payload.size());
    measures_.received_bytes += message.size();
    if (const auto frame = wire::FrameView::parse_header(message)) {
        ++measures_.received_frames;
        // Also of one that comes again: the credentials were read again then, perhaps before its
        // commit was visible.
        if (settings_.keyed()) {
            credentials_.stream_at(frame->commit_lsn());
            follow_credentials(*frame);
        }
        if (!ledger_.admit(*frame)) return std::nullopt;
        zmq::message_t shared;  // the view stays valid by `payload`
        shared.copy(payload);
        const auto now = Clock::now();
        accounts_.publish(*frame, std::move(shared), epoch_.schemas, now);
        if (const auto server = server_clock_.at(now);
            server && frame->has(wire::kLastOfTransaction))
            measures_.publish_latency.observe(std::chrono::microseconds(
                std::max<wire::Microseconds>(*server - frame->commit_time(), 0)));
        const std::uint64_t resyncs = tally_.resyncs;
        tally_.add(*frame);
        measures_.published_changes += frame->record_count();
        if (tally_.resyncs != resyncs) epoch_.newest_resync = frame->commit_lsn();
        ledger_.frame_published(*frame);
        publishers_.set_position(ledger_.published());
        return std::nullopt;
    }
    if (const auto schema = wire::SchemaView::parse(message)) {
        epoch_.schemas.add(*schema);
        return std::nullopt;
    }
    return Failure{"the output plugin sent a message that is not understood",
                   std::to_string(message.size()) + " bytes.",
                   "Install the extension and fatwald of the same version."};
}

// Before the frame is published: from the revocation's commit on nothing goes to whom it concerns.
void Daemon::follow_credentials(const wire::FrameView& frame) {
    switch (credentials_.apply(frame, epoch_.schemas)) {
        case Credentials::Applied::Nothing: return;
        case Credentials::Applied::Changed: return end_forbidden();
        case Credentials::Applied::Unreadable:
            spdlog::error(
                "a change of fatwal.credential or fatwal.credential_grant cannot be read: nobody "
                "with a key is served until they are read again");
            credentials_.clear();
            reread_credentials_ = true;
            return end_forbidden();
    }
}

// Ends what callers may not follow any more, and the connections of keys that do not hold.
void Daemon::end_forbidden() {
    const auto now = microseconds_since_2000();
    for (const auto& [nonce, attachment] : attachments_.detach_forbidden(credentials_, now)) {
        replays_.forget(nonce);
        snapshot_requests_.forget(nonce);
        control_.send(attachment.requester,
                      forbidden(attachment.requester.caller, attachment.account->key));
    }
    keyed_connections_.cut_unless(
        [&](const Caller& caller) { return credentials_.holds(caller, now); }, Clock::now());
}

// Of a table that pgoutput has named; the stream waits for them.
void Daemon::ask_facts() {
    if (std::exchange(facts_asked_, true)) return;
    watch_stream(false);
    keeper_.ask_facts(*slot_.stream()->waits_for(), ++facts_ticket_);
}

// Those of a stream before are of no use: its table may have changed since.
void Daemon::handle(const FactsResult& result) {
    if (!facts_asked_ || result.ticket != facts_ticket_) return;
    facts_asked_ = false;
    // tick_streaming() asks again, but not for ever: a COMMIT may wait for us as its standby.
    if (!slot_.stream()->learn(result.facts, facts_refused_ == kMostRefusals)) {
        ++facts_refused_;
        return;
    }
    facts_refused_ = 0;
    watch_stream(true);
}

void Daemon::keepalive(const Keepalive& keepalive) {
    ledger_.keepalive(keepalive.wal_end);
    publishers_.set_position(ledger_.published());
    if (!ledger_.in_transaction()) credentials_.stream_at(keepalive.wal_end);
    if (keepalive.reply_requested) perform(confirmation_.server_asks(facts()));
}

Confirmation::Facts Daemon::facts() const {
    return {ledger_.next_confirmable(), ledger_.received(), accounts_.durables.size() > 0,
            ledger_.visibility.all_seen(), slot_.streams()};
}

void Daemon::perform(const Confirmation::Step& step) {
    if (step.ask) keeper_.ask_what_is_visible();
    if (step.confirm) ledger_.raise_confirmable();
    // A silent stream does not know whether something is missing.
    if (step.heartbeat && slot_.is_live()) accounts_.heartbeat();
    if (step.record) keeper_.record(*step.record);
    if (!step.confirm || !slot_.streams()) return;
    const auto now = Clock::now();
    if (!slot_.confirm(ledger_.received(), confirmation_.confirmed(), now))
        return lose(slot_.stream()->failure());
    last_confirm_ = now;
    next_confirm_ = now + std::min(std::chrono::milliseconds(settings_.confirm_interval_ms),
                                   slot_.most_interval());
}

// A server that has nothing to send says how far it is when it is asked.
Clock::time_point Daemon::confirm_at() const {
    return snapshot_requests_.awaits_stream() || (settings_.keyed() && !credentials_.are_current())
               ? std::min(next_confirm_, last_confirm_ + kAwaitedInterval)
               : next_confirm_;
}

void Daemon::end_stream() {
    durables_.store();
    if (!slot_.streams()) return announce_end();
    const auto deadline = Clock::now() + std::chrono::milliseconds(settings_.shutdown_drain_ms);
    const auto until = std::min(deadline, Clock::now() + kLastAnswers);
    const auto await = [&](auto&& done) {
        while (slot_.streams() && !done() && Clock::now() < until) {
            pollfd wait = {keeper_.fd(), POLLIN, 0};
            (void)poll(&wait, 1, 100);
            read_keeper();
        }
    };
    // What was published last is visible by now, but nobody has asked.
    if (!ledger_.visibility.all_seen()) keeper_.ask_what_is_visible();
    await([this] {
        return ledger_.visibility.all_seen() && durables_.idle() && !confirmation_.records();
    });
    confirm();
    await([this] { return !confirmation_.records(); });
    announce_end();
    if (!slot_.streams()) return;
    slot_.stream()->finish(deadline);
    spdlog::info("confirmed {}", wire::lsn_text(confirmation_.confirmed()));
}

// The heartbeats come first: whoever has all then knows it, and its cursor does not fall behind
// what the slot holds for the next fatwald.
void Daemon::announce_end() {
    if (slot_.is_live()) accounts_.heartbeat();
    control_.announce_end(attachments_.identities());
}

bool Daemon::answer_requests() {
    for (int i = 0; i < kRequestsPerTurn; ++i) {
        const auto request = control_.next(Clock::now());
        if (!request) return control_.unread();
        if (auto reply = requests_.answer(*request, Clock::now()))
            control_.send(request->requester, std::move(*reply));
    }
    return true;
}

void Daemon::read_replays(Clock::time_point now) {
    for (auto& [requester, reply] : replays_.progress(standing_of(epoch_, ledger_), now))
        control_.send(requester, std::move(reply));
}

void Daemon::read_keeper() {
    while (const auto event = keeper_.next())
        std::visit([this](const auto& each) { handle(each); }, *event);
}

void Daemon::handle(const VisibleSnapshot& visible) {
    ledger_.visibility.seen(visible.snapshot, snapshots_.newest_begun());
    ledger_.visibility.known_before(snapshots_.oldest_unknown());
    perform(confirmation_.visible(facts()));
}

void Daemon::handle(const StoreResult& result) {
    durables_.stored(result, Clock::now());
    perform(confirmation_.stored(facts()));
}

void Daemon::handle(const RecordResult& result) {
    perform(confirmation_.recorded(result.confirmed, facts()));
}

void Daemon::handle(const SlotHealth& health) {
    if (const auto failure = slot_.check(health)) lose(*failure);
}

void Daemon::handle(const PublicationsNoted& noted) {
    next_publications_ = Clock::now() + std::max<Clock::duration>(kPublicationsInterval,
                                                                  kPublicationsPause * noted.took);
    if (noted.lack && slot_.streams()) lose(*noted.lack);
}

void Daemon::handle(const KeeperFailure& failed) {
    if (next_publications_ == Clock::time_point::max())
        next_publications_ = Clock::now() + kPublicationsInterval;
    confirmation_.keeper_failed();
    durables_.failed(failed.ticket, failed.failure);
    facts_asked_ = false;  // tick_streaming() asks again
    if (!slot_.streams()) return;
    if (!failed.server_goes_down) {
        spdlog::warn("{}", failed.failure.text());
        return;
    }
    // It takes no more connections, so no snapshot will be taken before it has started again; then
    // all is seen.
    if (!confirmation_.goes_down_since()) spdlog::info("the server is going down");
    ledger_.visibility.seen_all();
    accounts_.durables.count_unwritten(Clock::now());
    perform(confirmation_.server_goes_down(facts(), Clock::now()));
}

void Daemon::do_what_is_due(Clock::time_point now) {
    if (slot_.streams() && now >= confirm_at()) confirm();
    if (!snapshot_requests_.awaits_stream()) {
        next_flush_ = now + kFlushAfter;
    } else if (now >= next_flush_) {
        next_flush_ = now + kTick;
        keeper_.flush_log();
    }
    if (now >= next_heartbeat_) {
        next_heartbeat_ = now + std::chrono::milliseconds(settings_.heartbeat_interval_ms);
        // A heartbeat says that nothing is missing, which a silent stream does not know.
        if (slot_.is_live() || !slot_.streams()) accounts_.heartbeat();
    }
    if (now >= next_tick_) tick(now);
}

void Daemon::report(Clock::time_point now) {
    if (!watch_) return;
    measures_.received.note(ledger_.received(), now);
    watch_->report(
        report_of({status_sources(), measures_, control_, roster_}, watch_->wants_accounts(), now));
}

// systemd's start is over when fatwald streams, or waits and will stream by itself. An attempt that
// has neither failed nor succeeded for so long waits too: for another fatwald to leave the slot,
// for transactions that are older than the slot, for a server that does not answer.
void Daemon::report_state(Clock::time_point now) {
    if (slot_.streams())
        service_manager_.ready(slot_.text() + (" slot " + settings_.slot));
    else if (!why_waiting_.empty())
        service_manager_.ready(why_waiting_);
    else if (now - started_ >= kStandbyAfter)
        service_manager_.ready("waits for slot " + settings_.slot);
}

void Daemon::tick(Clock::time_point now) {
    next_tick_ = now + kTick;
    report(now);
    report_state(now);
    log_notices(now);
    if (const auto failure = slot_.check_silence(now)) lose(*failure);
    attachments_.tick(now);
    publishers_.tick(now);
    if (keyed_data_) {
        keyed_data_->tick(now);
        keyed_connections_.tick();
        end_forbidden();  // what expires
    }
    accounts_.tick();
    replays_.tick(now);
    snapshot_requests_.tick(now);
    control_.tick(now);
    peer_log_.tick(now);
    log_refused_connections(now);
    durables_.drop_beyond_retention(ledger_.published(), now);
    if (std::exchange(reread_credentials_, false) && slot_.streams())
        lose({"the credentials have to be read again", {}, {}, false});
    if (slot_.streams()) return tick_streaming(now);
    if (attachments_.size() == 0 || now - slot_.lost_at() < Requests::kStreamGrace) return;
    spdlog::warn("no stream: the subscribers are sent away, to another fatwald or to wait");
    attachments_.detach_all();
    accounts_.close_outlets();
}

void Daemon::tick_streaming(Clock::time_point now) {
    durables_.store();
    if (slot_.stream()->waits_for() != nullptr) ask_facts();
    perform(confirmation_.tick(facts()));
    if (now >= next_health_) {
        next_health_ = now + kHealthInterval;
        keeper_.ask_slot_health();
    }
    if (settings_.plugin == Plugin::Pgoutput && now >= next_publications_) {
        next_publications_ = Clock::time_point::max();  // until it has answered
        keeper_.note_publications();
    }
    const auto since = confirmation_.goes_down_since();
    if (since && now - *since >= std::chrono::milliseconds(settings_.shutdown_drain_ms))
        lose({"the server goes down and is not kept waiting any longer",
              "Subscribers have not acknowledged all; the slot keeps it for them.",
              {},
              false});
}

void Daemon::log_notices(Clock::time_point now) {
    for (const std::string& line : notices_.lines(now)) spdlog::warn("Postgres: {}", line);
    for (const std::string& line : snapshots_.log_lines(now))
        spdlog::error("a snapshot has failed: {}", line);
}

void Daemon::log_refused_connections(Clock::time_point now) {
    const std::uint64_t refused = inbound::refused();
    if (refused == refused_connections_ || now - refused_logged_ < kRefusedInterval) return;
    spdlog::error(
        "file descriptors run out: {} connections were closed as they came. Raise the limit "
        "(LimitNOFILE, ulimit -n)",
        refused - refused_connections_);
    refused_connections_ = refused;
    refused_logged_ = now;
}

}  // namespace fatwal::sidecar
