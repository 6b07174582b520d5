#include <netinet/tcp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <vector>

#include "portal/process/beast.h"
#include "portal/process/link.h"
#include "portal/process/rate_limit.h"
#include "portal/process/server.h"

namespace fatwal::process {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using boost::system::error_code;

constexpr std::size_t kKeptBytes = 4096;  // of a session's buffer between two messages
constexpr auto kHandshakeTimeout = std::chrono::seconds(10);
// A link that is closed has this long for what is queued, the reason, and the device's answer.
// Until then it has its place and its memory, so no longer than a radio needs.
constexpr auto kCloseWithin = std::chrono::seconds(5);
// A timer that fires so late says that this process stood still.
constexpr auto kLate = std::chrono::seconds(1);

websocket::close_code close_code_of(std::string_view reason) {
    return reason == "going_away" ? websocket::close_code::service_restart
                                  : websocket::close_code::policy_error;
}

// One WebSocket. Lives as long as an operation on it is under way, or whoever was given it.
//
// Whether the device still reads is judged by what it takes, not by what it sends. Beast ends a
// connection that is silent, but pings, pongs and parts of a message without end keep it alive for
// ever. So one timer watches two deadlines (due()), whatever comes in:
//
//   write() ──── idle_timeout_s ────► the message that is being written has to be taken
//   close() ──── kCloseWithin ──────► what was queued, and the closing handshake, have to be over
//
// Invariant: while there is a deadline the timer is set, at the latest for that deadline. It is not
// set again for each message: when it fires too early it is set to the deadline of now.
class WebSocketLink : public Link, public std::enable_shared_from_this<WebSocketLink> {
public:
    WebSocketLink(beast::tcp_stream stream, const WebSocketOptions& options,
                  std::shared_ptr<void> place)
        : socket_(std::move(stream)),
          most_queued_(options.most_queued_bytes),
          watch_timer_(socket_.get_executor()),
          patience_(options.idle_timeout),
          place_(std::move(place)) {
        beast::get_lowest_layer(socket_).expires_never();
        socket_.set_option(
            websocket::stream_base::timeout{kHandshakeTimeout, options.idle_timeout, true});
        socket_.read_message_max(options.most_message_bytes);
        socket_.auto_fragment(false);
        socket_.text(true);
    }

    // `done` is given this link, or null when the device has left.
    void accept(const HttpRequest& request, const std::string& protocol,
                std::function<void(std::shared_ptr<Link>)> done) {
        // A browser continues only with one of the protocols that it has offered.
        if (!protocol.empty())
            socket_.set_option(
                websocket::stream_base::decorator([protocol](websocket::response_type& out) {
                    out.set(beast::http::field::sec_websocket_protocol, protocol);
                }));
        socket_.async_accept(request, [self = shared_from_this(),
                                       done = std::move(done)](error_code error) {
            if (error) return done(nullptr);
            self->socket_.control_callback([link = self.get()](auto, auto) { link->is_there(); });
            done(self);
            self->read();
        });
    }

    ~WebSocketLink() override {
        for (const auto& budget : budgets_) {
            budget->remove(queued_);
            budget->remove_first(queued_first_);
        }
    }

    void send(std::string message) override {
        if (closing_ || gone_ || cut_) return;
        std::size_t most = most_queued_;
        for (const auto& budget : budgets_) most = std::min(most, budget->share());
        if (queued_ + message.size() > most) return cut("it has not taken its messages");
        queued_ += message.size();
        push(std::move(message), false);
    }

    void send_first(std::string message) override {
        if (closing_ || gone_ || cut_) return;
        queued_first_ += message.size();
        push(std::move(message), true);
    }

    [[nodiscard]] bool has_room_for_first(const QueueBudget& account) const override {
        return account.has_room_for_first(*budgets_.front());
    }

    void count_for(std::shared_ptr<QueueBudget> budget) override {
        budget->add(queued_);
        budget->add_first(queued_first_);
        budgets_.push_back(std::move(budget));
    }

    void probe(std::chrono::milliseconds within, std::function<void(bool)> answer) override {
        auto timer = std::make_shared<asio::steady_timer>(socket_.get_executor(), within);
        probes_.push_back({timer, false});
        timer->async_wait([self = shared_from_this(), timer,
                           answer = std::move(answer)](error_code) {
            const auto probe = std::find_if(self->probes_.begin(), self->probes_.end(),
                                            [&](const Probe& one) { return one.timer == timer; });
            const bool there = probe->answered && !self->gone_;
            self->probes_.erase(probe);
            answer(there);
        });
        if (std::exchange(pinging_, true)) return;
        socket_.async_ping({}, [self = shared_from_this()](error_code) { self->pinging_ = false; });
    }

    void close(std::string_view reason) override {
        if (closing_ || gone_) return;
        closing_ = true;
        close_until_ = Clock::now() + kCloseWithin;
        received = nullptr;
        closed = nullptr;
        reason_ = websocket::close_reason(close_code_of(reason),
                                          beast::string_view(reason.data(), reason.size()));
        // A client that comes again and again would have a large init for each of its sessions.
        if (queued_first_ > QueueBudget::kLeast) return cut("it ends before it has taken its init");
        if (queue_.empty()) close_now();
        watch_timer_.cancel();  // it may be set for later
        watch();
    }

private:
    using Clock = std::chrono::steady_clock;

