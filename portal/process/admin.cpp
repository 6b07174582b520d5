#include "portal/process/admin.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "portal/process/envelope.h"
#include "portal/process/query.h"
#include "service/accepting.h"

namespace fatwal::process {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using access::Device;
using access::Json;
using access::Uuid;
using boost::system::error_code;
using local = asio::local::stream_protocol;

constexpr auto kTimeout = std::chrono::seconds(10);
constexpr std::size_t kMostConnections = 16;
constexpr std::size_t kMostSessions = 1000;  // of one answer

std::optional<Device> device_of(std::string_view kind) {
    if (kind == "client") return Device::Client;
    if (kind == "gateway") return Device::Gateway;
    return std::nullopt;
}

std::optional<Admin::Cursor> cursor_in(std::string_view text) {
    const auto first = text.find('/');
    const auto last = text.rfind('/');
    if (first == std::string_view::npos || first == last) return std::nullopt;
    const auto account = Uuid::from_text(text.substr(0, first));
    const auto device = device_of(text.substr(first + 1, last - first - 1));
    const auto id = Uuid::from_text(text.substr(last + 1));
    if (!account || !device || !id) return std::nullopt;
    return Admin::Cursor{*account, *device, *id};
}

struct Answer {
    http::status status = http::status::ok;
    Json body;
};

Answer wrong(http::status status, const char* reason, const char* hint) {
    return {status, {{"reason", reason}, {"hint", hint}}};
}

Answer bad_id(const char* hint) { return wrong(http::status::bad_request, "invalid_id", hint); }

Answer list(const Admin::Handlers& handlers, const Query& query) {
    Admin::Listing listing;
    listing.limit = kMostSessions;
    if (const auto account = value_of(query, "account"); !account.empty()) {
        listing.account = Uuid::from_text(account);
        if (!listing.account) return bad_id("account is the id of an account");
    }
    if (const auto after = value_of(query, "after"); !after.empty()) {
        listing.after = cursor_in(after);
        if (!listing.after)
            return wrong(http::status::bad_request, "invalid_cursor",
                         "after is what an answer has given as next");
    }
    if (const auto limit = value_of(query, "limit"); !limit.empty()) {
        std::size_t count = 0;
        const auto [end, error] = std::from_chars(limit.data(), limit.data() + limit.size(), count);
        if (error != std::errc{} || end != limit.data() + limit.size() || count == 0)
            return wrong(http::status::bad_request, "invalid_limit", "limit is a number above 0");
        listing.limit = std::min(count, kMostSessions);
    }
    return {http::status::ok, handlers.sessions(listing)};
}

Answer disconnect(const Admin::Handlers& handlers, const Query& query) {
    const auto account = Uuid::from_text(value_of(query, "account"));
    const auto device = device_of(value_of(query, "kind"));
    const auto id = Uuid::from_text(value_of(query, "id"));
    if (!account || !device || !id)
        return bad_id("account and id are ids, kind is client or gateway");
    return {http::status::ok, {{"disconnected", handlers.disconnect({*account, *device, *id})}}};
}

Answer reject(const Admin::Handlers& handlers, const Query& query) {
    const auto account = Uuid::from_text(value_of(query, "account"));
    const auto client = Uuid::from_text(value_of(query, "client"));
    const auto resource = Uuid::from_text(value_of(query, "resource"));
    if (!account || !client || !resource) return bad_id("account, client and resource are ids");
    return {http::status::ok, {{"gateways", handlers.reject(*account, *client, *resource)}}};
}

Answer explained(Admin::Explained found, const char* hint_if_not_followed) {
    if (!found.is_followed)
        return wrong(http::status::not_found, "not_followed", hint_if_not_followed);
    if (!found.answer)
        return wrong(http::status::service_unavailable, "try_again",
                     "a transaction or a snapshot of the account is being read");
    return {http::status::ok, std::move(*found.answer)};
}

Answer why(const Admin::Handlers& handlers, const Query& query) {
    const auto client = Uuid::from_text(value_of(query, "client"));
    const auto resource = Uuid::from_text(value_of(query, "resource"));
    if (!client || !resource) return bad_id("client and resource are ids");
    Admin::Question question{{}, *client, *resource};
    if (const auto account = value_of(query, "account"); !account.empty()) {
        question.account = Uuid::from_text(account);
        if (!question.account) return bad_id("account is the id of an account");
    }
    return explained(handlers.why(question),
                     "no account that this process follows has the client: ask a process to which "
                     "a device of its account is connected, and check the id");
}

Answer choices(const Admin::Handlers& handlers, const Query& query) {
    const auto account = Uuid::from_text(value_of(query, "account"));
    if (!account) return bad_id("account is the id of an account");
    return explained(handlers.choices(*account),
                     "this process does not follow the account: ask one to which a device of it "
                     "is connected, and check the id");
}

Answer answer_to(const Admin::Handlers& handlers, const http::request<http::empty_body>& request) {
    const std::string_view target(request.target().data(), request.target().size());
    const auto query = query_of(target);
    if (!query)
        return wrong(http::status::bad_request, "malformed_query", "percent-encode its values");
    const auto path = target.substr(0, target.find('?'));
    const bool get = request.method() == http::verb::get;
    const bool post = request.method() == http::verb::post;
    if (path == "/stats" && get) return {http::status::ok, handlers.stats()};
    if (path == "/sessions" && get) return list(handlers, *query);
    if (path == "/why" && get) return why(handlers, *query);
    if (path == "/choices" && get) return choices(handlers, *query);
    if (path == "/disconnect" && post) return disconnect(handlers, *query);
    if (path == "/reject" && post) return reject(handlers, *query);
    return wrong(
        http::status::not_found, "not_found",
        "GET /stats, GET /sessions, GET /why, GET /choices, POST /disconnect or POST /reject");
}

// Takes away what a process that is dead has left.
void clear_place(asio::io_context& io, const std::string& path) {
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) return;
    if (!S_ISSOCK(status.st_mode))
        throw std::runtime_error("--admin-socket " + path + " is there and is no socket");
    error_code error;
    local::socket probe(io);
    probe.connect(local::endpoint(path), error);
    if (error != boost::system::errc::connection_refused)
        throw std::runtime_error("--admin-socket " + path + " is another process's");
    unlink(path.c_str());
}

}  // namespace

