#include "fatwal/client/subscription.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <system_error>

#include <zmq.hpp>

#include "fatwal/client/follower.h"

namespace fatwal::client {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kHeartbeatsMissed = 3;
constexpr milliseconds kAnswerTimeout{10'000};  // of a replay or a snapshot; the sidecar may let it wait for its turn
constexpr milliseconds kAckInterval{200};
constexpr int kAcksBetween = 64;
constexpr int kReadAtOnce = 1000;  // messages
constexpr milliseconds kLeastRetry{100};
constexpr milliseconds kMostRetry{5000};

wire::Nonce random_nonce() {
    wire::Nonce nonce{};
    if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
        throw std::system_error(errno, std::generic_category(), "getrandom");
    return nonce;
}

Follower::WallTime wall_now() { return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()); }

wire::Bytes bytes_of(const zmq::message_t& message) { return {static_cast<const std::byte*>(message.data()), message.size()}; }

}  // namespace

// The sockets of a subscription, and where its join stands.
class Subscription::Link {
public:
    Link(zmq::context_t& context, SubscriptionOptions options)
        : context_(context),
          options_(std::move(options)),
          follower_({options_.account, options_.snapshots, options_.max_transaction_bytes, options_.max_ahead_bytes, options_.credit,
                     options_.resync_after},
                    options_.cursor),
          handed_(options_.cursor) {
        if (options_.control.empty()) throw std::invalid_argument("a subscription needs the endpoint of a control socket");
        epoll_ = epoll_create1(EPOLL_CLOEXEC);
        timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (epoll_ < 0 || timer_ < 0) throw std::system_error(errno, std::generic_category(), "epoll");
        watch(timer_);
        attach(Clock::now());
    }
    ~Link() {
        detach(false);
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
            look_again_ = false;
            read_data();
            // What comes on the control socket answers a request; without one under way it need not be looked at before each transaction.
            if (state_ == State::Live && asked_ + described_ == 0) {
                request(Clock::now());
                if (auto event = take()) return event;
            }
            read_control();
            expire(Clock::now());
            request(Clock::now());
            if (auto event = take()) return event;
            const auto now = Clock::now();
            send_ack(now);
            if (look_again_) continue;
            arm(wake_at());
            if (now >= until) return std::nullopt;
            epoll_event event{};
            const auto wait = std::chrono::ceil<milliseconds>(until - now).count();
            // A signal ends the wait early: the caller may want to look at what it set.
            if (epoll_wait(epoll_, &event, 1, static_cast<int>(std::min<std::int64_t>(wait, std::numeric_limits<int>::max()))) < 0 &&
                errno == EINTR)
                return std::nullopt;
        }
    }

    [[nodiscard]] std::optional<Cursor> cursor() const { return events_.empty() && !follower_.has_events() ? follower_.cursor() : handed_; }

    void ack(const Cursor& processed) {
        if (!options_.durable || processed.next <= acked_) return;
        to_ack_ = std::max(to_ack_, processed.next);
        if (++acks_waiting_ < kAcksBetween) return;
        send_ack(ack_at_);
        // It may have swallowed the signal of an answer: whoever waits for fd() has to call next().
        if (asked_ + described_ != 0) arm(Clock::now());
    }

    void detach(bool forget) {
        if (state_ != State::Live && state_ != State::Joining) return;
        if (!forget) send_ack(ack_at_);
        control_.set(zmq::sockopt::linger, 100);
        send(wire::Detach{nonce_, forget});
    }

