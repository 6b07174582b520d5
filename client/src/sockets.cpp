#include "client/src/sockets.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <system_error>

namespace fatwal::client {

namespace {

// Of one socket, before others have their turn: some milliseconds of work.
constexpr int kMessagesAtOnce = 1000;
constexpr int kRepliesAtOnce = 64;
// Also while there is always something to hand out.
constexpr std::chrono::milliseconds kLookAfterInterval{100};

// Twice fatwald's default frame: larger ones are those of a single large row.
constexpr std::size_t kExpectedMessage = 131'072;
constexpr std::size_t kLeastMessages = 16;

// For what a DEALER that leaves sent last. It only has to reach the kernel.
constexpr int kFarewellMs = 100;
// Between machines a connection may be gone without a sign: its other end has lost its power, or a
// device on the way has forgotten it. Data that is under way says so after 15 s, and one that is
// idle after a minute; before that the device's memory of it is refreshed.
constexpr int kUnacknowledgedMs = 15'000;
constexpr int kKeepaliveAfterS = 30;
constexpr int kKeepaliveIntervalS = 10;
constexpr int kKeepalives = 3;
// A fatwald that refuses a key costs a handshake each time.
constexpr int kReconnectAfterMs = 100;
constexpr int kReconnectAtMostMs = 5000;

wire::Bytes bytes_of(const zmq::message_t& message) {
    return {static_cast<const std::byte*>(message.data()), message.size()};
}

// Before it connects.
void use_keys(zmq::socket_t& socket, const std::optional<Keys>& keys) {
    if (!keys) return;
    keys->use_on(socket);
    socket.set(zmq::sockopt::tcp_keepalive, 1);
    socket.set(zmq::sockopt::tcp_keepalive_idle, kKeepaliveAfterS);
    socket.set(zmq::sockopt::tcp_keepalive_intvl, kKeepaliveIntervalS);
    socket.set(zmq::sockopt::tcp_keepalive_cnt, kKeepalives);
    socket.set(zmq::sockopt::tcp_maxrt, kUnacknowledgedMs);
    socket.set(zmq::sockopt::reconnect_ivl, kReconnectAfterMs);
    socket.set(zmq::sockopt::reconnect_ivl_max, kReconnectAtMostMs);
}

}  // namespace

Sockets::Sockets(zmq::context_t& context)
    : context_(context),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    if (epoll_ < 0 || timer_ < 0) throw std::system_error(errno, std::generic_category(), "epoll");
    watch(timer_, nullptr);
}

Sockets::~Sockets() {
    ::close(timer_);
    ::close(epoll_);
}

void Sockets::add(SocketUser& user) {
    users_.push_back(&user);
    wake(user.wake_at());
    signal_if_touched();
}

void Sockets::remove(SocketUser& user) {
    std::erase(users_, &user);
    std::erase(ready_, &user);
    std::erase(acknowledging_, &user);
    signal_if_touched();
}

// Reads what is touched, then does what is due, then sleeps. It returns as soon as there is an
// event to hand out: what is left unread stays touched.
void Sockets::pump(const SocketUser* wanted, Clock::time_point until) {
    drop_finished();
    if (const auto now = Clock::now(); now >= look_after_at_) look_after_users(now);
    const auto done = [&] {
        return full_ > 0 || (wanted != nullptr ? wanted->has_events() : !ready_.empty());
    };
    for (;;) {
        // Those that are touched meanwhile come last.
        for (std::size_t i = 0; i < touched_.size() && !done(); ++i) {
            Socket* const socket = std::exchange(touched_[i], nullptr);
            if (socket == nullptr) continue;
            socket->touched = false;
            if (socket->is_data)
                read(static_cast<Data&>(*socket));
            else
                read(static_cast<Control&>(*socket));
        }
        std::erase(touched_, nullptr);
        if (done()) return;
        const auto now = Clock::now();
        if (now >= wake_) {
            expire(now);
            continue;
        }
        const auto wake = std::min(wake_, acknowledge(now));
        if (!touched_.empty()) continue;
        arm(wake, now);
        std::array<epoll_event, 64> events{};
        const auto wait = std::clamp<std::int64_t>(
            std::chrono::ceil<std::chrono::milliseconds>(until - now).count(), 0,
            std::numeric_limits<int>::max());
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                     static_cast<int>(wait));
        // A signal ends the wait early: the caller may want to look at what it set.
        if (count < 0 && errno == EINTR) return;
        for (int i = 0; i < count; ++i)
            if (void* socket = events[static_cast<std::size_t>(i)].data.ptr)
                touch(*static_cast<Socket*>(socket));
        if (count == 0 && wait == 0) return;
    }
}

