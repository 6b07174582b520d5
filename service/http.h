// A small HTTP server for those who watch a process: Prometheus, a load balancer, a person with
// curl or a browser. One request a connection, on a thread of its own.
//
// It is no door for strangers, and is bounded as if it were one. At most kMostConnections are open,
// and with another one the oldest goes; answers that have no end (http_stream.h) are counted apart,
// and beyond kMostStreams refused. A request has kRequestWithin to come and at most
// kMostHeaderBytes; its answer has kAnswerWithin to be taken. So one that says nothing, or does not
// read, costs a descriptor for some seconds, and never anything of the process's loop: the handler
// runs on this thread and reads what the loop has left there (service/watch.h).
//
// Who may ask: on a loopback address whoever is on this machine; at any other address whoever has
// the token (`Authorization: Bearer TOKEN`), which is compared in a time that does not tell how
// much of it was right. Where no token is asked for, a request's Host must be an address or
// `localhost`, so that no page in somebody's browser reads it by a name that leads here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "service/http_stream.h"

namespace fatwal::service {

struct HttpOptions {
    std::string address;
    std::uint16_t port = 0;                                      // 0: one that is free
    std::string token;                                           // empty: none is asked for
    std::size_t most_body_bytes = 0;                             // of a POST; 0: GET alone
    std::vector<std::pair<std::string, std::string>> headers{};  // of every answer
};

// From the settings `http` (ADDRESS:PORT; empty: nothing) and `http_token_file`. Throws a Failure
// where they do not fit each other, or the file is not what it has to be.
[[nodiscard]] std::optional<HttpOptions> http_options(const std::string& http,
                                                      const std::string& token_file);

// Whether they are equal, in a time that depends on the length of `given` alone. `token` is not
// empty.
[[nodiscard]] bool is_token(std::string_view given, std::string_view token);

struct HttpQuery {
    bool is_post = false;
    std::string path;
    std::map<std::string, std::string> parameters;  // as they stand there, not decoded
    bool trusted = false;                           // it has the token, or none is asked for
    // By their names in small letters; those that come twice are joined, as RFC 9110 says.
    std::map<std::string, std::string> headers;
    std::string body;

    // Empty when there is none.
    [[nodiscard]] std::string header(const std::string& name) const {
        const auto at = headers.find(name);
        return at == headers.end() ? std::string() : at->second;
    }
};
class HttpLater;
struct HttpAnswer {
    unsigned status = 200;
    std::string body{};
    std::string type = "text/plain; charset=utf-8";
    std::vector<std::pair<std::string, std::string>> headers{};
    std::shared_ptr<HttpStream> stream{};  // instead of the body
    // Instead of all else: the answer, once another thread has it.
    std::shared_ptr<HttpLater> later{};
};

// An answer that another thread gives, once.
class HttpLater {
public:
    void give(HttpAnswer answer) {
        const std::lock_guard lock(mutex_);
        answer_ = std::move(answer);
    }
    // Nothing: not yet.
    [[nodiscard]] std::optional<HttpAnswer> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(answer_, std::nullopt);
    }

private:
    std::mutex mutex_;
    std::optional<HttpAnswer> answer_;
};

class HttpServer {
public:
    static constexpr std::size_t kMostConnections = 32;
    static constexpr std::size_t kMostStreams = 32;
    static constexpr std::size_t kMostOfTheLast = 4;  // while descriptors are short
    static constexpr std::uint32_t kMostHeaderBytes = 8192;
    static constexpr std::chrono::seconds kRequestWithin{5};
    static constexpr std::chrono::seconds kAnswerWithin{10};
    // A handler that has no answer yet is asked again at this interval, for so long; so is a later
    // answer.
    static constexpr std::chrono::milliseconds kAskAgain{50};
    static constexpr std::chrono::seconds kAskWithin{5};

    // Runs on the server's thread. Nothing: not yet.
    using Handler = std::function<std::optional<HttpAnswer>(const HttpQuery&)>;

    // Listens at once; throws a Failure when it cannot.
    HttpServer(const HttpOptions& options, Handler handler);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    [[nodiscard]] std::uint16_t port() const;

private:
    class Listener;
    std::unique_ptr<Listener> listener_;
};

}  // namespace fatwal::service
