#include "client/src/sockets.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <system_error>

#include "client/src/link.h"

namespace fatwal::client {

namespace {

// Of one socket, before others have their turn.
constexpr int kMessagesAtOnce = 1000;
constexpr int kRepliesAtOnce = 64;
// Also while there is always something to hand out.
constexpr std::chrono::milliseconds kLookAfterInterval{100};

// Twice fatwald's default frame: larger ones are those of a single large row.
constexpr std::size_t kExpectedMessage = 131'072;
constexpr std::size_t kLeastMessages = 16;

wire::Bytes bytes_of(const zmq::message_t& message) {
    return {static_cast<const std::byte*>(message.data()), message.size()};
}

void set_subscription(zmq::socket_t& socket, bool subscribed, std::string_view topic) {
    if (subscribed)
        socket.set(zmq::sockopt::subscribe, topic);
    else
        socket.set(zmq::sockopt::unsubscribe, topic);
}

// On a socket of the account's own all but the markers of others.
void set_topic(zmq::socket_t& socket, bool subscribed, const std::string& topic) {
    if (!topic.empty()) return set_subscription(socket, subscribed, topic);
    set_subscription(socket, subscribed, "E");
    set_subscription(socket, subscribed, "H");
}

void set_marker(zmq::socket_t& socket, bool subscribed, const wire::Nonce& nonce) {
    set_subscription(socket, subscribed, wire::as_text(wire::marker_topic(nonce)));
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

void Sockets::add(Link& link) {
    links_.push_back(&link);
    wake(link.wake_at());
    signal_if_touched();
}

void Sockets::remove(Link& link) {
    std::erase(links_, &link);
    std::erase(ready_, &link);
    std::erase(acknowledging_, &link);
    signal_if_touched();
}

void Sockets::pump(const Link* wanted, Clock::time_point until) {
    drop_finished();
    if (const auto now = Clock::now(); now >= look_after_at_) look_after_links(now);
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

Link* Sockets::ready() {
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

Sockets::Control& Sockets::open_control(const std::string& endpoint, Clock::time_point unheard) {
    if (const auto found = controls_.find(endpoint);
        found != controls_.end() && found->second.heard >= unheard) {
        ++found->second.users;
        return found->second;
    }
    zmq::socket_t socket(context_, zmq::socket_type::dealer);
    socket.set(zmq::sockopt::linger, 0);
    // We bound what comes by what we ask for.
    socket.set(zmq::sockopt::rcvhwm, 0);
    socket.set(zmq::sockopt::sndhwm, 0);
    socket.connect(endpoint);
    Control& control = controls_[endpoint];
    if (control.socket) {
        unwatch(control);
        control.touched = false;
        control.socket.close();
    }
    control.endpoint = endpoint;
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
    controls_.erase(std::string(control.endpoint));
}

void Sockets::send(Control& control, std::uint32_t id, wire::ControlBody body) {
    const std::string bytes = wire::encode({id, std::move(body)});
    control.socket.send(zmq::message_t(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
    touch(control);
}

std::uint32_t Sockets::ask(Control& control, Link& link, wire::ControlBody body) {
    if (++request_ == 0) ++request_;  // 0 is no request
    asked_[request_] = &link;
    send(control, request_, std::move(body));
    return request_;
}

void Sockets::tell(Control& control, wire::ControlBody body, std::uint32_t request) {
    send(control, request, std::move(body));
}

Sockets::Data& Sockets::join(Link& link, const std::string& endpoint, const std::string& topic,
                             const wire::Nonce& nonce, const Bounds& bounds) {
    Data& data = data_[endpoint];
    const bool is_new = !data.socket;
    if (is_new) {
        data.is_data = true;
        data.endpoint = endpoint;
        data.topic_bytes = topic.size();
        data.socket = zmq::socket_t(context_, zmq::socket_type::sub);
        data.socket.set(zmq::sockopt::linger, 0);
        data.socket.set(zmq::sockopt::sndhwm, 0);  // else subscriptions beyond it are dropped
        data.bounds = bounds;
        bound(data, kExpectedMessage);
        data.socket.set(zmq::sockopt::reconnect_ivl, 100);
        data.socket.set(zmq::sockopt::reconnect_ivl_max, 5000);
    }
    data.by_topic[topic].push_back(&link);
    data.by_nonce[nonce] = &link;
    // Before connecting, so that the publisher reads the data's topics no later than of the
    // marker's.
    set_topic(data.socket, true, topic);
    set_marker(data.socket, true, nonce);
    if (is_new) {
        data.socket.connect(endpoint);
        watch(data.socket.get(zmq::sockopt::fd), static_cast<Socket*>(&data));
    }
    touch(data);
    return data;
}

void Sockets::leave(Data& data, Link& link, const std::string& topic, const wire::Nonce& nonce) {
    data.by_nonce.erase(nonce);
    if (data.by_nonce.empty()) {
        unwatch(data);
        data.socket.close();
        data_.erase(std::string(data.endpoint));
        return;
    }
    const auto found = data.by_topic.find(topic);
    std::erase(found->second, &link);
    if (found->second.empty()) data.by_topic.erase(found);
    set_marker(data.socket, false, nonce);
    set_topic(data.socket, false, topic);
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
            for (Link* link : links_) {
                link->ends(control, *error);
                after(*link);
            }
        }
        if (asked != asked_.end()) {
            Link& link = *asked->second;
            asked_.erase(asked);
            link.reply(decoded.message->request_id, decoded.message->body, std::move(parts));
            after(link);
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
        zmq::message_t body;
        if (head.more() && !data.socket.recv(body, zmq::recv_flags::dontwait)) return;
        const wire::Bytes bytes = bytes_of(head);
        bound(data, body.size());
        if (const auto nonce = wire::decode_marker_topic(bytes)) {
            const auto link = data.by_nonce.find(*nonce);
            const auto header = wire::decode_publication(bytes_of(body));
            if (link != data.by_nonce.end() && header) {
                link->second->marker(*header, now);
                after(*link->second);
            }
        } else if (bytes.size() >= data.topic_bytes) {
            const auto links =
                data.by_topic.find(std::string(wire::as_text(bytes.first(data.topic_bytes))));
            const auto header = wire::decode_publication(bytes.subspan(data.topic_bytes));
            if (links != data.by_topic.end() && header)
                for (Link* link : links->second) {
                    link->published(*header, bytes_of(body), now);
                    after(*link);
                }
        }
        if (left == 1 || !ready_.empty()) return touch(data);
    }
    data.drained = now;
}

void Sockets::after(Link& link) {
    wake(link.wake_at());
    if (!link.is_ready() || std::exchange(link.queued, true)) return;
    ready_.push_back(&link);
}

void Sockets::resumed(Link& link) {
    after(link);
    if (link.queued) return signal();
    signal_if_touched();
}

bool Sockets::has_read(Socket& socket, Clock::time_point time) {
    if (socket.drained >= time) return true;
    touch(socket);
    return false;
}

void Sockets::look_after_links(Clock::time_point now) {
    look_after_at_ = now + kLookAfterInterval;
    if (now >= wake_) expire(now);
    (void)acknowledge(now);
}

void Sockets::expire(Clock::time_point now) {
    wake_ = Clock::time_point::max();
    for (Link* link : links_) {
        link->expire(now);
        after(*link);
    }
}

void Sockets::to_acknowledge(Link& link) {
    if (std::find(acknowledging_.begin(), acknowledging_.end(), &link) == acknowledging_.end())
        acknowledging_.push_back(&link);
}

// When the next is due.
Clock::time_point Sockets::acknowledge(Clock::time_point now) {
    auto next = Clock::time_point::max();
    std::erase_if(acknowledging_, [&](Link* link) {
        const auto due = link->send_ack(now);
        if (due) next = std::min(next, *due);
        return !due;
    });
    return next;
}

void Sockets::signal_if_touched() {
    if (!touched_.empty()) signal();
}

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