// In turn, so that one that always has events does not keep the others waiting.
SocketUser* Sockets::ready() {
    drop_finished();
    if (ready_.empty()) return nullptr;
    ready_.push_back(ready_.front());
    ready_.pop_front();
    return ready_.back();
}

void Sockets::drop_finished() {
    while (!ready_.empty() && !ready_.front()->is_ready()) {
        ready_.front()->queued = false;
        ready_.pop_front();
    }
}

void Sockets::watch(int fd, void* data) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = data;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

void Sockets::unwatch(Socket& socket) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, socket.socket.get(zmq::sockopt::fd), nullptr);
    std::replace(touched_.begin(), touched_.end(), &socket, static_cast<Socket*>(nullptr));
}

void Sockets::touch(Socket& socket) {
    if (std::exchange(socket.touched, true)) return;
    touched_.push_back(&socket);
}

Sockets::Control& Sockets::open_control(const Address& address, Clock::time_point unheard) {
    if (const auto found = controls_.find(address);
        found != controls_.end() && found->second.heard >= unheard) {
        ++found->second.users;
        return found->second;
    }
    zmq::socket_t socket(context_, zmq::socket_type::dealer);
    socket.set(zmq::sockopt::linger, 0);
    // We bound what comes by what we ask for.
    socket.set(zmq::sockopt::rcvhwm, 0);
    socket.set(zmq::sockopt::sndhwm, 0);
    use_keys(socket, address.keys);
    socket.connect(address.endpoint);
    Control& control = controls_[address];
    if (control.socket) {
        unwatch(control);
        control.touched = false;
        control.socket.close();
    }
    control.address = address;
    control.heard = Clock::now();
    control.socket = std::move(socket);
    ++control.users;
    watch(control.socket.get(zmq::sockopt::fd), static_cast<Socket*>(&control));
    return control;
}

void Sockets::close_control(Control& control, std::chrono::milliseconds linger) {
    if (--control.users > 0) return;
    unwatch(control);
    control.socket.set(zmq::sockopt::linger, static_cast<int>(linger.count()));
    control.socket.close();
    controls_.erase(Address(control.address));
}

