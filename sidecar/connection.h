// Connecting to Postgres: an ordinary connection for the checks, then the replication connection.
// Blocking, so it runs in a thread of its own; the event loop hears of the outcome through fd().
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "failure.h"
#include "fatwal/wire/control.h"
#include "notices.h"
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

// A durable subscriber as the table fatwal.subscriber knows it.
struct DurableSubscriber {
    wire::AccountKey account;
    std::string name;
    wire::Lsn acknowledged = 0;
};

// What a row of that table says; or why it names no subscriber.
std::variant<DurableSubscriber, std::string> durable_subscriber(const std::string& kind,
                                                                const std::string& account,
                                                                const std::string& name,
                                                                const std::string& acknowledged);

struct Streaming {
    Connection connection;                        // in COPY BOTH, not blocking
    std::chrono::milliseconds sender_timeout{0};  // wal_sender_timeout; 0: none
    wire::History history;
    wire::Lsn begin = 0;       // the slot's confirmed position, where the stream begins
    wire::Lsn server_end = 0;  // the end of the server's log after the stream has begun
    bool slot_created = false;
    std::vector<DurableSubscriber> subscribers;  // of the slot
    std::vector<std::string> skipped;            // rows of the table that name no subscriber: why
    wire::Lsn recorded = 0;  // how far it was written down as confirmed; 0: never
};
using Outcome = std::variant<Streaming, Failure>;

enum class ConnectAs : std::uint8_t { Ordinary, Replication };

// Opens a connection; gives up after 10 s, or as soon as `stop` (an eventfd, or -1) is readable.
// Ask PQstatus whether it is open; its error message begins with the SQLSTATE when the server
// refused.
Connection connect(const Settings& settings, ConnectAs as, int stop);
// Whether the server refused the connection because it starts or shuts down.
bool refused_for_now(PGconn* connection);

// Runs one command or query, with its parameters as text if there are any; throws the Failure that
// `what` begins.
Result run(PGconn* connection, const std::string& what, const std::string& sql,
           const std::vector<std::string>& parameters = {});

class Connector {
public:
    // `notices` gets those of the replication connection, also when that is handed over: it
    // outlives the connection.
    Connector(const Settings& settings, Notices& notices);
    ~Connector();
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;

    // Begins one attempt; there is none under way. `streamed_before`: the slot was streamed in this
    // run, so it is lost if it is missing.
    void start(bool streamed_before);
    // Readable when the attempt has ended.
    [[nodiscard]] int fd() const { return event_; }
    // Its outcome, once.
    Outcome take();

private:
    const Settings& settings_;
    Notices& notices_;
    int event_;
    int stop_;
    std::optional<Outcome> outcome_;  // handed over by the thread's end
    std::thread thread_;
};

// What makes the text output of types the same whatever the role's settings are.
inline constexpr const char* kTextSettings[] = {
    "SET datestyle = 'ISO, MDY'", "SET intervalstyle = 'postgres'", "SET extra_float_digits = 3"};
// The command that streams `slot` from `from` on; 0: from its confirmed position.
std::string start_replication(PGconn* connection, const Settings& settings, const std::string& slot,
                              wire::Lsn from);

// The failure of a libpq call, with the server's own detail and hint. Fatal unless another attempt
// may succeed.
Failure failure_of(const std::string& what, PGconn* connection, PGresult* result = nullptr);

// An LSN as the server writes it; 0 when it is none.
wire::Lsn lsn_of(const std::string& text);

// `text` as an SQL literal or identifier of this connection: whether a backslash escapes in a
// literal is a setting of the session (standard_conforming_strings), which libpq knows. For
// statements that take no parameters: COPY, and all that goes through a walsender. Throws a Failure
// when libpq refuses the text.
std::string quote_literal(PGconn* connection, const std::string& text);
std::string quote_identifier(PGconn* connection, const std::string& text);
// `text` as a literal of a replication command. Their grammar is not SQL's: a backslash never
// escapes, and E'...', which libpq writes for one, is a syntax error.
std::string quote_replication_literal(const std::string& text);

}  // namespace fatwal
