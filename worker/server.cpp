#include "worker/server.h"

#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <list>
#include <optional>
#include <vector>

#include "worker/rate_limit.h"

namespace fatwal::worker {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr std::uint32_t kMostHeaderBytes = 16'384;
constexpr char kShorter[] = "a body has 8,192 bytes at most";
constexpr std::size_t kKeptBytes = 4096;  // of a session's buffer between two messages
constexpr auto kRequestTimeout = std::chrono::seconds(10);
constexpr auto kRestWithin = std::chrono::seconds(2);  // of a request that is refused unread
// A link that is closed has this long for what is queued, the reason, and the device's answer.
// Until then it has its place and its memory, so no longer than a radio needs.
constexpr auto kCloseWithin = std::chrono::seconds(5);
// A timer that fires so late says that this process stood still.
constexpr auto kLate = std::chrono::seconds(1);

websocket::close_code close_code_of(std::string_view reason) {
    return reason == "going_away" ? websocket::close_code::service_restart
                                  : websocket::close_code::policy_error;
}

using Request = http::request<http::string_body>;

std::string header_of(const Request& request, std::string_view name) {
    std::string out;
    const auto [begin, end] = request.equal_range(beast::string_view(name.data(), name.size()));
    for (auto line = begin; line != end; ++line) {
        if (line != begin) out += ',';
        out.append(line->value().data(), line->value().size());
    }
    return out;
}

bool offers_token_protocol(const Request& request) {
    const std::string offered = header_of(request, "Sec-WebSocket-Protocol");
    return std::string_view(offered).substr(0, offered.find(',')) == kTokenProtocol;
}

// The kernel gives a new descriptor the lowest number that is free, so the number tells how many
// are open. An eighth is kept for what a device brings about: ZeroMQ, which ends the process when
// it gets none, the database, files.
bool is_among_last(int descriptor) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return false;
    return static_cast<rlim_t>(descriptor) >= limit.rlim_cur - limit.rlim_cur / 8;
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
    WebSocketLink(beast::tcp_stream stream, const Settings& settings, std::shared_ptr<void> place)
        : socket_(std::move(stream)),
          most_queued_(static_cast<std::size_t>(settings.max_queue_bytes)),
          watch_timer_(socket_.get_executor()),
          patience_(settings.idle_timeout_s),
          place_(std::move(place)) {
        beast::get_lowest_layer(socket_).expires_never();
        socket_.set_option(websocket::stream_base::timeout{
            kRequestTimeout, std::chrono::seconds(settings.idle_timeout_s), true});
        socket_.read_message_max(static_cast<std::size_t>(settings.max_message_bytes));
        socket_.auto_fragment(false);
        socket_.text(true);
    }

