#include "portal/process/server.h"

#include <spdlog/spdlog.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <list>
#include <utility>

#include "portal/process/beast.h"
#include "service/accepting.h"

namespace fatwal::process {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr std::uint32_t kMostHeaderBytes = 16'384;
constexpr auto kRequestTimeout = std::chrono::seconds(10);
constexpr auto kRestWithin = std::chrono::seconds(2);  // of a request that is refused unread
constexpr std::size_t kRestAtOnce = 8192;

std::string_view view_of(beast::string_view text) { return {text.data(), text.size()}; }

// A connection before it is a WebSocket. Whoever has it keeps it open.
class HttpExchange : public Exchange, public std::enable_shared_from_this<HttpExchange> {
public:
    HttpExchange(tcp::socket socket, std::size_t most_body_bytes) : stream_(std::move(socket)) {
        parser_.header_limit(kMostHeaderBytes);
        parser_.body_limit(most_body_bytes);
    }

    // Always calls `done`: with true for a request, whole or too large; with false when none came.
    void read(std::function<void(bool there)> done) {
        stream_.expires_after(kRequestTimeout);
        http::async_read(
            stream_, buffer_, parser_,
            [self = shared_from_this(), done = std::move(done)](error_code error, std::size_t) {
                self->is_too_large_ = error == http::error::body_limit;
                done(!error || self->is_too_large_);
            });
    }
    void close() { stream_.close(); }

    [[nodiscard]] bool is_post() const override { return request().method() == http::verb::post; }
    [[nodiscard]] bool wants_websocket() const override {
        return beast::websocket::is_upgrade(request());
    }
    [[nodiscard]] bool is_too_large() const override { return is_too_large_; }
    [[nodiscard]] std::string_view target() const override { return view_of(request().target()); }
    [[nodiscard]] std::string_view body() const override { return request().body(); }
    [[nodiscard]] std::string header(std::string_view name) const override {
        std::string out;
        const auto [begin, end] =
            request().equal_range(beast::string_view(name.data(), name.size()));
        for (auto line = begin; line != end; ++line) {
            if (line != begin) out += ',';
            out.append(view_of(line->value()));
        }
        return out;
    }
    [[nodiscard]] std::optional<std::string> peer() const override {
        error_code error;
        const auto endpoint = stream_.socket().remote_endpoint(error);
        return error ? std::nullopt : std::optional(endpoint.address().to_string());
    }

    void answer(unsigned status, std::string body) override {
        response_.version(request().version());
        response_.result(status);
        response_.set(http::field::content_type, "application/json");
        if (status == 503) response_.set(http::field::retry_after, "2");
        response_.body() = std::move(body);
        response_.keep_alive(false);
        response_.prepare_payload();
        // What was given for the request may be over: a registration can wait for longer.
        stream_.expires_after(kRequestTimeout);
        http::async_write(stream_, response_, [self = shared_from_this()](error_code, std::size_t) {
            error_code ignored;
            self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
            if (self->parser_.is_done()) return;
            self->stream_.expires_after(kRestWithin);
            self->read_rest();
        });
    }

    void open(const WebSocketOptions& options, std::shared_ptr<void> place,
              std::function<void(std::shared_ptr<Link>)> opened) override {
        // The request lives until the handshake is over.
        open_websocket(std::move(stream_), request(), options, std::move(place),
                       [self = shared_from_this(), opened = std::move(opened)](
                           std::shared_ptr<Link> link) { opened(std::move(link)); });
    }

    // In the listener's pending_, until its request is there.
    std::list<HttpExchange*>::iterator pending;

private:
    [[nodiscard]] const HttpRequest& request() const { return parser_.get(); }

    void read_rest() {
        buffer_.clear();
        stream_.async_read_some(buffer_.prepare(kRestAtOnce),
                                [self = shared_from_this()](error_code error, std::size_t) {
                                    if (!error) self->read_rest();
                                });
    }

    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    http::request_parser<http::string_body> parser_;
    http::response<http::string_body> response_;
    bool is_too_large_ = false;
};

}  // namespace

class Server::Listener : public std::enable_shared_from_this<Server::Listener> {
public:
    Listener(asio::io_context& io, const ServerOptions& options, Handler handler)
        : options_(options), acceptor_(io), retry_(io), handler_(std::move(handler)) {
        const tcp::endpoint endpoint(asio::ip::make_address(options.address), options.port);
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
                self->retry_.expires_after(service::kAcceptAgain);
                self->retry_.async_wait([self](error_code stopped) {
                    if (!stopped) self->accept();
                });
                return;
            }
            self->begin(std::move(socket));
            self->accept();
        });
    }

    void stop_listening() {
        error_code ignored;
        acceptor_.close(ignored);
        retry_.cancel();
    }

    // The handler's owner is about to be destroyed.
    void stop() {
        stop_listening();
        handler_ = nullptr;
    }

private:
    void begin(tcp::socket socket) {
        // Closed at once: the last descriptors are for what a device brings about, ZeroMQ, which
        // ends the process when it gets none, the database, files.
        if (service::is_among_last(socket.native_handle())) return;
        error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        if (pending_.size() >= options_.most_pending) {
            HttpExchange& oldest = *pending_.front();
            forget(oldest);
            oldest.close();
        }
        auto exchange = std::make_shared<HttpExchange>(std::move(socket), options_.most_body_bytes);
        exchange->pending = pending_.insert(pending_.end(), exchange.get());
        exchange->read([self = shared_from_this(), one = exchange.get()](bool there) {
            self->forget(*one);
            if (there && self->handler_) self->handler_(one->shared_from_this());
        });
    }

    void forget(HttpExchange& exchange) {
        if (exchange.pending != pending_.end()) pending_.erase(exchange.pending);
        exchange.pending = pending_.end();
    }

    ServerOptions options_;
    tcp::acceptor acceptor_;
    asio::steady_timer retry_;
    Handler handler_;
    std::list<HttpExchange*> pending_;  // without a request, the oldest first
};

Server::Server(asio::io_context& io, const ServerOptions& options, Handler handler)
    : listener_(std::make_shared<Listener>(io, options, std::move(handler))) {
    listener_->accept();
}

Server::~Server() { listener_->stop(); }
std::uint16_t Server::port() const { return listener_->port(); }
void Server::stop_listening() { listener_->stop_listening(); }

}  // namespace fatwal::process
