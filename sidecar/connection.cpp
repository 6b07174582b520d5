#include "connection.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <system_error>

#include "preflight.h"

namespace fatwal {

namespace {

constexpr char kDefaultConnectTimeout[] = "10";

// Whether the server's error tells of a state that passes: it starts, stops, is full, or the slot is in another's use.
bool passes(const std::string& state) {
    return state.empty() || state.starts_with("08") || state.starts_with("57P") || state == "53300" || state == "55006";
}

std::string field(PGresult* result, int code) {
    const char* text = result == nullptr ? nullptr : PQresultErrorField(result, code);
    return text == nullptr ? "" : text;
}

std::string trimmed(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

Connection connect(const Settings& settings, bool replication) {
    const std::array<const char*, 6> keywords = {
        "connect_timeout", "fallback_application_name", "dbname", replication ? "replication" : nullptr, nullptr, nullptr};
    const std::array<const char*, 6> values = {kDefaultConnectTimeout, "fatwald", settings.database.c_str(), "database", nullptr, nullptr};
    return Connection(PQconnectdbParams(keywords.data(), values.data(), 1));
}

Failure with_slot_hint(Failure failure, PGresult* result) {
    if (field(result, PG_DIAG_SQLSTATE) == "53400" && failure.hint.empty())
        failure.hint = "Drop a slot that nobody needs, or ALTER SYSTEM SET max_replication_slots = …; then restart the server.";
    return failure;
}

Outcome attempt(const Settings& settings) {
    Server server;
    {
        const Connection ordinary = connect(settings, false);
        if (PQstatus(ordinary.get()) != CONNECTION_OK) {
            Failure failure = failure_of("cannot connect to Postgres", ordinary.get());
            failure.fatal = false;
            return failure;
        }
        auto checked = preflight(ordinary.get(), settings);
        if (auto* failure = std::get_if<Failure>(&checked)) return std::move(*failure);
        server = std::get<Server>(checked);
    }
    Streaming streaming;
    streaming.sender_timeout = server.sender_timeout;
    streaming.connection = connect(settings, true);
    PGconn* connection = streaming.connection.get();
    if (PQstatus(connection) != CONNECTION_OK) {
        Failure failure = failure_of("cannot open a replication connection", connection);
        failure.fatal = false;
        return failure;
    }
    streaming.server_version = PQserverVersion(connection);
    // Types that travel as text are written the same whatever the role's settings are.
    for (const char* setting : {"SET datestyle = 'ISO, MDY'", "SET intervalstyle = 'postgres'", "SET extra_float_digits = 3"}) {
        const Result result(PQexec(connection, setting));
        if (PQresultStatus(result.get()) != PGRES_COMMAND_OK)
            return failure_of("cannot prepare the replication connection", connection, result.get());
    }
    if (!server.slot_exists) {
        const std::string create = "CREATE_REPLICATION_SLOT " + quote_identifier(settings.slot) + " LOGICAL fatwal NOEXPORT_SNAPSHOT";
        const Result result(PQexec(connection, create.c_str()));
        if (PQresultStatus(result.get()) != PGRES_TUPLES_OK)
            return with_slot_hint(failure_of("cannot create slot \"" + settings.slot + "\"", connection, result.get()), result.get());
    }
    const std::string start = "START_REPLICATION SLOT " + quote_identifier(settings.slot) +
                              " LOGICAL 0/0 (protocol_version '1', publication_names " + quote_literal(settings.publication) +
                              ", frame_bytes '" + std::to_string(settings.frame_bytes) + "', messages '" +
                              (settings.messages ? "true" : "false") + "')";
    const Result result(PQexec(connection, start.c_str()));
    if (PQresultStatus(result.get()) != PGRES_COPY_BOTH)
        return failure_of("cannot start streaming slot \"" + settings.slot + "\"", connection, result.get());
    if (PQsetnonblocking(connection, 1) != 0) return failure_of("cannot set the connection to non-blocking", connection);
    return streaming;
}

}  // namespace

Failure failure_of(const std::string& what, PGconn* connection, PGresult* result) {
    const std::string state = field(result, PG_DIAG_SQLSTATE);
    std::string found = field(result, PG_DIAG_MESSAGE_PRIMARY);
    if (found.empty()) found = trimmed(PQerrorMessage(connection));
    const std::string detail = field(result, PG_DIAG_MESSAGE_DETAIL);
    if (!detail.empty()) found += " (" + detail + ")";
    return {what, found, field(result, PG_DIAG_MESSAGE_HINT), !passes(state)};
}

std::string quote_literal(const std::string& text) {
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? std::string("''") : std::string(1, c);
    return quoted + "'";
}

std::string quote_identifier(const std::string& text) {
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + "\"";
}

Connector::Connector(Settings settings) : settings_(std::move(settings)), event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Connector::~Connector() {
    if (thread_.joinable()) thread_.join();
    close(event_);
}

void Connector::start() {
    thread_ = std::thread([this] {
        outcome_ = attempt(settings_);
        const std::uint64_t one = 1;
        (void)!write(event_, &one, sizeof one);
    });
}

Outcome Connector::take() {
    thread_.join();
    std::uint64_t count = 0;
    (void)!read(event_, &count, sizeof count);
    Outcome outcome = std::move(*outcome_);
    outcome_.reset();
    return outcome;
}

}  // namespace fatwal