    // `done` is given this link, or null when the device has left.
    void accept(const Request& request, std::function<void(std::shared_ptr<WebSocketLink>)> done) {
        // A browser continues only with one of the protocols that it has offered.
        if (offers_token_protocol(request))
            socket_.set_option(websocket::stream_base::decorator([](websocket::response_type& out) {
                out.set(http::field::sec_websocket_protocol,
                        beast::string_view(kTokenProtocol.data(), kTokenProtocol.size()));
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

class Server::Listener : public std::enable_shared_from_this<Server::Listener> {
public:
    Listener(asio::io_context& io, const Settings& settings, ConnectRate& rate, Joined joined,
             Registering registering)
        : settings_(settings),
          rate_(rate),
          acceptor_(io),
          retry_(io),
          joined_(std::move(joined)),
          registering_(std::move(registering)),
          places_(std::make_shared<int>(0)),
          queues_(std::make_shared<QueueBudget>(static_cast<std::size_t>(settings.max_queued_mib)
                                                << 20)) {
        const tcp::endpoint endpoint(asio::ip::make_address(settings.listen_address),
                                     settings.listen_port);
        acceptor_.open(endpoint.protocol());
        acceptor_.set_option(asio::socket_base::reuse_address(true));
        acceptor_.bind(endpoint);
        acceptor_.listen(asio::socket_base::max_listen_connections);
    }

    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

    void accept() {
        acceptor_.async_accept([self = shared_from_this()](error_code error, tcp::socket socket) {
            if (!self->acceptor_.is_open()) return;
            if (error) {
                // Out of descriptors, mostly: it comes again at once.
                spdlog::warn("cannot accept a connection: {}", error.message());
                self->retry_.expires_after(std::chrono::milliseconds(200));
                self->retry_.async_wait([self](error_code stopped) {
                    if (!stopped) self->accept();
                });
                return;
            }
            self->begin(std::move(socket));
            self->accept();
        });
    }

    void stop() {
        error_code ignored;
        acceptor_.close(ignored);
        retry_.cancel();
        joined_ = nullptr;
        registering_ = nullptr;
    }

private:
    // A connection before it is a WebSocket.
    struct Exchange {
        explicit Exchange(tcp::socket socket) : stream(std::move(socket)) {
            parser.header_limit(kMostHeaderBytes);
            parser.body_limit(kMostRegistrationBytes);
        }
        beast::tcp_stream stream;
        beast::flat_buffer buffer;
        http::request_parser<http::string_body> parser;
        http::response<http::string_body> response;
        std::list<Exchange*>::iterator place;  // in pending_, until its request is there
    };

    void begin(tcp::socket socket) {
        // Closed at once: there is no descriptor to lose.
        if (is_among_last(socket.native_handle())) return;
        error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        // A device says what it wants at once, so that the oldest is the least likely to be one.
        if (pending_.size() >= static_cast<std::size_t>(settings_.max_pending))
            forget(*pending_.front()).close();
        auto exchange = std::make_shared<Exchange>(std::move(socket));
        exchange->place = pending_.insert(pending_.end(), exchange.get());
        exchange->stream.expires_after(kRequestTimeout);
        http::async_read(exchange->stream, exchange->buffer, exchange->parser,
                         [self = shared_from_this(), exchange](error_code error, std::size_t) {
                             self->forget(*exchange);
                             if (error == http::error::body_limit)
                                 self->refuse(exchange, {413, "body_too_large", {}, kShorter});
                             else if (!error)
                                 self->handle(exchange);
                         });
    }

    beast::tcp_stream& forget(Exchange& exchange) {
        if (exchange.place != pending_.end()) pending_.erase(exchange.place);
        exchange.place = pending_.end();
        return exchange.stream;
    }

    void handle(const std::shared_ptr<Exchange>& exchange) {
        const auto& request = exchange->parser.get();
        const std::string_view target(request.target().data(), request.target().size());
        if (target == "/health")
            return answer(exchange, joined_ ? 200 : 503,
                          joined_ ? R"({"status":"ok"})" : R"({"status":"draining"})");
        error_code error;
        const auto endpoint = exchange->stream.socket().remote_endpoint(error);
        const auto peer =
            error ? std::nullopt : channel::IpAddress::parse(endpoint.address().to_string());
        if (!peer) return;
        const Header header = [&](std::string_view name) { return header_of(request, name); };
        if (request.method() == http::verb::post)
            return handle_registration(exchange, *peer,
                                       read_registration(target, header, *peer, settings_.proxies));
        auto read = read_join_request(target, header, *peer, settings_.proxies);
        if (const auto* bad = std::get_if<BadRequest>(&read)) return refuse(exchange, *bad);
        if (!websocket::is_upgrade(request)) return refuse(exchange, {426, "websocket_expected"});
        const auto device = std::get<JoinRequest>(read).remote_ip.value_or(*peer);
        auto place = admit(exchange, device);
        if (!place) return;
        auto link = std::make_shared<WebSocketLink>(std::move(exchange->stream), settings_,
                                                    std::move(place));
        link->count_for(queues_);
        link->accept(request, [self = shared_from_this(), exchange, device,
                               joining = std::move(std::get<JoinRequest>(read))](
                                  std::shared_ptr<WebSocketLink> open) mutable {
            if (open == nullptr)
                self->rate_.unproven(device, std::chrono::steady_clock::now());
            else if (self->joined_)
                self->joined_(std::move(joining), std::move(open));
            else
                open->close("going_away");
        });
    }

    void handle_registration(const std::shared_ptr<Exchange>& exchange,
                             const channel::IpAddress& peer,
                             std::variant<Registration, BadRequest> read) {
        if (const auto* bad = std::get_if<BadRequest>(&read)) return refuse(exchange, *bad);
        auto& registration = std::get<Registration>(read);
        auto place = admit(exchange, registration.remote_ip.value_or(peer));
        if (!place) return;
        auto device = read_device(registration.role, exchange->parser.get().body());
        if (const auto* bad = std::get_if<BadRequest>(&device)) return refuse(exchange, *bad);
        registration.device = std::get<channel::Json>(std::move(device));
        registering_(std::move(registration),
                     [exchange, place = std::move(place)](const Registrar::Answer& said) {
                         answer(exchange, said.status, said.body.dump());
                     });
    }

    // A place among max_sessions; null when there is none now, which the device learns.
    std::shared_ptr<void> admit(const std::shared_ptr<Exchange>& exchange,
                                const channel::IpAddress& device) {
        const char* reason = nullptr;
        if (!joined_)
            reason = "going_away";
        else if (*places_ >= settings_.max_sessions)
            reason = "full";
        else if (!rate_.admit(device, std::chrono::steady_clock::now()))
            reason = "too_many_connects";
        if (reason != nullptr) {
            refuse(exchange, {503, reason});
            return nullptr;
        }
        ++*places_;
        // It points to something, so that the caller can tell it from none.
        return {places_.get(), [places = places_](void*) { --*places; }};
    }

    void refuse(const std::shared_ptr<Exchange>& exchange, const BadRequest& bad) {
        channel::Json body = {{"reason", bad.reason}};
        if (!bad.field.empty()) body["field"] = bad.field;
        if (!bad.hint.empty()) body["hint"] = bad.hint;
        answer(exchange, static_cast<unsigned>(bad.status), body.dump());
    }

    static void answer(const std::shared_ptr<Exchange>& exchange, unsigned status,
                       std::string body) {
        auto& response = exchange->response;
        response.version(exchange->parser.get().version());
        response.result(status);
        response.set(http::field::content_type, "application/json");
        if (status == 503) response.set(http::field::retry_after, "2");
        response.body() = std::move(body);
        response.keep_alive(false);
        response.prepare_payload();
        // What was given for the request may be over: a registration can wait for longer.
        exchange->stream.expires_after(kRequestTimeout);
        http::async_write(exchange->stream, response, [exchange](error_code, std::size_t) {
            error_code ignored;
            exchange->stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
            // To close before the rest of a request is read would reset the connection, and the
            // device might not see the answer.
            if (exchange->parser.is_done()) return;
            exchange->stream.expires_after(kRestWithin);
            read_rest(exchange);
        });
    }

    static void read_rest(const std::shared_ptr<Exchange>& exchange) {
        exchange->buffer.clear();
        exchange->stream.async_read_some(exchange->buffer.prepare(kMostRegistrationBytes),
                                         [exchange](error_code error, std::size_t) {
                                             if (!error) read_rest(exchange);
                                         });
    }

    const Settings& settings_;
    ConnectRate& rate_;
    tcp::acceptor acceptor_;
    asio::steady_timer retry_;
    Joined joined_;
    Registering registering_;
    std::list<Exchange*> pending_;  // without a request, the oldest first
    std::shared_ptr<int> places_;   // taken
    std::shared_ptr<QueueBudget> queues_;
};

Server::Server(asio::io_context& io, const Settings& settings, ConnectRate& rate, Joined joined,
               Registering registering)
    : listener_(std::make_shared<Listener>(io, settings, rate, std::move(joined),
                                           std::move(registering))) {
    listener_->accept();
}

Server::~Server() { stop_listening(); }
std::uint16_t Server::port() const { return listener_->port(); }
void Server::stop_listening() { listener_->stop(); }

}  // namespace fatwal::worker
