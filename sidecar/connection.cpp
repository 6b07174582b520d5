#include "connection.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>

#include "fatwal/wire/text_sink.h"
#include "preflight.h"

namespace fatwal {

namespace {

constexpr std::chrono::seconds kConnectTimeout{10};
constexpr char kStartingOrStopping[] = "57P03";

// Whether the server's error tells of a state that passes: it starts, stops, is full, or the slot
// is in another's use or was made by it.
bool passes(const std::string& state) {
    return state.empty() || state.starts_with("08") || state.starts_with("57P") ||
           state == "53300" || state == "55006" || state == "42710";
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

Connection open(const Settings& settings, ConnectAs as, int stop, const char* what) {
    Connection connection = connect(settings, as, stop);
    if (PQstatus(connection.get()) == CONNECTION_OK) return connection;
    Failure failure = failure_of(what, connection.get());
    failure.fatal = false;
    throw failure;
}

void create_slot(PGconn* connection, const Settings& settings) {
    // A slot that follows a failover, where the server has such.
    const char* options = PQserverVersion(connection) >= 170000
                              ? " (SNAPSHOT 'nothing', FAILOVER true)"
                              : " NOEXPORT_SNAPSHOT";
    const std::string create = "CREATE_REPLICATION_SLOT " +
                               quote_identifier(connection, settings.slot) + " LOGICAL fatwal" +
                               options;
    const Result result(PQexec(connection, create.c_str()));
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK)
        throw with_slot_hint(
            failure_of("cannot create slot \"" + settings.slot + "\"", connection, result.get()),
            result.get());
}

// A row that fatwald cannot have written (another program, a restored table, an older fatwald) must
// not stop the stream of all: it is skipped, with a line for the log that says how to remove it.
void read_subscribers(PGconn* connection, const Settings& settings, Streaming& streaming) {
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
            streaming.subscribers.push_back(std::move(*read));
            continue;
        }
        const std::string remove = "DELETE FROM fatwal.subscriber WHERE slot = " +
                                   quote_literal(connection, settings.slot) +
                                   " AND account_kind = " + field(0) +
                                   " AND account = " + quote_literal(connection, field(1)) +
                                   " AND subscriber = " + quote_literal(connection, field(2)) + ";";
        streaming.skipped.push_back(std::get<std::string>(subscriber) + "; hint: " + remove);
    }
}

// What is known of the stream only when the slot is ours: nobody else can move it any more.
void read_position(PGconn* ordinary, const Settings& settings, Streaming& streaming) {
    const Result slot = run(ordinary, "cannot read the slot's position",
                            "SELECT confirmed_flush_lsn, pg_current_wal_insert_lsn() FROM "
                            "pg_replication_slots WHERE slot_name = $1",
                            {settings.slot});
    if (PQntuples(slot.get()) != 1)
        throw Failure{"slot \"" + settings.slot + "\" has gone", {}, {}, false};
    streaming.begin = lsn_of(value(slot, 0));
    streaming.server_end = lsn_of(value(slot, 1));
    read_subscribers(ordinary, settings, streaming);
    const Result recorded =
        run(ordinary, "cannot read the slot's record",
            "SELECT confirmed FROM fatwal.slot WHERE slot = $1", {settings.slot});
    if (PQntuples(recorded.get()) == 1) streaming.recorded = lsn_of(value(recorded, 0));
}

Streaming attempt(const Settings& settings, Notices& notices, bool streamed_before, int stop) {
    const Connection ordinary =
        open(settings, ConnectAs::Ordinary, stop, "cannot connect to Postgres");
    const Server server = preflight(ordinary.get(), settings, streamed_before);
    Streaming streaming;
    streaming.sender_timeout = server.sender_timeout;
    streaming.connection =
        open(settings, ConnectAs::Replication, stop, "cannot open a replication connection");
    PGconn* connection = streaming.connection.get();
    notices.attach(connection);
    const Result system = run(connection, "cannot identify the server", "IDENTIFY_SYSTEM");
    streaming.history.system_identifier =
        std::strtoull(PQgetvalue(system.get(), 0, 0), nullptr, 10);
    streaming.history.timeline =
        static_cast<std::uint32_t>(std::strtoul(PQgetvalue(system.get(), 0, 1), nullptr, 10));
    // Types that travel as text are written the same whatever the role's settings are.
    for (const char* setting : kTextSettings)
        (void)run(connection, "cannot prepare the replication connection", setting);
    if (!server.slot_exists) {
        create_slot(connection, settings);
        streaming.slot_created = true;
    }
    const std::string start = start_replication(connection, settings, settings.slot, 0);
    const Result result(PQexec(connection, start.c_str()));
    if (PQresultStatus(result.get()) != PGRES_COPY_BOTH)
        throw failure_of("cannot start streaming slot \"" + settings.slot + "\"", connection,
                         result.get());
    if (PQsetnonblocking(connection, 1) != 0)
        throw failure_of("cannot set the connection to non-blocking", connection);
    read_position(ordinary.get(), settings, streaming);
    return streaming;
}

}  // namespace

