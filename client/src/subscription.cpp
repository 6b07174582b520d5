#include "fatwal/client/subscription.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include <zmq.hpp>

namespace fatwal::client {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kHeartbeatsMissed = 3;
constexpr milliseconds kLeastRetry{100};
constexpr milliseconds kMostRetry{5000};

wire::Nonce random_nonce() {
    wire::Nonce nonce{};
    if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
        throw std::system_error(errno, std::generic_category(), "getrandom");
    return nonce;
}

wire::Bytes bytes_of(const zmq::message_t& message) { return {static_cast<const std::byte*>(message.data()), message.size()}; }

}  // namespace

// The sockets of a subscription, and where its join stands.
class Subscription::Link {
public:
    Link(zmq::context_t& context, SubscriptionOptions options)
        : context_(context), options_(std::move(options)), assembler_(options_.account.view(), options_.max_transaction_bytes) {
        epoll_ = epoll_create1(EPOLL_CLOEXEC);
        timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (epoll_ < 0 || timer_ < 0) throw std::system_error(errno, std::generic_category(), "epoll");
        watch(timer_);
        attach(Clock::now());
    }
    ~Link() {
        detach();
        data_.close();
        control_.close();
        ::close(timer_);
        ::close(epoll_);
    }
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    [[nodiscard]] int fd() const { return epoll_; }

    std::optional<Event> next(milliseconds timeout) {
        const auto until = Clock::now() + timeout;
        for (;;) {
            if (auto event = take()) return event;
            read_control();
            read_data();
            expire(Clock::now());
            if (auto event = take()) return event;
            const auto now = Clock::now();
            arm(now);
            if (now >= until) return std::nullopt;
            const auto wait = std::chrono::ceil<milliseconds>(std::min(until, deadline_) - now);
            zmq_pollitem_t items[] = {{control_.handle(), 0, ZMQ_POLLIN, 0}, {data_.handle(), 0, ZMQ_POLLIN, 0}};
            // A signal ends the wait early: the caller may want to look at what it set.
            if (zmq_poll(items, data_ ? 2 : 1, std::max<long>(wait.count(), 0)) < 0 && errno == EINTR) return std::nullopt;
        }
    }

private:
    enum class State : std::uint8_t { Attaching, Joining, Live, Waiting };

    std::optional<Event> take() {
        if (!events_.empty()) {
            Event event = std::move(events_.front());
            events_.pop_front();
            return event;
        }
        auto event = assembler_.take();
        if (!event) return std::nullopt;
        return std::visit([](auto&& kind) { return Event(std::forward<decltype(kind)>(kind)); }, std::move(*event));
    }

    void watch(int fd) const {
        epoll_event event{};
        event.events = EPOLLIN;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }

    void arm(Clock::time_point now) const {
        const auto left = std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(deadline_ - now).count(), 1);
        itimerspec when{};
        when.it_value.tv_sec = left / 1'000'000'000;
        when.it_value.tv_nsec = left % 1'000'000'000;
        timerfd_settime(timer_, 0, &when, nullptr);
    }

    void close_socket(zmq::socket_t& socket) {
        if (!socket) return;
        epoll_ctl(epoll_, EPOLL_CTL_DEL, socket.get(zmq::sockopt::fd), nullptr);
        socket.close();
    }

    // A new DEALER for each attempt: no reply of an older one can come to it.
    void attach(Clock::time_point now) {
        close_socket(data_);
        close_socket(control_);
        control_ = zmq::socket_t(context_, zmq::socket_type::dealer);
        control_.set(zmq::sockopt::linger, 0);
        control_.connect(options_.control);
        watch(control_.get(zmq::sockopt::fd));
        nonce_ = random_nonce();
        send(wire::Attach{nonce_, options_.account, false, options_.name});
        state_ = State::Attaching;
        deadline_ = now + options_.request_timeout;
    }

    void send(wire::ControlBody body) {
        const std::string bytes = wire::encode({++request_, std::move(body)});
        control_.send(zmq::message_t(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
    }

    void detach() {
        if (state_ != State::Live && state_ != State::Joining) return;
        control_.set(zmq::sockopt::linger, 100);
        send(wire::Detach{nonce_});
    }

    void lose(std::string reason, std::optional<wire::ControlError> error = {}) {
        close_socket(data_);
        state_ = State::Waiting;
        deadline_ = Clock::now() + retry_;
        retry_ = std::min(retry_ * 2, kMostRetry);
        describing_ = false;
        events_.emplace_back(Lost{std::move(reason), std::move(error)});
    }

    void read_control() {
        zmq::message_t message;
        while (control_.recv(message, zmq::recv_flags::dontwait)) {
            const auto decoded = wire::decode_control(bytes_of(message));
            if (!decoded.message) continue;
            const wire::ControlBody& body = decoded.message->body;
            if (const auto* attached = std::get_if<wire::Attached>(&body)) {
                if (state_ == State::Attaching) join(*attached);
            } else if (const auto* described = std::get_if<wire::Described>(&body)) {
                describing_ = false;
                assembler_.described(described->schemas);
                describe_missing();
            } else if (const auto* error = std::get_if<wire::ControlError>(&body)) {
                lose("the sidecar refused: " + error->message, *error);
                return;
            }
        }
    }

    void join(const wire::Attached& attached) {
        heartbeat_ = milliseconds(attached.heartbeat_ms);
        data_ = zmq::socket_t(context_, zmq::socket_type::sub);
        data_.set(zmq::sockopt::linger, 0);
        data_.set(zmq::sockopt::sndhwm, 0);  // else subscriptions beyond it are dropped
        data_.set(zmq::sockopt::rcvhwm, options_.receive_high_water_mark);
        data_.set(zmq::sockopt::reconnect_ivl, 100);
        data_.set(zmq::sockopt::reconnect_ivl_max, 5000);
        // Before connecting, so that the publisher hears of the data's topics no later than of the marker's.
        data_.set(zmq::sockopt::subscribe, "E");
        data_.set(zmq::sockopt::subscribe, "H");
        const auto topic = wire::marker_topic(nonce_);
        data_.set(zmq::sockopt::subscribe, zmq::buffer(topic));
        data_.connect(attached.endpoint);
        watch(data_.get(zmq::sockopt::fd));
        state_ = State::Joining;
        deadline_ = Clock::now() + options_.request_timeout;
    }

    void read_data() {
        zmq::message_t head;
        // Bounded, so that next() gives what has come before more is read.
        for (int i = 0; i < 1000 && data_ && data_.recv(head, zmq::recv_flags::dontwait); ++i) {
            zmq::message_t body;
            if (head.more() && !data_.recv(body, zmq::recv_flags::dontwait)) return;
            if (bytes_of(head)[0] == static_cast<std::byte>(wire::Topic::Marker)) {
                if (const auto header = wire::decode_publication(bytes_of(body))) marker(*header);
                continue;
            }
            const auto header = wire::decode_publication(bytes_of(head));
            // What comes before the marker may have others missing before it.
            if (!header || state_ != State::Live) continue;
            deadline_ = Clock::now() + heartbeat_ * kHeartbeatsMissed;
            if (header->topic == wire::Topic::Heartbeat) {
                if (auto gap = assembler_.heartbeat(header->epoch, header->sequence)) events_.emplace_back(*gap);
                continue;
            }
            assembler_.message(header->epoch, header->sequence, std::string(wire::as_text(bytes_of(body))));
            describe_missing();
        }
    }

    void marker(const wire::PublicationHeader& header) {
        if (auto gap = assembler_.joined(header.epoch, header.sequence)) events_.emplace_back(*gap);
        deadline_ = Clock::now() + heartbeat_ * kHeartbeatsMissed;
        if (state_ != State::Joining) return;  // the SUB has connected again by itself
        state_ = State::Live;
        retry_ = kLeastRetry;
        events_.emplace_back(Joined{header.epoch, header.sequence});
    }

    void describe_missing() {
        if (describing_) return;
        auto missing = assembler_.missing();
        if (missing.empty()) return;
        describing_ = true;
        send(wire::Describe{std::move(missing)});
    }

    void expire(Clock::time_point now) {
        if (now < deadline_) return;
        switch (state_) {
            case State::Waiting: attach(now); return;
            case State::Attaching: lose("no answer from the control endpoint " + options_.control); return;
            case State::Joining: lose("no marker came on the account's socket"); return;
            case State::Live: lose("no heartbeat came on the account's socket"); return;
        }
    }

    zmq::context_t& context_;
    SubscriptionOptions options_;
    Assembler assembler_;
    std::deque<Event> events_;
    int epoll_ = -1;
    int timer_ = -1;
    zmq::socket_t control_;
    zmq::socket_t data_;
    State state_ = State::Attaching;
    Clock::time_point deadline_;  // of the state
    milliseconds heartbeat_{1000};
    milliseconds retry_ = kLeastRetry;
    wire::Nonce nonce_{};
    std::uint32_t request_ = 0;
    bool describing_ = false;
};

Subscription::Subscription(zmq::context_t& context, SubscriptionOptions options)
    : link_(std::make_unique<Link>(context, std::move(options))) {}
Subscription::~Subscription() = default;
std::optional<Event> Subscription::next(std::chrono::milliseconds timeout) { return link_->next(timeout); }
int Subscription::fd() const { return link_->fd(); }

}  // namespace fatwal::client