class Admin::Listener : public std::enable_shared_from_this<Admin::Listener> {
public:
    Listener(asio::io_context& io, const std::string& path, Handlers handlers)
        : path_(path), acceptor_(io), retry_(io), handlers_(std::move(handlers)) {
        if (path.size() >= sizeof(sockaddr_un::sun_path))
            throw std::runtime_error("--admin-socket " + path + " is longer than a socket's path " +
                                     "may be, 107 bytes");
        clear_place(io, path);
        acceptor_.open();
        // The file is made with the socket's mode, so that nobody else can ever open it.
        if (fchmod(acceptor_.native_handle(), S_IRUSR | S_IWUSR) != 0)
            throw std::runtime_error(std::string("fchmod: ") + std::strerror(errno));
        error_code error;
        acceptor_.bind(local::endpoint(path), error);
        if (error)
            throw std::runtime_error("--admin-socket " + path +
                                     " cannot be made: " + error.message());
        acceptor_.listen();
    }

    void accept() {
        acceptor_.async_accept([self = shared_from_this()](error_code error, local::socket socket) {
            if (!self->acceptor_.is_open()) return;
            if (error) return self->accept_later();
            if (self->connections_ < kMostConnections) self->begin(std::move(socket));
            self->accept();
        });
    }

    void stop() {
        if (!acceptor_.is_open()) return;
        error_code ignored;
        acceptor_.close(ignored);
        retry_.cancel();
        unlink(path_.c_str());
        handlers_ = {};
    }

private:
    struct Exchange {
        explicit Exchange(local::socket socket) : stream(std::move(socket)) {}
        beast::basic_stream<local> stream;
        beast::flat_buffer buffer;
        http::request<http::empty_body> request;
        http::response<http::string_body> response;
    };

    // After a failed accept, mostly for want of descriptors: to retry at once would spin.
    void accept_later() {
        retry_.expires_after(service::kAcceptAgain);
        retry_.async_wait([self = shared_from_this()](error_code stopped) {
            if (!stopped) self->accept();
        });
    }

    void begin(local::socket socket) {
        ++connections_;
        std::shared_ptr<void> place(nullptr,
                                    [self = shared_from_this()](void*) { --self->connections_; });
        auto exchange = std::make_shared<Exchange>(std::move(socket));
        exchange->stream.expires_after(kTimeout);
        http::async_read(
            exchange->stream, exchange->buffer, exchange->request,
            [self = shared_from_this(), exchange, place](error_code error, std::size_t) {
                if (!error && self->acceptor_.is_open()) self->reply(exchange, place);
            });
    }

    void reply(const std::shared_ptr<Exchange>& exchange, const std::shared_ptr<void>& place) {
        const Answer answer = answer_to(handlers_, exchange->request);
        if (exchange->request.method() == http::verb::post)
            spdlog::info("an administrator: {}",
                         std::string_view(exchange->request.target().data(),
                                          exchange->request.target().size()));
        auto& response = exchange->response;
        response.version(exchange->request.version());
        response.result(answer.status);
        response.set(http::field::content_type, "application/json");
        response.body() = text_of(answer.body) + '\n';
        response.keep_alive(false);
        response.prepare_payload();
        http::async_write(exchange->stream, response, [exchange, place](error_code, std::size_t) {
            error_code ignored;
            exchange->stream.socket().shutdown(local::socket::shutdown_send, ignored);
        });
    }

    std::string path_;
    local::acceptor acceptor_;
    asio::steady_timer retry_;
    Handlers handlers_;
    std::size_t connections_ = 0;
};

Admin::Admin(asio::io_context& io, const std::string& path, Handlers handlers)
    : listener_(std::make_shared<Listener>(io, path, std::move(handlers))) {
    listener_->accept();
}

Admin::~Admin() { listener_->stop(); }

}  // namespace fatwal::process