    void read() {
        socket_.async_read(buffer_, [self = shared_from_this()](error_code error, std::size_t) {
            if (error) return self->lost();
            self->is_there();
            if (self->received) {
                // A copy, as the call may close this link.
                const auto call = self->received;
                const auto bytes = self->buffer_.data();
                call(std::string_view(static_cast<const char*>(bytes.data()), bytes.size()));
            }
            self->buffer_.consume(self->buffer_.size());
            if (self->buffer_.capacity() > kKeptBytes) self->buffer_.shrink_to_fit();
            self->read();
        });
    }

    struct Queued {
        std::string text;
        bool first = false;
    };

    void push(std::string message, bool first) {
        for (const auto& budget : budgets_)
            first ? budget->add_first(message.size()) : budget->add(message.size());
        queue_.push_back({std::move(message), first});
        if (queue_.size() == 1) write();
    }

    // When the link ends unless it gets on until then.
    [[nodiscard]] Clock::time_point due() const {
        return queue_.empty() ? close_until_ : std::min(write_until_, close_until_);
    }

    void watch() {
        const auto until = due();
        if (until == Clock::time_point::max() || std::exchange(is_watched_, true)) return;
        watch_timer_.expires_at(until);
        watch_timer_.async_wait([self = shared_from_this(), until](error_code) {
            self->is_watched_ = false;
            if (self->gone_) return;
            const auto now = Clock::now();
            if (now > until + kLate) self->wait_longer(now + kLate);
            if (now < self->due()) return self->watch();
            self->cut(self->closing_ ? "it does not take its end" : "it reads nothing");
        });
    }

    // What the device took while this process stood still has yet to be learned.
    void wait_longer(Clock::time_point until) {
        write_until_ = std::max(write_until_, until);
        close_until_ = std::max(close_until_, until);
    }

    // While more is to be written the kernel keeps back a packet that is not full.
    void cork(bool on) {
        if (std::exchange(corked_, on) == on) return;
        const int value = on ? 1 : 0;
        (void)setsockopt(beast::get_lowest_layer(socket_).socket().native_handle(), IPPROTO_TCP,
                         TCP_CORK, &value, sizeof value);
    }

    void write() {
        cork(queue_.size() > 1);
        write_until_ = Clock::now() + patience_;
        watch();
        socket_.async_write(asio::buffer(queue_.front().text),
                            [self = shared_from_this()](error_code error, std::size_t) {
                                if (error) return self->lost();
                                const Queued& sent = self->queue_.front();
                                const std::size_t size = sent.text.size();
                                (sent.first ? self->queued_first_ : self->queued_) -= size;
                                for (const auto& budget : self->budgets_)
                                    sent.first ? budget->remove_first(size) : budget->remove(size);
                                self->queue_.pop_front();
                                if (!self->queue_.empty()) return self->write();
                                if (self->closing_) self->close_now();
                            });
    }

    void close_now() {
        socket_.async_close(reason_, [self = shared_from_this()](error_code) { self->lost(); });
    }

    void is_there() {
        for (Probe& probe : probes_) {
            probe.answered = true;
            probe.timer->cancel();
        }
    }

    void cut(const char* reason) {
        if (std::exchange(cut_, true)) return;
        asio::post(socket_.get_executor(), [self = shared_from_this(), reason] {
            // One that the process itself ends is no news: a tenant could fill the log with them.
            spdlog::log(self->closing_ ? spdlog::level::debug : spdlog::level::warn,
                        "a device is cut: {}; {} bytes wait", reason,
                        self->queued_ + self->queued_first_);
            beast::get_lowest_layer(self->socket_).close();
            self->lost();
        });
    }

    void lost() {
        if (std::exchange(gone_, true)) return;
        beast::get_lowest_layer(socket_).close();
        place_.reset();
        watch_timer_.cancel();
        for (Probe& probe : probes_) probe.timer->cancel();
        received = nullptr;
        if (const auto call = std::exchange(closed, nullptr)) call();
    }

    websocket::stream<beast::tcp_stream> socket_;
    beast::flat_buffer buffer_;
    std::deque<Queued> queue_;                           // the first is being written
    std::size_t queued_ = 0;                             // bytes, but for those of
    std::size_t queued_first_ = 0;                       // what the device is shown first
    std::vector<std::shared_ptr<QueueBudget>> budgets_;  // the first is the process's
    std::size_t most_queued_;
    asio::steady_timer watch_timer_;
    bool is_watched_ = false;
    Clock::time_point write_until_;  // of the message that is being written
    Clock::time_point close_until_ = Clock::time_point::max();
    std::chrono::seconds patience_;  // for one message to be taken
    websocket::close_reason reason_;
    struct Probe {
        std::shared_ptr<asio::steady_timer> timer;
        bool answered = false;
    };
    std::vector<Probe> probes_;
    bool corked_ = false;
    bool pinging_ = false;
    bool closing_ = false;
    bool cut_ = false;
    bool gone_ = false;
    std::shared_ptr<void> place_;  // among max_sessions
};

}  // namespace

void open_websocket(beast::tcp_stream stream, const HttpRequest& request,
                    const WebSocketOptions& options, std::shared_ptr<void> place,
                    std::function<void(std::shared_ptr<Link>)> opened) {
    std::make_shared<WebSocketLink>(std::move(stream), options, std::move(place))
        ->accept(request, options.protocol, std::move(opened));
}

}  // namespace fatwal::process