void Sockets::send(Control& control, std::uint32_t id, wire::ControlBody body) {
    const std::string bytes = wire::encode({id, std::move(body)});
    control.socket.send(zmq::message_t(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
    touch(control);
}

std::uint32_t Sockets::ask(Control& control, SocketUser& user, wire::ControlBody body) {
    if (++request_ == 0) ++request_;  // 0 is no request
    asked_[request_] = &user;
    send(control, request_, std::move(body));
    return request_;
}

void Sockets::tell(Control& control, wire::ControlBody body, std::uint32_t request) {
    send(control, request, std::move(body));
}

// Makes its socket; connecting is left to who knows when to subscribe.
void Sockets::open(Data& data) {
    data.socket = zmq::socket_t(
        context_, data.address.keys ? zmq::socket_type::dealer : zmq::socket_type::sub);
    data.socket.set(zmq::sockopt::linger, 0);
    data.socket.set(zmq::sockopt::sndhwm, 0);  // else subscriptions beyond it are dropped
    bound(data, std::max(kExpectedMessage, std::exchange(data.largest, 0)));
    data.socket.set(zmq::sockopt::reconnect_ivl, kReconnectAfterMs);
    data.socket.set(zmq::sockopt::reconnect_ivl_max, kReconnectAtMostMs);
    use_keys(data.socket, data.address.keys);
    data.heard = Clock::now();
}

// Another DEALER for the same users.
void Sockets::replace(Data& data) {
    unwatch(data);
    data.touched = false;
    data.socket.close();
    open(data);
    data.socket.connect(data.address.endpoint);
    watch(data.socket.get(zmq::sockopt::fd), static_cast<Socket*>(&data));
    for (const auto& [nonce, user] : data.by_nonce)
        JoinBarrier::send_subscription(data.socket, true, nonce);
}

Sockets::Data& Sockets::join(SocketUser& user, const Address& address, const JoinBarrier& barrier,
                             const Bounds& bounds, Clock::time_point unheard) {
    Data& data = data_[address];
    const bool is_new = !data.socket;
    if (is_new) {
        data.is_data = true;
        data.address = address;
        data.topic_bytes = barrier.topic().size();
        data.bounds = bounds;
        open(data);
        // A DEALER keeps what is sent once it knows where to, a SUB is to subscribe before.
        if (address.keys) data.socket.connect(address.endpoint);
    } else if (address.keys && data.heard < unheard) {
        replace(data);
    }
    data.by_topic[barrier.topic()].push_back(&user);
    data.by_nonce[barrier.nonce()] = &user;
    barrier.subscribe(data.socket);
    if (is_new) {
        if (!address.keys) data.socket.connect(address.endpoint);
        watch(data.socket.get(zmq::sockopt::fd), static_cast<Socket*>(&data));
    }
    touch(data);
    return data;
}

void Sockets::subscribe_again(Data& data, const JoinBarrier& barrier) {
    barrier.subscribe(data.socket);
    touch(data);
}

void Sockets::leave(Data& data, SocketUser& user, const JoinBarrier& barrier) {
    data.by_nonce.erase(barrier.nonce());
    if (data.by_nonce.empty()) {
        unwatch(data);
        if (data.address.keys) {
            barrier.unsubscribe(data.socket);
            data.socket.set(zmq::sockopt::linger, kFarewellMs);
        }
        data.socket.close();
        data_.erase(Address(data.address));
        return;
    }
    const auto found = data.by_topic.find(barrier.topic());
    std::erase(found->second, &user);
    if (found->second.empty()) data.by_topic.erase(found);
    barrier.unsubscribe(data.socket);
    touch(data);
}

void Sockets::read(Control& control) {
    zmq::message_t message;
    for (int left = kRepliesAtOnce; control.socket.recv(message, zmq::recv_flags::dontwait);
         --left) {
        if (left == kRepliesAtOnce) control.heard = Clock::now();
        const auto decoded = wire::decode_control(bytes_of(message));
        std::vector<std::string> parts;
        while (message.more() && control.socket.recv(message, zmq::recv_flags::dontwait))
            parts.emplace_back(wire::as_text(bytes_of(message)));
        const auto asked =
            decoded.message ? asked_.find(decoded.message->request_id) : asked_.end();
        const auto* error =
            decoded.message ? std::get_if<wire::ControlError>(&decoded.message->body) : nullptr;
        if (error != nullptr && decoded.message->request_id == 0 &&
            error->code == wire::ErrorCode::ShuttingDown) {
            // Nobody asked: it is for all that are attached there.
            for (SocketUser* user : users_) {
                user->ends(control, *error);
                after(*user);
            }
        }
        if (asked != asked_.end()) {
            SocketUser& user = *asked->second;
            asked_.erase(asked);
            user.reply(decoded.message->request_id, decoded.message->body, std::move(parts));
            after(user);
        }
        if (left == 1) return touch(control);
    }
    control.drained = Clock::now();
}

// ZeroMQ bounds its queue by messages, and we by bytes: as many messages as fit if each were as
// large as the largest yet. What comes beyond waits in the kernel, then at the publisher, which
// drops it: a gap, that a replay closes. The option takes effect on connections that are open, too.
void Sockets::bound(Data& data, std::size_t message) {
    if (message <= data.largest) return;
    data.largest = message;
    const auto most = static_cast<std::size_t>(std::max(data.bounds.messages, 1));
    const auto fit = std::max(data.bounds.bytes / message, kLeastMessages);
    data.socket.set(zmq::sockopt::rcvhwm, static_cast<int>(std::min(fit, most)));
}

void Sockets::read(Data& data) {
    zmq::message_t head;
    // Nothing that comes later is taken for drained.
    const auto now = Clock::now();
    // No more than what makes an event, so that it is handed out before more is read.
    for (int left = kMessagesAtOnce; data.socket.recv(head, zmq::recv_flags::dontwait); --left) {
        data.heard = now;
        zmq::message_t body;
        if (head.more() && !data.socket.recv(body, zmq::recv_flags::dontwait)) return;
        const wire::Bytes bytes = bytes_of(head);
        bound(data, body.size());
        if (const auto nonce = wire::decode_marker_topic(bytes)) {
            const auto user = data.by_nonce.find(*nonce);
            const auto header = wire::decode_publication(bytes_of(body));
            if (user != data.by_nonce.end() && header) {
                user->second->marker(*header, now);
                after(*user->second);
            }
        } else if (bytes.size() >= data.topic_bytes) {
            const auto users =
                data.by_topic.find(std::string(wire::as_text(bytes.first(data.topic_bytes))));
            const auto header = wire::decode_publication(bytes.subspan(data.topic_bytes));
            if (users != data.by_topic.end() && header)
                for (SocketUser* user : users->second) {
                    user->published(*header, bytes_of(body), now);
                    after(*user);
                }
        }
        if (left == 1 || !ready_.empty()) return touch(data);
    }
    data.drained = now;
}

void Sockets::after(SocketUser& user) {
    wake(user.wake_at());
    if (!user.is_ready() || std::exchange(user.queued, true)) return;
    ready_.push_back(&user);
}

void Sockets::resumed(SocketUser& user) {
    after(user);
    if (user.queued) return signal();
    signal_if_touched();
}

bool Sockets::has_read(Socket& socket, Clock::time_point time) {
    if (socket.drained >= time) return true;
    touch(socket);
    return false;
}

void Sockets::look_after_users(Clock::time_point now) {
    look_after_at_ = now + kLookAfterInterval;
    if (now >= wake_) expire(now);
    (void)acknowledge(now);
}

void Sockets::expire(Clock::time_point now) {
    wake_ = Clock::time_point::max();
    for (SocketUser* user : users_) {
        user->expire(now);
        after(*user);
    }
}

void Sockets::to_acknowledge(SocketUser& user) {
    if (std::find(acknowledging_.begin(), acknowledging_.end(), &user) == acknowledging_.end())
        acknowledging_.push_back(&user);
}

// When the next is due.
Clock::time_point Sockets::acknowledge(Clock::time_point now) {
    auto next = Clock::time_point::max();
    std::erase_if(acknowledging_, [&](SocketUser* user) {
        const auto due = user->send_ack(now);
        if (due) next = std::min(next, *due);
        return !due;
    });
    return next;
}

void Sockets::signal_if_touched() {
    if (!touched_.empty()) signal();
}

// Whoever sleeps on fd() wakes: the timer is one of its descriptors.
void Sockets::signal() {
    const auto now = Clock::now();
    arm(now, now);
}

// What is armed for an earlier time stays: most often the time only moves on, with each message.
void Sockets::arm(Clock::time_point wake, Clock::time_point now) {
    if (armed_ > now && armed_ <= wake) return;
    armed_ = std::clamp<Clock::time_point>(wake, now + std::chrono::nanoseconds(1),
                                           now + std::chrono::hours(1));
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(armed_ - now).count();
    itimerspec when{};
    when.it_value.tv_sec = left / 1'000'000'000;
    when.it_value.tv_nsec = left % 1'000'000'000;
    timerfd_settime(timer_, 0, &when, nullptr);
}

}  // namespace fatwal::client
