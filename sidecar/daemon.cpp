#include "daemon.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <random>
#include <system_error>

#include <spdlog/spdlog.h>

#include "fatwal/wire/text_sink.h"

namespace fatwal {

namespace {

// Work in one turn of the loop, so that neither the stream nor the requests keep the other waiting.
constexpr int kMessagesPerTurn = 256;
constexpr int kRequestsPerTurn = 64;
// A message that is smaller is copied: that is cheaper than giving libzmq the buffer and a way to free it.
constexpr std::size_t kCopiedBytes = 2048;
constexpr std::chrono::seconds kTick{1};

std::uint64_t microseconds_since_unix_epoch() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

zmq::message_t payload_of(Received received) {
    if (received.message.size() < kCopiedBytes) return {received.message.data(), received.message.size()};
    const wire::Bytes message = received.message;
    return {const_cast<std::byte*>(message.data()), message.size(), [](void*, void* buffer) { PQfreemem(buffer); },
            received.buffer.release()};
}

zmq::context_t make_context(const Descriptors& descriptors) {
    zmq::context_t context;
    // Before the first socket: libzmq ignores it later.
    context.set(zmq::ctxopt::max_sockets, static_cast<int>(std::min<std::size_t>(descriptors.limit(), 65'535)));
    context.set(zmq::ctxopt::io_threads, 1);
    return context;
}

}  // namespace

Daemon::Daemon(const Settings& settings, const RunDir& run_dir)
    : settings_(settings),
      epoch_(microseconds_since_unix_epoch()),
      started_(Clock::now()),
      context_(make_context(descriptors_)),
      accounts_(context_, settings, run_dir, descriptors_, epoch_),
      control_(context_, zmq::socket_type::router),
      connector_(settings),
      backoff_(std::random_device{}()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      next_tick_(started_ + kTick),
      next_confirm_(started_) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    control_.set(zmq::sockopt::linger, 0);
    control_.set(zmq::sockopt::router_mandatory, true);
    control_.set(zmq::sockopt::maxmsgsize, std::int64_t{wire::kMaxControlBytes});
    control_.bind(settings.control);
    watch(control_.get(zmq::sockopt::fd), EPOLLIN);
    watch(accounts_.fd(), EPOLLIN);
    watch(connector_.fd(), EPOLLIN);
}

Daemon::~Daemon() {
    control_.close();
    RunDir::remove(settings_.control);
    ::close(epoll_);
}

void Daemon::watch(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

std::optional<Failure> Daemon::run(int signals) {
    watch(signals, EPOLLIN);
    connect_at_ = started_;
    spdlog::info("control endpoint {}, epoch {}", settings_.control, epoch_);
    for (;;) {
        const auto now = Clock::now();
        if (connect_at_ && now >= *connect_at_) {
            connect_at_.reset();
            connecting_ = true;
            connector_.start();
        }
        std::array<epoll_event, 8> events{};
        const auto until = std::min({next_tick_, stream_ ? next_confirm_ : next_tick_, connect_at_.value_or(next_tick_)});
        const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
        const int count =
            epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), more_ ? 0 : static_cast<int>(std::max<long>(timeout, 0)));
        more_ = false;
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            if (event.data.fd == signals) {
                spdlog::info("stopping");
                end_stream();
                return std::nullopt;
            }
            if (event.data.fd == connector_.fd() && connecting_)
                if (auto failure = connected()) return failure;
        }
        if (stream_)
            if (auto failure = read_stream()) return failure;
        accounts_.hear(Clock::now());
        if (answer_requests()) more_ = true;
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
    backoff_.reset();
    ledger_.restart();
    stream_.emplace(std::move(std::get<Streaming>(outcome)));
    stream_fd_ = stream_->fd();
    watch(stream_fd_, EPOLLIN);
    spdlog::info("streaming slot {} of publication {}", settings_.slot, settings_.publication);
    confirm();
    return std::nullopt;
}

void Daemon::lost(const Failure& failure) {
    if (stream_) {
        epoll_ctl(epoll_, EPOLL_CTL_DEL, stream_fd_, nullptr);
        stream_.reset();
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
        accounts_.publish(*frame, std::move(shared), schemas_);
        ledger_.published(*frame);
        return std::nullopt;
    }
    if (const auto schema = wire::SchemaView::parse(message)) {
        schemas_.add(*schema);
        return std::nullopt;
    }
    return Failure{"the output plugin sent a message that is not understood", std::to_string(message.size()) + " bytes.",
                   "Install the extension and fatwald of the same version."};
}

void Daemon::take(const Keepalive& keepalive) {
    ledger_.keepalive(keepalive.wal_end);
    if (keepalive.reply_requested) confirm();
}

void Daemon::confirm() {
    if (!stream_) return;
    if (!stream_->confirm(ledger_.received(), ledger_.settled())) {
        lost(stream_->failure());
        return;
    }
    confirmed_ = ledger_.settled();
    auto interval = std::chrono::milliseconds(settings_.confirm_interval_ms);
    const auto timeout = stream_->streaming().sender_timeout;
    if (timeout.count() > 0) interval = std::min(interval, timeout / 2);
    next_confirm_ = Clock::now() + interval;
}

void Daemon::end_stream() {
    if (!stream_) return;
    confirm();
    if (!stream_) return;
    stream_->finish(Clock::now() + std::chrono::milliseconds(settings_.shutdown_drain_ms));
    spdlog::info("confirmed {}", wire::lsn_text(confirmed_));
}

bool Daemon::answer_requests() {
    for (int i = 0; i < kRequestsPerTurn; ++i) {
        zmq::message_t identity;
        zmq::message_t request;
        if (!control_.recv(identity, zmq::recv_flags::dontwait)) return false;
        if (!identity.more()) continue;
        if (!control_.recv(request, zmq::recv_flags::dontwait)) return false;
        if (request.more()) {
            // Not of the protocol: one part each. Read away what belongs to it.
            for (zmq::message_t rest; control_.recv(rest, zmq::recv_flags::dontwait) && rest.more();) continue;
            continue;
        }
        const wire::DecodedControl decoded = wire::decode_control({static_cast<const std::byte*>(request.data()), request.size()});
        wire::ControlMessage reply;
        if (decoded.message)
            reply = {decoded.message->request_id, answer(decoded.message->body, Clock::now())};
        else if (decoded.error)
            reply = *decoded.error;
        else
            continue;
        const std::string bytes = wire::encode(reply);
        try {
            if (control_.send(identity, zmq::send_flags::sndmore | zmq::send_flags::dontwait))
                control_.send(zmq::message_t(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
        } catch (const zmq::error_t& error) {
            // The requester has gone, or does not read its replies: its own loss.
            spdlog::debug("a reply was not delivered: {}", error.what());
        }
    }
    return true;
}

wire::ControlBody Daemon::answer(const wire::ControlBody& request, Clock::time_point now) {
    if (const auto* attach = std::get_if<wire::Attach>(&request)) {
        auto answered = accounts_.attach(*attach, now);
        if (auto* error = std::get_if<wire::ControlError>(&answered)) {
            spdlog::warn("attach of {} refused: {} {}", attach->subscriber, error->message, error->detail);
            return std::move(*error);
        }
        return std::get<wire::Attached>(std::move(answered));
    }
    if (const auto* detach = std::get_if<wire::Detach>(&request)) {
        accounts_.detach(detach->nonce);
        return wire::Detached{};
    }
    if (const auto* describe = std::get_if<wire::Describe>(&request)) {
        wire::Described described;
        for (const wire::SchemaId id : describe->schemas)
            if (const std::string* schema = schemas_.find(id)) described.schemas.push_back(*schema);
        return described;
    }
    if (std::holds_alternative<wire::Status>(request)) return status();
    if (std::holds_alternative<wire::Confirm>(request)) {
        if (!stream_) return wire::ControlError{wire::ErrorCode::NotStreaming, "the slot is not being streamed", {}, {}};
        confirm();
        return wire::Confirmed{confirmed_};
    }
    if (std::holds_alternative<wire::Ping>(request)) return wire::Pong{epoch_};
    return wire::ControlError{wire::ErrorCode::UnknownType, "this is a reply, not a request", {}, {}};
}

wire::StatusReply Daemon::status() const {
    const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count();
    return {{{"version", FATWAL_VERSION},
             {"state", stream_ ? "streaming" : "connecting"},
             {"slot", settings_.slot},
             {"publication", settings_.publication},
             {"epoch", std::to_string(epoch_)},
             {"received_lsn", wire::lsn_text(ledger_.received())},
             {"settled_lsn", wire::lsn_text(ledger_.settled())},
             {"confirmed_lsn", wire::lsn_text(confirmed_)},
             {"accounts", std::to_string(accounts_.size())},
             {"subscribers", std::to_string(accounts_.subscribers())},
             {"schemas", std::to_string(schemas_.size())},
             {"published_frames", std::to_string(accounts_.frames())},
             {"published_bytes", std::to_string(accounts_.bytes())},
             {"reconnects", std::to_string(reconnects_)},
             {"descriptors_used", std::to_string(descriptors_.used())},
             {"descriptors_limit", std::to_string(descriptors_.limit())},
             {"uptime_seconds", std::to_string(uptime)}}};
}

void Daemon::tick(Clock::time_point now) {
    if (stream_ && now >= next_confirm_) confirm();
    if (now < next_tick_) return;
    next_tick_ = now + std::min<Clock::duration>(kTick, std::chrono::milliseconds(settings_.heartbeat_interval_ms));
    accounts_.tick(now);
}

}  // namespace fatwal
