#include "service/http.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <list>
#include <sstream>
#include <utility>

#include "service/accepting.h"
#include "service/failure.h"
#include "service/helper_thread.h"

namespace fatwal::service {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr std::size_t kLeastTokenBytes = 16;
constexpr std::string_view kBearer = "bearer ";

std::string_view std_view(beast::string_view text) { return {text.data(), text.size()}; }

std::string read_token(const std::string& path) {
    const std::string hint = "Make one: (umask 077; openssl rand -hex 32 > " + path + ')';
    struct stat status {};
    if (stat(path.c_str(), &status) != 0)
        throw Failure("the token file cannot be read", path + ": " + std::strerror(errno) + '.',
                      hint);
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        throw Failure("the token file is not its owner's alone", path, "chmod 600 " + path);
    std::ifstream file(path);
    std::string token;
    std::getline(file, token);
    while (!token.empty() && token.back() == ' ') token.pop_back();
    const bool printable =
        std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
    if (token.size() < kLeastTokenBytes || token.size() > 512 || !printable)
        throw Failure("the token file holds no token",
                      path + ", which has to have a line of " + std::to_string(kLeastTokenBytes) +
                          " to 512 characters without blanks.",
                      hint);
    return token;
}

// Whether a Host names this machine by address, or as localhost: no other name was looked up.
bool is_local_host(std::string_view host) {
    if (const auto colon = host.rfind(':'); colon != std::string_view::npos &&
                                            host.find(']', colon) == std::string_view::npos &&
                                            (host.front() == '[' || host.find(':') == colon))
        host = host.substr(0, colon);
    if (host.size() > 1 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    error_code bad;
    (void)asio::ip::make_address(std::string(host), bad);
    return host == "localhost" || !bad;
}

std::string in_small_letters(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

HttpQuery query_of(std::string_view target) {
    HttpQuery query;
    const auto path = std::min(target.find('?'), target.size());
    query.path = target.substr(0, path);
    target.remove_prefix(std::min(path + 1, target.size()));
    while (!target.empty()) {
        const auto end = std::min(target.find('&'), target.size());
        const std::string_view pair = target.substr(0, end);
        const auto name = std::min(pair.find('='), pair.size());
        query.parameters.emplace(pair.substr(0, name),
                                 pair.substr(std::min(name + 1, pair.size())));
        target.remove_prefix(std::min(end + 1, target.size()));
    }
    return query;
}

}  // namespace

bool is_token(std::string_view given, std::string_view token) {
    volatile unsigned char differs = given.size() == token.size() ? 0 : 1;
    for (std::size_t i = 0; i < given.size(); ++i)
        differs = static_cast<unsigned char>(differs |
                                             (static_cast<unsigned char>(given[i]) ^
                                              static_cast<unsigned char>(token[i % token.size()])));
    return differs == 0;
}

std::optional<HttpOptions> http_options(const std::string& text, const std::string& token_file) {
    if (text.empty()) {
        if (!token_file.empty())
            throw Failure("--http-token-file is given without --http", token_file,
                          "Give --http 127.0.0.1:7480, or take it out.");
        return std::nullopt;
    }
    const auto colon = text.rfind(':');
    std::string host = text.substr(0, std::min(colon, text.size()));
    if (host.size() > 1 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    HttpOptions options;
    const char* const end = text.data() + text.size();
    const char* const port = colon == std::string::npos ? end : text.data() + colon + 1;
    const auto [read, error] = std::from_chars(port, end, options.port);
    error_code bad;
    const auto address = asio::ip::make_address(host, bad);
    if (bad || error != std::errc() || read != end)
        throw Failure("--http is not an address and a port", text,
                      "Give --http 127.0.0.1:7480, or [::1]:7480.");
    options.address = address.to_string();
    if (!token_file.empty()) options.token = read_token(token_file);
    if (options.token.empty() && !address.is_loopback())
        throw Failure("--http " + text + " needs a token",
                      "Others than this machine can reach that address.",
                      "Give --http-token-file FILE, or a loopback address: 127.0.0.1:" +
                          std::to_string(options.port) + '.');
    return options;
}

class HttpServer::Listener {
public:
    Listener(const HttpOptions& options, Handler handler)
        : options_(options), handler_(std::move(handler)), acceptor_(io_), retry_(io_) {
        const tcp::endpoint endpoint(asio::ip::make_address(options.address), options.port);
        try {
            acceptor_.open(endpoint.protocol());
            acceptor_.set_option(asio::socket_base::reuse_address(true));
            acceptor_.bind(endpoint);
            acceptor_.listen();
        } catch (const boost::system::system_error& error) {
            throw Failure(
                "cannot listen at --http " + options.address + ':' + std::to_string(options.port),
                error.code().message() + '.',
                "Choose an address of this machine and a port that is free.");
        }
        thread_.start("http", [this](const Stop& stop) { run(stop); });
    }

    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

private:
    class Connection;
    using Connections = std::list<std::shared_ptr<Connection>>;

    void run(const Stop& stop);
    void accept();
    void begin(tcp::socket socket);

    const HttpOptions options_;
    const Handler handler_;
    asio::io_context io_{1};
    tcp::acceptor acceptor_;
    asio::steady_timer retry_;
    Connections connections_;  // the oldest first
    Connections streams_;      // those whose answer has no end
    HelperThread thread_;
};

class HttpServer::Listener::Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(tcp::socket socket, Listener& listener)
        : listener_(listener), stream_(std::move(socket)), timer_(stream_.get_executor()) {
        parser_.header_limit(kMostHeaderBytes);
        parser_.body_limit(listener.options_.most_body_bytes);
    }

    void start(Connections::iterator place) {
        place_ = place;
        stream_.expires_after(kRequestWithin);
        http::async_read(
            stream_, buffer_, parser_, [self = shared_from_this()](error_code error, std::size_t) {
                if (error == http::error::body_limit)
                    return self->answer({413, "the request has a larger body than any here\n"});
                if (error == http::error::header_limit)
                    return self->answer({431, "the header is too long\n"});
                if (error) return self->close();
                self->handle();
            });
    }
    void close() {
        if (std::exchange(closed_, true)) return;
        timer_.cancel();
        stream_.close();
        if (body_) body_->detach();
        (body_ ? listener_.streams_ : listener_.connections_).erase(place_);
    }

private:
    void handle() {
        auto& request = parser_.get();
        const bool takes_posts = listener_.options_.most_body_bytes > 0;
        const bool is_post = request.method() == http::verb::post;
        if (request.method() != http::verb::get && !(is_post && takes_posts))
            return answer({405, takes_posts ? "GET and POST alone\n" : "GET alone\n"});
        query_ = query_of(std_view(request.target()));
        query_.is_post = is_post;
        for (const auto& field : request) {
            const std::string name = in_small_letters(std_view(field.name_string()));
            const auto [at, is_first] = query_.headers.try_emplace(name, std_view(field.value()));
            if (!is_first)
                at->second.append(name == "cookie" ? "; " : ", ").append(std_view(field.value()));
        }
        if (request.count(http::field::host) > 1) return answer({400, "there are several hosts\n"});
        query_.body = std::move(request.body());
        const std::string_view token = std_view(request[http::field::authorization]);
        if (listener_.options_.token.empty()) {
            if (!is_local_host(std_view(request[http::field::host])))
                return answer({403, "ask by the address, or give an --http-token-file\n"});
            query_.trusted = true;
        } else if (in_small_letters(token.substr(0, kBearer.size())) == kBearer) {
            query_.trusted = is_token(token.substr(kBearer.size()), listener_.options_.token);
        }
        ask(std::chrono::steady_clock::now() + kAskWithin);
    }

    void ask(std::chrono::steady_clock::time_point until) {
        if (!later_) {
            auto answered = listener_.handler_(query_);
            if (answered && !answered->later) return answer(std::move(*answered));
            if (answered) later_ = std::move(answered->later);
        }
        if (later_)
            if (auto given = later_->take()) return answer(std::move(*given));
        if (std::chrono::steady_clock::now() >= until)
            return answer({503, "the process has not answered in time\n"});
        timer_.expires_after(kAskAgain);
        timer_.async_wait([self = shared_from_this(), until](error_code stopped) {
            if (!stopped && !self->closed_) self->ask(until);
        });
    }

    void answer(HttpAnswer given) {
        if (given.stream && listener_.streams_.size() >= kMostStreams) {
            given.stream->detach();
            given = {503, "as many streams are open as may be: close some\n"};
        }
        response_.version(11);
        response_.result(given.status);
        response_.set(http::field::content_type, given.type);
        response_.set(http::field::cache_control, "no-store");
        if (given.status == 401) response_.set(http::field::www_authenticate, "Bearer");
        for (const auto& [name, value] : listener_.options_.headers) response_.set(name, value);
        for (const auto& [name, value] : given.headers) response_.set(name, value);
        response_.body() = std::move(given.body);
        response_.keep_alive(false);
        if (given.stream) return begin_stream(std::move(given.stream));
        response_.prepare_payload();
        stream_.expires_after(kAnswerWithin);
        http::async_write(stream_, response_, [self = shared_from_this()](error_code, std::size_t) {
            error_code ignored;
            self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
            self->close();
        });
    }

    // Its end is the connection's.
    void begin_stream(std::shared_ptr<HttpStream> body) {
        body_ = std::move(body);
        listener_.streams_.splice(listener_.streams_.end(), listener_.connections_, place_);
        std::ostringstream head;
        head << response_.base();
        sending_ = head.str();
        // Nothing more is to come from the reader but its end.
        stream_.socket().async_read_some(
            asio::buffer(unexpected_),
            [self = shared_from_this()](error_code, std::size_t) { self->close(); });
        send();
        body_->attach([io = &listener_.io_, weak = weak_from_this()] {
            asio::post(*io, [weak] {
                if (const auto self = weak.lock()) self->send();
            });
        });
    }

    // What waits, when what was before it is sent.
    void send() {
        if (closed_ || is_sending_) return;
        if (sending_.empty()) sending_ = body_->take();
        if (sending_.empty()) {
            if (body_->ended()) return close();
            return beat_later();
        }
        is_sending_ = true;
        timer_.cancel();
        stream_.expires_after(kAnswerWithin);
        asio::async_write(stream_, asio::buffer(sending_),
                          [self = shared_from_this()](error_code error, std::size_t) {
                              self->is_sending_ = false;
                              self->sending_.clear();
                              if (error) return self->close();
                              self->stream_.expires_never();
                              self->send();
                          });
    }

    void beat_later() {
        timer_.expires_after(HttpStream::kBeat);
        timer_.async_wait([self = shared_from_this()](error_code stopped) {
            if (stopped || self->closed_ || self->is_sending_) return;
            self->sending_ = ":\n\n";
            self->send();
        });
    }

    Listener& listener_;
    beast::tcp_stream stream_;
    asio::steady_timer timer_;
    beast::flat_buffer buffer_;
    http::request_parser<http::string_body> parser_;
    http::response<http::string_body> response_;
    HttpQuery query_;
    std::shared_ptr<HttpLater> later_;
    std::shared_ptr<HttpStream> body_;
    std::string sending_;
    std::array<char, 64> unexpected_{};
    Connections::iterator place_;
    bool is_sending_ = false;
    bool closed_ = false;
};

// Run again after an exception it resumes with the connections that are there.
void HttpServer::Listener::run(const Stop& stop) {
    io_.restart();
    asio::posix::stream_descriptor stopped(io_, ::fcntl(stop.fd(), F_DUPFD_CLOEXEC, 0));
    stopped.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code error) {
        if (!error) io_.stop();
    });
    acceptor_.cancel();
    retry_.cancel();
    accept();
    io_.run();
    if (!stop.requested()) return;
    while (!connections_.empty()) connections_.front()->close();
    while (!streams_.empty()) streams_.front()->close();
}

void HttpServer::Listener::accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
        if (error == asio::error::operation_aborted) return;
        if (!error) {
            begin(std::move(socket));
            return accept();
        }
        // Out of descriptors, mostly: it comes again at once.
        spdlog::warn("http: cannot accept a connection: {}", error.message());
        retry_.expires_after(kAcceptAgain);
        retry_.async_wait([this](error_code aborted) {
            if (!aborted) accept();
        });
    });
}

void HttpServer::Listener::begin(tcp::socket socket) {
    // Who asks has to see that descriptors run out.
    const std::size_t most =
        is_among_last(socket.native_handle()) ? kMostOfTheLast : kMostConnections;
    while (connections_.size() >= most) connections_.front()->close();
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    connections_.push_back(std::make_shared<Connection>(std::move(socket), *this));
    connections_.back()->start(std::prev(connections_.end()));
}

HttpServer::HttpServer(const HttpOptions& options, Handler handler)
    : listener_(std::make_unique<Listener>(options, std::move(handler))) {}
HttpServer::~HttpServer() = default;
std::uint16_t HttpServer::port() const { return listener_->port(); }

}  // namespace fatwal::service
