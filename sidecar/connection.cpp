#include "sidecar/connection.h"

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
#include "sidecar/patience.h"
#include "sidecar/preflight.h"
#include "sidecar/sqlstate.h"
#include "sidecar/targets.h"

namespace fatwal::sidecar {

namespace {

constexpr char kStartingOrStopping[] = "57P03";
// A check of the server, and what begins the stream.
constexpr std::chrono::seconds kStatementDeadline{30};
// For the server to hear of a cancel.
constexpr std::chrono::milliseconds kCancelDeadline{500};
// Between two looks at who keeps a slot from being made, or has it.
constexpr std::chrono::seconds kReportInterval{5};
constexpr std::chrono::milliseconds kSlotPoll{200};
// The server notices by then that nobody is there any more, and so do we. They yield to what the
// connection string says.
constexpr std::array<std::pair<const char*, const char*>, 6> kDefaults = {
    {{"fallback_application_name", "fatwald"},
     {"keepalives", "1"},
     {"keepalives_idle", "10"},
     {"keepalives_interval", "5"},
     {"keepalives_count", "3"},
     {"tcp_user_timeout", "25000"}}};
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

Failure with_slot_hint(Failure failure, PGresult* result) {
    if (field(result, PG_DIAG_SQLSTATE) == "53400" && failure.hint.empty())
        failure.hint =
            "Drop a slot that nobody needs, or ALTER SYSTEM SET max_replication_slots = …; then "
            "restart the server.";
    return failure;
}

std::string value(const Result& result, int column) { return PQgetvalue(result.get(), 0, column); }

// Who has what the walsender waits for, in words; empty when it waits for nobody.
std::string whom_it_waits_for(PGconn* ordinary, int walsender) {
    const Result pids = run(ordinary, "cannot read whom the slot waits for",
                            "SELECT string_agg(pid::text, ', ' ORDER BY pid) FILTER (WHERE pid <> "
                            "0), bool_or(pid = 0), (SELECT string_agg(quote_literal(gid), ', ') "
                            "FROM pg_prepared_xacts WHERE database = current_database()) FROM "
                            "unnest(pg_blocking_pids($1::int)) AS pid",
                            {std::to_string(walsender)});
    std::string text = value(pids, 0);
    if (!text.empty()) text = "transactions of pids " + text;
    if (value(pids, 1) == "t")
        text += (text.empty() ? "" : " and ") + ("prepared transactions " + value(pids, 2));
    return text;
}

// A slot begins where every transaction of then has ended, however long that takes, so this has no
// deadline: it says whom it waits for. Whoever stops fatwald ends it.
void create_slot(PGconn* connection, PGconn* ordinary, const Settings& settings) {
    // A slot that follows a failover, where the server has such.
    const char* options = PQserverVersion(connection) >= 170000
                              ? " (SNAPSHOT 'nothing', FAILOVER true)"
                              : " NOEXPORT_SNAPSHOT";
    const std::string create = "CREATE_REPLICATION_SLOT " +
                               quote_identifier(connection, settings.slot) + " LOGICAL fatwal" +
                               options;
    const std::string what = "cannot create slot \"" + settings.slot + "\"";
    if (PQsendQuery(connection, create.c_str()) == 0) throw failure_of(what, connection);
    for (;;) {
        const auto next_report = std::chrono::steady_clock::now() + kReportInterval;
        const Answer answer = next_result(connection, next_report);
        if (answer.waited == Waited::Stopped) {
            // The server would go on waiting for the others, with nobody to make it for.
            cancel(connection, kCancelDeadline);
            throw Failure{what, "fatwald was stopped.", {}, false};
        }
        if (answer.waited == Waited::TimedOut) {
            const std::string whom = whom_it_waits_for(ordinary, PQbackendPID(connection));
            if (!whom.empty())
                spdlog::warn(
                    "slot {} is being made: it waits for {}, which began before it. End them, or "
                    "wait",
                    settings.slot, whom);
            continue;
        }
        const Result result(answer.result);
        if (!result) return;
        if (PQresultStatus(result.get()) != PGRES_TUPLES_OK)
            throw with_slot_hint(failure_of(what, connection, result.get()), result.get());
    }
}

// Waits while another fatwald streams the slot. It asks on a connection that is open already, so it
// has the slot a moment after the other has left it; a new attempt would cost several connections
// each time.
void wait_for_slot(PGconn* ordinary, const Settings& settings) {
    bool said = false;
    for (;;) {
        const Result slot =
            run(ordinary, "cannot read who has the slot",
                "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1 AND active",
                {settings.slot});
        if (PQntuples(slot.get()) == 0) return;
        if (!std::exchange(said, true))
            spdlog::info(
                "slot {} is active for PID {}: another fatwald streams it. Waits to take over",
                settings.slot, value(slot, 0));
        if (wait_for(-1, 0, std::chrono::steady_clock::now() + kSlotPoll) == Waited::Stopped)
            throw Failure{"waits for the slot no longer", "fatwald was stopped.", {}, false};
    }
}

// The server's other timelines, and how far the positions of each hold on this one. The file has a
// line for each ancestor: its number, where it was left, why.
std::vector<Timelines::Ancestor> read_timelines(PGconn* connection, std::uint32_t timeline) {
    // The first has no ancestors, and no file.
    if (timeline <= 1) return {};
    const Result file = run(connection, "cannot read the timeline's history",
                            "TIMELINE_HISTORY " + std::to_string(timeline));
    return Timelines::parse(value(file, 1));
}

// A row that fatwald cannot have written (another program, a restored table, an older fatwald) must
// not stop the stream of all: it is skipped, with a line for the log that says how to remove it.
void read_subscribers(PGconn* connection, const Settings& settings, StreamStart& start) {
    const Result rows = run(connection, "cannot read the durable subscribers",
                            "SELECT account_kind, account, subscriber, acknowledged FROM "
                            "fatwal.subscriber WHERE slot = $1",
                            {settings.slot});
    for (int i = 0; i < PQntuples(rows.get()); ++i) {
        const auto field = [&](int column) {
            return std::string(PQgetvalue(rows.get(), i, column),
                               static_cast<std::size_t>(PQgetlength(rows.get(), i, column)));
        };
        auto subscriber = durable_subscriber(field(0), field(1), field(2), field(3));
        if (auto* read = std::get_if<DurableSubscriber>(&subscriber)) {
            start.subscribers.push_back(std::move(*read));
            continue;
        }
        const std::string remove = "DELETE FROM fatwal.subscriber WHERE slot = " +
                                   quote_literal(connection, settings.slot) +
                                   " AND account_kind = " + field(0) +
                                   " AND account = " + quote_literal(connection, field(1)) +
                                   " AND subscriber = " + quote_literal(connection, field(2)) + ";";
        start.skipped.push_back(std::get<std::string>(subscriber) + "; hint: " + remove);
    }
}

// What is known of the stream only when the slot is ours: nobody else can move it any more.
void read_position(PGconn* ordinary, const Settings& settings, StreamStart& start) {
    const Result slot = run(ordinary, "cannot read the slot's position",
                            "SELECT confirmed_flush_lsn, pg_current_wal_insert_lsn() FROM "
                            "pg_replication_slots WHERE slot_name = $1",
                            {settings.slot});
    if (PQntuples(slot.get()) != 1)
        throw Failure{"slot \"" + settings.slot + "\" has gone", {}, {}, false};
    start.begin = lsn_of(value(slot, 0));
    start.server_end = lsn_of(value(slot, 1));
    read_subscribers(ordinary, settings, start);
    const Result recorded =
        run(ordinary, "cannot read the slot's record",
            "SELECT confirmed FROM fatwal.slot WHERE slot = $1", {settings.slot});
    if (PQntuples(recorded.get()) == 1) start.recorded = lsn_of(value(recorded, 0));
}

StreamStart attempt(const Settings& settings, Notices& notices, bool streamed_before, int stop) {
    const Patience patience(stop, kStatementDeadline);
    const Connection ordinary =
        connect(settings, ConnectAs::Ordinary, "cannot connect to Postgres");
    const Server server = preflight(ordinary.get(), settings, streamed_before);
    StreamStart start;
    start.sender_timeout = server.sender_timeout;
    if (server.slot_exists) wait_for_slot(ordinary.get(), settings);
    start.connection =
        connect(settings, ConnectAs::Replication, "cannot open a replication connection");
    PGconn* connection = start.connection.get();
    notices.attach(connection);
    const Result system = run(connection, "cannot identify the server", "IDENTIFY_SYSTEM");
    wire::History history;
    history.system_identifier = std::strtoull(PQgetvalue(system.get(), 0, 0), nullptr, 10);
    history.timeline =
        static_cast<std::uint32_t>(std::strtoul(PQgetvalue(system.get(), 0, 1), nullptr, 10));
    start.timelines = {history, read_timelines(connection, history.timeline)};
    if (!server.slot_exists) {
        create_slot(connection, ordinary.get(), settings);
        start.slot_created = true;
    }
    (void)run(connection, "cannot start streaming slot \"" + settings.slot + "\"",
              start_replication(connection, settings, settings.slot, 0));
    read_position(ordinary.get(), settings, start);
    return start;
}

}  // namespace

namespace {

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
        const Waited waited = wait_for(PQsocket(connection), events, deadline);
        attempted.stopped = waited == Waited::Stopped;
        if (waited == Waited::TimedOut)
            attempted.why =
                "it gave no answer for " +
                std::to_string(
                    std::chrono::duration_cast<std::chrono::seconds>(targets.timeout).count()) +
                " s";
        if (waited != Waited::Ready) break;
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
        if (answer.waited != Waited::Ready) {
            cancel(connection, kCancelDeadline);
            const auto seconds =
                std::chrono::duration_cast<std::chrono::seconds>(Patience::deadline()).count();
            throw Failure{what,
                          answer.waited == Waited::Stopped
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

std::string start_replication(PGconn* connection, const Settings& settings, const std::string& slot,
                              wire::Lsn from) {
    return "START_REPLICATION SLOT " + quote_identifier(connection, slot) + " LOGICAL " +
           wire::lsn_text(from) + " (protocol_version '1', publication_names " +
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

std::variant<DurableSubscriber, std::string> durable_subscriber(const std::string& kind,
                                                                const std::string& account,
                                                                const std::string& name,
                                                                const std::string& acknowledged) {
    const auto skip = [&](const std::string& why) {
        return "a row of fatwal.subscriber is skipped: " + why;
    };
    if (account.size() > wire::kMaxAccountBytes) return skip("its account is too long");
    DurableSubscriber read;
    if (kind != "0") read.account = wire::AccountKey::from_text(account);
    // What is written is read back as the same key, so a row of another kind is not ours.
    if (std::to_string(static_cast<int>(read.account.kind)) != kind ||
        read.account.to_text() != account)
        return skip("its account is not a key of its kind");
    if (const auto refusal = wire::refusal_of_account(static_cast<std::uint8_t>(read.account.kind),
                                                      read.account.view().bytes))
        return skip(refusal->message);
    if (const auto refusal = wire::refusal_of_name(name)) return skip(refusal->message);
    read.name = name;
    read.acknowledged = lsn_of(acknowledged);
    return read;
}

Connector::Connector(const Settings& settings, Notices& notices)
    : settings_(settings), notices_(notices) {}

void Connector::start(bool streamed_before) {
    thread_.start("connector", [this, streamed_before](const service::Stop& stop) {
        try {
            outcome_ = attempt(settings_, notices_, streamed_before, stop.fd());
        } catch (Failure& failure) {
            outcome_ = std::move(failure);
        } catch (const std::exception& error) {
            outcome_ = Failure{"cannot connect to Postgres", error.what(), {}, false};
        }
        event_.set();
    });
}

Outcome Connector::outcome() {
    thread_.join();
    event_.clear();
    Outcome outcome = std::move(*outcome_);
    outcome_.reset();
    return outcome;
}

}  // namespace fatwal::sidecar
