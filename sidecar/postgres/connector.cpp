#include "sidecar/postgres/connector.h"

#include <cstdlib>
#include <utility>

#include <spdlog/spdlog.h>

#include "sidecar/postgres/patience.h"
#include "sidecar/postgres/preflight.h"
#include "sidecar/postgres/published_tables.h"
#include "sidecar/postgres/subscriber_row.h"

namespace fatwal::sidecar {

namespace {

// A check of the server, and what begins the stream.
constexpr std::chrono::seconds kConnectStatementDeadline{30};
// For the server to hear of a cancel.
constexpr std::chrono::milliseconds kConnectCancelDeadline{500};
// Between two lines that say who keeps a slot from being made.
constexpr std::chrono::seconds kReportInterval{5};
// A planned take-over takes a moment: the other one leaves the slot, and this one finds it free.
constexpr std::chrono::milliseconds kSlotPoll{200};
constexpr char kConfigurationLimitExceeded[] = "53400";

std::string first_row(const Result& result, int column) {
    return PQgetvalue(result.get(), 0, column);
}

Failure with_slot_hint(Failure failure) {
    if (failure.state == kConfigurationLimitExceeded && failure.hint.empty())
        failure.hint =
            "Drop a slot that nobody needs, or ALTER SYSTEM SET max_replication_slots = …; then "
            "restart the server.";
    return failure;
}

// Who has what the walsender waits for, in words; empty when it waits for nobody.
std::string whom_it_waits_for(PGconn* ordinary, int walsender) {
    const Result pids = run(ordinary, "cannot read whom the slot waits for",
                            "SELECT string_agg(pid::text, ', ' ORDER BY pid) FILTER (WHERE pid <> "
                            "0), bool_or(pid = 0), (SELECT string_agg(quote_literal(gid), ', ') "
                            "FROM pg_prepared_xacts WHERE database = current_database()) FROM "
                            "unnest(pg_blocking_pids($1::int)) AS pid",
                            {std::to_string(walsender)});
    std::string text = first_row(pids, 0);
    if (!text.empty()) text = "transactions of pids " + text;
    if (first_row(pids, 1) == "t")
        text += (text.empty() ? "" : " and ") + ("prepared transactions " + first_row(pids, 2));
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
                               quote_identifier(connection, settings.slot) + " LOGICAL " +
                               settings.plugin_name() + options;
    const std::string what = "cannot create slot \"" + settings.slot + "\"";
    if (PQsendQuery(connection, create.c_str()) == 0) throw failure_of(what, connection);
    for (;;) {
        const auto next_report = std::chrono::steady_clock::now() + kReportInterval;
        const Answer answer = next_result(connection, next_report);
        if (answer.waited == WaitEnd::Stopped) {
            // The server would go on waiting for the others, with nobody to make it for.
            cancel(connection, kConnectCancelDeadline);
            throw Failure{what, "fatwald was stopped.", {}, false};
        }
        if (answer.waited == WaitEnd::TimedOut) {
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
            throw with_slot_hint(failure_of(what, connection, result.get()));
    }
}

// Waits while another fatwald streams the slot. It asks on a connection that is open already, so it
// has the slot a moment after the other has left it; a new attempt would cost several connections
// each time.
void wait_for_slot(PGconn* ordinary, const Settings& settings, std::atomic<bool>& waits) {
    bool said = false;
    for (;;) {
        const Result slot =
            run(ordinary, "cannot read who has the slot",
                "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1 AND active",
                {settings.slot});
        if (PQntuples(slot.get()) == 0) return;
        waits = true;
        if (!std::exchange(said, true))
            spdlog::info(
                "slot {} is active for PID {}: another fatwald streams it. Waits to take over",
                settings.slot, first_row(slot, 0));
        if (wait_for(-1, 0, std::chrono::steady_clock::now() + kSlotPoll) == WaitEnd::Stopped)
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
    return Timelines::parse(first_row(file, 1));
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

// One statement, so one snapshot of the database. The position is read after the snapshot was
// taken: what commits at it or later is not seen.
void read_credentials(PGconn* connection, StreamStart& start) {
    const Result rows = run(
        connection, "cannot read the credentials",
        "SELECT 'read', pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text, NULL "
        "UNION ALL SELECT 'key', name, public_key, CASE WHEN expires_at IS NULL OR expires_at = "
        "'infinity' THEN NULL WHEN expires_at = '-infinity' THEN '0' ELSE (extract(epoch FROM "
        "expires_at - '2000-01-01 00:00:00+00')::numeric * 1000000)::int8::text END FROM "
        "fatwal.credential "
        "UNION ALL SELECT 'grant', name, scope, account FROM fatwal.credential_grant");
    CredentialTables& tables = start.credentials;
    for (int i = 0; i < PQntuples(rows.get()); ++i) {
        const auto field = [&](int column) {
            return std::string(PQgetvalue(rows.get(), i, column));
        };
        const std::string kind = field(0);
        if (kind == "read") {
            tables.sees = wire::TransactionSnapshot::from_text(field(1)).value();
            tables.read_at = lsn_of(field(2));
        } else if (kind == "key") {
            CredentialKey key{field(1), field(2), {}};
            if (PQgetisnull(rows.get(), i, 3) == 0)
                key.expires_at = std::strtoll(PQgetvalue(rows.get(), i, 3), nullptr, 10);
            tables.keys.push_back(std::move(key));
        } else if (auto grant = credential_grant(field(1), field(2), field(3))) {
            tables.grants.push_back(std::move(*grant));
        } else {
            start.skipped.push_back("the grant of " + field(1) + " to " + field(2) + ' ' +
                                    field(3) + " is not understood");
        }
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
    start.begin = lsn_of(first_row(slot, 0));
    start.server_end = lsn_of(first_row(slot, 1));
    read_subscribers(ordinary, settings, start);
    const Result recorded =
        run(ordinary, "cannot read the slot's record",
            "SELECT confirmed FROM fatwal.slot WHERE slot = $1", {settings.slot});
    if (PQntuples(recorded.get()) == 1) start.recorded = lsn_of(first_row(recorded, 0));
    if (settings.plugin != Plugin::Pgoutput) return;
    // What is altered from here on is found by comparison. No standby is waited for.
    (void)run(ordinary, "cannot prepare the connection", "SET synchronous_commit = local");
    note_publications(ordinary, settings);
}

StreamStart attempt(const Settings& settings, Notices& notices, bool streamed_before, int stop,
                    std::atomic<bool>& waits_for_another) {
    const Patience patience(stop, kConnectStatementDeadline);
    const Connection ordinary =
        connect(settings, ConnectAs::Ordinary, "cannot connect to Postgres");
    const Server server = preflight(ordinary.get(), settings, streamed_before);
    StreamStart start;
    start.sender_timeout = server.sender_timeout;
    if (server.slot_exists) wait_for_slot(ordinary.get(), settings, waits_for_another);
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
    if (settings.keyed()) read_credentials(ordinary.get(), start);
    return start;
}

}  // namespace

Connector::Connector(const Settings& settings, Notices& notices)
    : settings_(settings), notices_(notices) {}

void Connector::start(bool streamed_before) {
    thread_.start("connector", [this, streamed_before](const service::Stop& stop) {
        try {
            outcome_ = attempt(settings_, notices_, streamed_before, stop.fd(), waits_for_another_);
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
    waits_for_another_ = false;
    return outcome;
}

}  // namespace fatwal::sidecar
