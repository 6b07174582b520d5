#include "sidecar/postgres/connection.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <system_error>

#include <spdlog/spdlog.h>

#include "fatwal/wire/text_sink.h"
#include "sidecar/postgres/notices.h"
#include "sidecar/postgres/patience.h"
#include "sidecar/postgres/sqlstate.h"
#include "sidecar/postgres/targets.h"

namespace fatwal::sidecar {

namespace {

constexpr char kStartingOrStopping[] = "57P03";
// For the server to hear of a cancel.
constexpr std::chrono::milliseconds kCancelDeadline{500};
// The server notices by then that nobody is there any more, and so do we. They yield to what the
// connection string says.
constexpr std::array<std::pair<const char*, const char*>, 6> kDefaults = {
    {{"fallback_application_name", "fatwald"},
     {"keepalives", "1"},
     {"keepalives_idle", "10"},
     {"keepalives_interval", "5"},
     {"keepalives_count", "3"},
     {"tcp_user_timeout", "25000"}}};
constexpr char kPublicationHint[] =
    "The publication was made after the slot: SELECT pg_drop_replication_slot('…'); and start "
    "fatwald again, or move the slot past it: fatwal slot skip.";
constexpr char kPoolerHint[] =
    "This looks like a connection pooler (pgbouncer, …): it cannot pass a replication slot on. "
    "Give "
    "fatwald the address of Postgres itself.";

// The server's context of an error that the output plugin raised, or what it called.
bool is_of_decoding(const std::string& context) {
    return context.find("output plugin \"") != std::string::npos;
}

std::string field(PGresult* result, int code) {
    const char* text = result == nullptr ? nullptr : PQresultErrorField(result, code);
    return text == nullptr ? "" : text;
}

std::string trimmed(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

// One server's answer to an attempt to connect: the connection is open, or its error says why not,
// or `why` does.
struct ConnectAttempt {
    Connection connection;
    std::string why;
    bool stopped = false;
};

ConnectAttempt connect_to(const Targets& targets, const Target& target, bool replication) {
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    const auto add = [&](const char* keyword, const char* value) {
        keywords.push_back(keyword);
        values.push_back(value);
    };
    // The last one of a name counts, and an empty one is none.
    for (const auto& [keyword, value] : kDefaults) add(keyword, value);
    for (const auto& [keyword, value] : targets.parameters) add(keyword.c_str(), value.c_str());
    add("host", target.host.c_str());
    add("hostaddr", target.hostaddr.c_str());
    add("port", target.port.c_str());
    add("replication", replication ? "database" : "");
    add(nullptr, nullptr);
    ConnectAttempt attempted{Connection(PQconnectStartParams(keywords.data(), values.data(), 0)),
                             {}};
    PGconn* connection = attempted.connection.get();
    if (connection == nullptr) throw std::bad_alloc();
    // libpq would print them, whole and with their line breaks. What matters of them comes by the
    // stream's connection (Notices).
    PQsetNoticeReceiver(
        connection, [](void*, const PGresult*) {}, nullptr);
    // libpq gives the SQLSTATE of a refusal in no other way.
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    const auto deadline = std::chrono::steady_clock::now() + targets.timeout;
    short events = POLLOUT;
    while (PQstatus(connection) != CONNECTION_BAD) {
        const WaitEnd waited = wait_for(PQsocket(connection), events, deadline);
        attempted.stopped = waited == WaitEnd::Stopped;
        if (waited == WaitEnd::TimedOut)
            attempted.why =
                "it gave no answer for " +
                std::to_string(
                    std::chrono::duration_cast<std::chrono::seconds>(targets.timeout).count()) +
                " s";
        if (waited != WaitEnd::Ready) break;
        const PostgresPollingStatusType status = PQconnectPoll(connection);
        if (status == PGRES_POLLING_OK || status == PGRES_POLLING_FAILED) break;
        events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    }
    PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
    if (attempted.why.empty() && PQstatus(connection) != CONNECTION_OK)
        attempted.why = trimmed(PQerrorMessage(connection));
    return attempted;
}

// In one statement: a set_config() for each.
void set_session(PGconn* connection, const std::string& what) {
    std::string statement;
    for (const auto& [name, value] : kSessionSettings)
        statement += (statement.empty() ? "SELECT " : ", ") +
                     ("pg_catalog.set_config('" + std::string(name) + "', '" + value + "', false)");
    if (PQserverVersion(connection) >= 170000)
        statement += ", pg_catalog.set_config('transaction_timeout', '0', false)";
    (void)run(connection, what, statement);
}

bool comes_from_a_pooler(const std::string& error) {
    return error.find("startup parameter") != std::string::npos ||
           error.find("pgbouncer") != std::string::npos;
}

}  // namespace

Connection connect(const Settings& settings, ConnectAs as, const std::string& what) {
    const Targets targets = targets_of(settings.database);
    ConnectFailure failure;
    failure.message = what;
    bool any_passes = false;
    for (const Target& named : targets.each) {
        for (const Target& target : addresses_of(named)) {
            ConnectAttempt attempted = connect_to(targets, target, as == ConnectAs::Replication);
            PGconn* connection = attempted.connection.get();
            if (attempted.why.empty() && PQstatus(connection) == CONNECTION_OK) {
                if (!failure.detail.empty())
                    spdlog::warn("{}: {}; connected to {}", what, failure.detail, target.text());
                if (PQsetnonblocking(connection, 1) != 0) throw failure_of(what, connection);
                set_session(connection, what);
                return std::move(attempted.connection);
            }
            if (attempted.stopped) throw ConnectFailure{what, "fatwald was stopped.", {}, false};
            if (!failure.detail.empty()) failure.detail += "; ";
            failure.detail += target.text() + ": " + one_line(attempted.why);
            if (const auto hint = tls_hint(attempted.why); !hint.empty()) failure.hint = hint;
            if (comes_from_a_pooler(attempted.why)) failure.hint = kPoolerHint;
            any_passes = any_passes || connecting_passes(attempted.why);
            failure.refused_for_now = failure.refused_for_now ||
                                      attempted.why.find(kStartingOrStopping) != std::string::npos;
        }
    }
    // One server that may come back is worth another attempt, whatever the others say.
    failure.fatal = !any_passes;
    throw failure;
}

bool still_runs(PGconn* connection) { return PQtransactionStatus(connection) == PQTRANS_ACTIVE; }

Result run(PGconn* connection, const std::string& what, const std::string& sql,
           const std::vector<std::string>& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
    // Replication connections have the simple protocol only.
    const int sent =
        parameters.empty()
            ? PQsendQuery(connection, sql.c_str())
            : PQsendQueryParams(connection, sql.c_str(), static_cast<int>(values.size()), nullptr,
                                values.data(), nullptr, nullptr, 0);
    if (sent == 0) throw failure_of(what, connection);
    const auto deadline = std::chrono::steady_clock::now() + Patience::deadline();
    Result last;
    for (;;) {
        const Answer answer = next_result(connection, deadline);
        if (answer.waited != WaitEnd::Ready) {
            cancel(connection, kCancelDeadline);
            const auto seconds =
                std::chrono::duration_cast<std::chrono::seconds>(Patience::deadline()).count();
            throw Failure{what,
                          answer.waited == WaitEnd::Stopped
                              ? "fatwald was stopped."
                              : "The server gave no answer for " + std::to_string(seconds) + " s.",
                          {},
                          false};
        }
        if (answer.result == nullptr) break;
        last.reset(answer.result);
        const ExecStatusType status = PQresultStatus(last.get());
        // The rest of a COPY is its reader's.
        if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) return last;
        if (status == PGRES_FATAL_ERROR) {
            // What is left of the statement's results is its end, which has come already or shows
            // that the connection is lost.
            Failure failure = failure_of(what, connection, last.get());
            while (Result(next_result(connection, deadline).result)) continue;
            throw failure;
        }
    }
    const ExecStatusType status = PQresultStatus(last.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        throw failure_of(what, connection, last.get());
    return last;
}

namespace {

// As pgoutput reads the names: SQL identifiers, which fold case unless they are quoted.
std::string identifier_list(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) {
        list += list.empty() ? "\"" : ",\"";
        for (const char c : name) list += c == '"' ? std::string("\"\"") : std::string(1, c);
        list += '"';
    }
    return list;
}

}  // namespace

std::string start_replication(PGconn* connection, const Settings& settings, const std::string& slot,
                              wire::Lsn from) {
    const std::string start = "START_REPLICATION SLOT " + quote_identifier(connection, slot) +
                              " LOGICAL " + wire::lsn_text(from);
    if (settings.plugin == Plugin::Pgoutput)
        return start + " (proto_version '1', publication_names " +
               quote_replication_literal(identifier_list(settings.publications)) +
               ", messages 'true')";
    return start + " (protocol_version '1', publication_names " +
           quote_replication_literal(settings.publication) + ", frame_bytes '" +
           std::to_string(settings.frame_bytes) + "', messages '" +
           (settings.messages ? "true" : "false") + "')";
}

Failure failure_of(const std::string& what, PGconn* connection, PGresult* result) {
    const std::string state = field(result, PG_DIAG_SQLSTATE);
    std::string found = field(result, PG_DIAG_MESSAGE_PRIMARY);
    if (found.empty()) found = trimmed(PQerrorMessage(connection));
    const std::string detail = field(result, PG_DIAG_MESSAGE_DETAIL);
    if (!detail.empty()) found += " (" + detail + ")";
    // It names the position in the log.
    const std::string context = field(result, PG_DIAG_CONTEXT);
    if (is_of_decoding(context)) found += "; " + context;
    for (char& c : found)
        if (c == '\n' || c == '\t') c = ' ';
    Failure failure{what, found, field(result, PG_DIAG_MESSAGE_HINT), !passes(state), state};
    failure.decoding = is_of_decoding(context);
    if (failure.decoding && is_of_a_missing_publication(state, found))
        failure.hint = kPublicationHint;
    return failure;
}

wire::Lsn lsn_of(const std::string& text) {
    unsigned high = 0;
    unsigned low = 0;
    if (std::sscanf(text.c_str(), "%X/%X", &high, &low) != 2) return 0;
    return wire::Lsn{high} << 32U | low;
}

namespace {

std::string quoted(PGconn* connection, const std::string& text,
                   char* (*quote)(PGconn*, const char*, std::size_t)) {
    const std::unique_ptr<char, void (*)(void*)> made(quote(connection, text.data(), text.size()),
                                                      PQfreemem);
    if (!made) throw failure_of("a value cannot be written in SQL", connection);
    return made.get();
}

}  // namespace

std::string quote_literal(PGconn* connection, const std::string& text) {
    return quoted(connection, text, PQescapeLiteral);
}

std::string quote_identifier(PGconn* connection, const std::string& text) {
    return quoted(connection, text, PQescapeIdentifier);
}

std::string quote_replication_literal(const std::string& text) {
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? std::string("''") : std::string(1, c);
    return quoted + "'";
}

}  // namespace fatwal::sidecar