private:
    enum class State : std::uint8_t { Attaching, Joining, Live, Waiting };

    std::optional<Event> take() {
        std::optional<Follower::Told> told;
        if (events_.empty()) {
            told = follower_.take();
        } else {
            told = std::move(events_.front());
            events_.pop_front();
        }
        if (!told) return std::nullopt;
        handed_ = std::move(told->second);
        return std::move(told->first);
    }

    void watch(int fd) const {
        epoll_event event{};
        event.events = EPOLLIN;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }

    [[nodiscard]] Clock::time_point wake_at() const {
        auto wake = deadline_;
        if (asked_ != 0) wake = std::min(wake, answer_by_);
        if (to_ack_ > acked_) wake = std::min(wake, ack_at_);
        return wake;
    }

    // What is armed for an earlier time stays: most often the time only moves on, with each message.
    void arm(Clock::time_point wake) {
        const auto now = Clock::now();
        if (armed_ > now && armed_ <= wake) return;
        armed_ = std::max(wake, now + std::chrono::nanoseconds(1));
        const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(armed_ - now).count();
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
        control_.set(zmq::sockopt::rcvhwm, 0);  // we bound what comes by what we ask for
        control_.connect(options_.control[endpoint_]);
        watch(control_.get(zmq::sockopt::fd));
        nonce_ = random_nonce();
        asked_ = described_ = 0;
        // Only what the worker has acknowledged is processed, unless a snapshot has taken its place; of a cursor that it brought along it
        // said so.
        const auto standing = follower_.cursor();
        wire::Attach request{nonce_,  options_.account, options_.durable, options_.name, standing ? std::min(to_ack_, standing->next) : 0,
                             history_};
        if (to_ack_ == 0 && standing && options_.cursor) {
            request.cursor = options_.cursor->next;
            request.history = options_.cursor->history;
        }
        send(std::move(request));
        state_ = State::Attaching;
        deadline_ = now + (options_.durable ? std::max(options_.request_timeout, kAnswerTimeout) : options_.request_timeout);
    }

    std::uint32_t send(wire::ControlBody body) {
        const std::string bytes = wire::encode({++request_, std::move(body)});
        control_.send(zmq::message_t(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
        look_again_ = true;
        return request_;
    }

    void request(Clock::time_point now) {
        if (state_ != State::Live) return;
        while (auto body = follower_.take_request()) {
            const bool describes = std::holds_alternative<wire::Describe>(*body);
            (describes ? described_ : asked_) = send(std::move(*body));
            answer_by_ = now + kAnswerTimeout;
        }
    }

    void send_ack(Clock::time_point now) {
        if (to_ack_ <= acked_ || now < ack_at_ || state_ != State::Live) return;
        send(wire::Acknowledge{nonce_, to_ack_});
        acked_ = to_ack_;
        acks_waiting_ = 0;
        ack_at_ = now + kAckInterval;
    }

    void lose(std::string reason, std::optional<wire::ControlError> error = {}) {
        close_socket(data_);
        follower_.detached();
        state_ = State::Waiting;
        deadline_ = Clock::now() + retry_;
        asked_ = described_ = 0;
        acked_ = 0;  // what was under way may not have come
        endpoint_ = (endpoint_ + 1) % options_.control.size();
        if (endpoint_ == 0) retry_ = std::min(retry_ * 2, kMostRetry);
        // Behind what came before it.
        while (auto told = follower_.take()) events_.push_back(std::move(*told));
        events_.emplace_back(Lost{std::move(reason), std::move(error)}, follower_.cursor());
    }

    void read_control() {
        zmq::message_t message;
        while (control_ && control_.recv(message, zmq::recv_flags::dontwait)) {
            const auto decoded = wire::decode_control(bytes_of(message));
            std::vector<std::string> parts;
            while (message.more() && control_.recv(message, zmq::recv_flags::dontwait))
                parts.emplace_back(wire::as_text(bytes_of(message)));
            if (!decoded.message || !take_reply(decoded.message->request_id, decoded.message->body, std::move(parts))) continue;
            return;
        }
    }

    // True when the sockets were closed.
    bool take_reply(std::uint32_t id, const wire::ControlBody& body, std::vector<std::string> parts) {
        if (const auto* attached = std::get_if<wire::Attached>(&body)) {
            if (state_ == State::Attaching) join(*attached);
        } else if (const auto* described = std::get_if<wire::Described>(&body)) {
            if (id != described_) return false;
            described_ = 0;
            follower_.described(described->schemas, wall_now());
        } else if (const auto* replayed = std::get_if<wire::Replayed>(&body)) {
            if (id != asked_) return false;
            asked_ = 0;
            follower_.replayed(*replayed, std::move(parts), wall_now());
        } else if (const auto* part = std::get_if<wire::SnapshotPart>(&body)) {
            if (id != asked_) return false;
            asked_ = 0;
            follower_.snapshot_part(*part, std::move(parts));
        } else if (const auto* error = std::get_if<wire::ControlError>(&body)) {
            if (state_ == State::Live) {
                if (id != asked_ && id != described_) return false;
                asked_ = 0;
                if (follower_.refused(*error)) return false;
            }
            lose("the sidecar refused: " + error->message, *error);
            return true;
        }
        request(Clock::now());
        return false;
    }

    void join(const wire::Attached& attached) {
        heartbeat_ = milliseconds(attached.heartbeat_ms);
        if (attached.history != history_) to_ack_ = 0;
        history_ = attached.history;
        follower_.attached(nonce_, attached.epoch, attached.history);
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
        look_again_ = true;
        state_ = State::Joining;
        deadline_ = Clock::now() + options_.request_timeout;
    }

    void read_data() {
        zmq::message_t head;
        // Bounded, so that next() gives what has come before more is read.
        int left = kReadAtOnce;
        for (; left > 0 && data_ && data_.recv(head, zmq::recv_flags::dontwait); --left) {
            zmq::message_t body;
            if (head.more() && !data_.recv(body, zmq::recv_flags::dontwait)) return;
            const bool is_marker = !head.empty() && bytes_of(head)[0] == static_cast<std::byte>(wire::Topic::Marker);
            const auto header = wire::decode_publication(bytes_of(is_marker ? body : head));
            if (!header) continue;
            if (is_marker) {
                marker(*header);
                continue;
            }
            // What comes before the marker may have others missing before it.
            if (state_ != State::Live) continue;
            deadline_ = Clock::now() + heartbeat_ * kHeartbeatsMissed;
            if (header->topic == wire::Topic::Heartbeat)
                follower_.heartbeat(*header, wall_now());
            else
                follower_.message(*header, std::string(wire::as_text(bytes_of(body))), wall_now());
        }
        if (left == 0) look_again_ = true;
    }

    void marker(const wire::PublicationHeader& header) {
        follower_.marker(header, wall_now());
        deadline_ = Clock::now() + heartbeat_ * kHeartbeatsMissed;
        state_ = State::Live;
        retry_ = kLeastRetry;
    }

    void expire(Clock::time_point now) {
        if (asked_ + described_ != 0 && now >= answer_by_) {
            asked_ = described_ = 0;
            follower_.ask_again();
        }
        if (now < deadline_) return;
        const std::string& control = options_.control[endpoint_];
        switch (state_) {
            case State::Waiting: attach(now); return;
            case State::Attaching: lose("no answer from the control endpoint " + control); return;
            case State::Joining: lose("no marker came on the account's socket"); return;
            case State::Live: lose("no heartbeat came on the account's socket"); return;
        }
    }

    zmq::context_t& context_;
    SubscriptionOptions options_;
    Follower follower_;
    std::deque<Follower::Told> events_;  // that come before the follower's
    std::optional<Cursor> handed_;       // with the last event that was handed out
    int epoll_ = -1;
    int timer_ = -1;
    Clock::time_point armed_;  // the timer; past when it is not
    // Not everything was read yet, or something was sent: that may swallow the signal that something has come.
    bool look_again_ = false;
    zmq::socket_t control_;
    zmq::socket_t data_;
    std::size_t endpoint_ = 0;  // of options_.control
    State state_ = State::Attaching;
    Clock::time_point deadline_;  // of the state
    milliseconds heartbeat_{1000};
    milliseconds retry_ = kLeastRetry;
    wire::Nonce nonce_{};
    std::uint32_t request_ = 0;
    std::uint32_t asked_ = 0;      // the request for a replay or a part of a snapshot that is under way; 0 none
    std::uint32_t described_ = 0;  // the one for schemas
    Clock::time_point answer_by_;
    wire::History history_;  // of the last sidecar that we were attached to
    wire::Lsn to_ack_ = 0;
    wire::Lsn acked_ = 0;  // of that, sent on this attachment
    int acks_waiting_ = 0;
    Clock::time_point ack_at_;
};

Subscription::Subscription(zmq::context_t& context, SubscriptionOptions options)
    : link_(std::make_unique<Link>(context, std::move(options))) {}
Subscription::~Subscription() = default;
std::optional<Event> Subscription::next(std::chrono::milliseconds timeout) { return link_->next(timeout); }
std::size_t Subscription::run(const Handlers& handlers, std::chrono::milliseconds timeout) {
    std::size_t events = 0;
    for (auto event = link_->next(timeout); event; event = link_->next(milliseconds(0))) {
        handlers(*event);
        ++events;
    }
    return events;
}
int Subscription::fd() const { return link_->fd(); }
std::optional<Cursor> Subscription::cursor() const { return link_->cursor(); }
void Subscription::ack() {
    if (const auto cursor = link_->cursor()) link_->ack(*cursor);
}
void Subscription::ack(const Cursor& processed) { link_->ack(processed); }
void Subscription::forget() { link_->detach(true); }

}  // namespace fatwal::client
