// Connecting to Postgres: an ordinary connection for the checks, then the replication connection. Blocking, so it runs in a thread of
// its own; the event loop hears of the outcome through fd().
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <variant>

#include "failure.h"
#include "settings.h"

namespace fatwal {

struct CloseConnection {
    void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, CloseConnection>;
struct ClearResult {
    void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

struct Streaming {
    Connection connection;  // in COPY BOTH, not blocking
    int server_version = 0;
    std::chrono::milliseconds sender_timeout{0};  // wal_sender_timeout; 0: none
};
using Outcome = std::variant<Streaming, Failure>;

class Connector {
public:
    explicit Connector(Settings settings);
    ~Connector();
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;

    // Begins one attempt; there is none under way.
    void start();
    // Readable when the attempt has ended.
    [[nodiscard]] int fd() const { return event_; }
    // Its outcome, once.
    Outcome take();

private:
    Settings settings_;
    int event_;
    std::optional<Outcome> outcome_;  // handed over by the thread's end
    std::thread thread_;
};

// The failure of a libpq call, with the server's own detail and hint. Fatal unless another attempt may succeed.
Failure failure_of(const std::string& what, PGconn* connection, PGresult* result = nullptr);

// `text` as an SQL literal or identifier.
std::string quote_literal(const std::string& text);
std::string quote_identifier(const std::string& text);

}  // namespace fatwal