Connection connect(const Settings& settings, ConnectAs as, int stop) {
    const bool replication = as == ConnectAs::Replication;
    // Names and keys are UTF-8, whatever the role's or the environment's setting is.
    const std::array<const char*, 5> keywords = {"fallback_application_name", "dbname",
                                                 "client_encoding",
                                                 replication ? "replication" : nullptr, nullptr};
    const std::array<const char*, 5> values = {"fatwald", settings.database.c_str(), "UTF8",
                                               "database", nullptr};
    Connection connection(PQconnectStartParams(keywords.data(), values.data(), 1));
    if (!connection) throw std::bad_alloc();
    // libpq would print them, whole and with their line breaks. What matters of them comes by the
    // stream's connection (Notices).
    PQsetNoticeReceiver(
        connection.get(), [](void*, const PGresult*) {}, nullptr);
    // The SQLSTATE of a refusal is to be had in no other way.
    PQsetErrorVerbosity(connection.get(), PQERRORS_VERBOSE);
    const auto deadline = std::chrono::steady_clock::now() + kConnectTimeout;
    short events = POLLOUT;
    while (PQstatus(connection.get()) != CONNECTION_BAD) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                              deadline - std::chrono::steady_clock::now())
                              .count();
        std::array<pollfd, 2> wait = {pollfd{PQsocket(connection.get()), events, 0},
                                      pollfd{stop, POLLIN, 0}};
        if (left <= 0 || poll(wait.data(), wait.size(), static_cast<int>(left)) < 0 ||
            wait[1].revents != 0)
            break;
        if (wait[0].revents == 0) continue;
        const PostgresPollingStatusType status = PQconnectPoll(connection.get());
        if (status == PGRES_POLLING_OK || status == PGRES_POLLING_FAILED) break;
        events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    }
    PQsetErrorVerbosity(connection.get(), PQERRORS_DEFAULT);
    return connection;
}

bool refused_for_now(PGconn* connection) {
    return std::strstr(PQerrorMessage(connection), kStartingOrStopping) != nullptr;
}

Result run(PGconn* connection, const std::string& what, const std::string& sql,
           const std::vector<std::string>& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
    // Replication connections have the simple protocol only.
    Result result(parameters.empty()
                      ? PQexec(connection, sql.c_str())
                      : PQexecParams(connection, sql.c_str(), static_cast<int>(values.size()),
                                     nullptr, values.data(), nullptr, nullptr, 0));
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_COPY_OUT)
        throw failure_of(what, connection, result.get());
    return result;
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
    for (char& c : found)
        if (c == '\n' || c == '\t') c = ' ';
    return {what, found, field(result, PG_DIAG_MESSAGE_HINT), !passes(state), state};
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
    : settings_(settings),
      notices_(notices),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0 || stop_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Connector::~Connector() {
    eventfd_write(stop_, 1);
    if (thread_.joinable()) thread_.join();
    close(event_);
    close(stop_);
}

void Connector::start(bool streamed_before) {
    thread_ = std::thread([this, streamed_before] {
        try {
            outcome_ = attempt(settings_, notices_, streamed_before, stop_);
        } catch (Failure& failure) {
            outcome_ = std::move(failure);
        } catch (const std::exception& error) {
            outcome_ = Failure{"cannot connect to Postgres", error.what(), {}, false};
        }
        eventfd_write(event_, 1);
    });
}

Outcome Connector::take() {
    thread_.join();
    eventfd_t count = 0;
    eventfd_read(event_, &count);
    Outcome outcome = std::move(*outcome_);
    outcome_.reset();
    return outcome;
}

}  // namespace fatwal
