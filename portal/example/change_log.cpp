// change_log DATABASE CONTROL ACCOUNT...: keeps a log of everything that is changed of the
// accounts, in the tables change_log and change_log_cursor of portal/example/schema.sql. Runs
// until it is stopped; killed, it resumes where it stood.
//
// A worker with effects of its own in a database: how far it has come is kept in the transaction of
// the effects, so each change is logged once whatever is killed; it is acknowledged after that, so
// Postgres keeps what is not logged yet. DATABASE is a libpq connection string, CONTROL the
// endpoint of fatwald's control socket. Where that asks for keys, FATWAL_KEY_FILE names the file
// with ours, of the credential `change-log`, and FATWAL_SERVER_KEY is fatwald's public key.
#include <libpq-fe.h>
#include <poll.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "fatwal/wire/text_sink.h"

namespace {

using namespace fatwal;
using namespace std::chrono_literals;

constexpr std::size_t kBytesAtATime = 16 * 1024 * 1024;

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

class Database {
public:
    explicit Database(const char* conninfo) : connection_(PQconnectdb(conninfo), PQfinish) {
        if (PQstatus(connection_.get()) != CONNECTION_OK)
            throw std::runtime_error(PQerrorMessage(connection_.get()));
    }

    // The first column of the first row; empty when there is none.
    std::string run(const char* sql, const std::vector<std::string>& parameters = {}) {
        std::vector<const char*> values;
        values.reserve(parameters.size());
        for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
        const std::unique_ptr<PGresult, decltype(&PQclear)> result(
            PQexecParams(connection_.get(), sql, static_cast<int>(values.size()), nullptr,
                         values.data(), nullptr, nullptr, 0),
            PQclear);
        const auto status = PQresultStatus(result.get());
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
            throw std::runtime_error(PQerrorMessage(connection_.get()));
        return PQntuples(result.get()) == 0 ? std::string() : PQgetvalue(result.get(), 0, 0);
    }

private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

class AccountLog {
public:
    AccountLog(Database& database, zmq::context_t& context, const char* control,
               std::string account)
        : database_(database),
          account_(std::move(account)),
          subscription_(context, options(control)) {}

    [[nodiscard]] int fd() const { return subscription_.fd(); }

    void work() {
        while (const auto event = subscription_.next(0ms)) {
            database_.run("BEGIN");
            if (const auto* transaction = std::get_if<client::Transaction>(&*event))
                log(*transaction);
            if (const auto* resync = std::get_if<client::Resync>(&*event)) log_gap(resync->reason);
            const auto cursor = subscription_.cursor();
            if (cursor)
                database_.run(
                    "INSERT INTO change_log_cursor VALUES ($1, $2) ON CONFLICT (account_id) DO "
                    "UPDATE SET cursor = excluded.cursor",
                    {account_, cursor->to_text()});
            database_.run("COMMIT");
            if (cursor) subscription_.ack(*cursor);
        }
    }

private:
    client::SubscriptionOptions options(const char* control) {
        client::SubscriptionOptions out;
        out.control = {control};
        out.account = wire::AccountKey::from_text(account_);
        out.name = "change-log";
        out.durable = true;
        out.cursor = client::Cursor::from_text(database_.run(
            "SELECT cursor FROM change_log_cursor WHERE account_id = $1", {account_}));
        const char* key_file = std::getenv("FATWAL_KEY_FILE");
        const char* server_key = std::getenv("FATWAL_SERVER_KEY");
        if (key_file != nullptr && server_key != nullptr)
            out.keys = client::Keys::from_file(key_file, server_key);
        out.snapshots = false;
        out.resync_after = 0s;
        return out;
    }

    void log(const client::Transaction& transaction) {
        std::string changes;
        transaction.for_each([&](const client::Change& change) {
            // The Resync event before it has made the row that says so.
            if (change.op == wire::Op::Resync || change.op == wire::Op::Truncate) return;
            if (change.schema == nullptr) return;
            // It was deleted, and logged, when it was marked so.
            const bool marked =
                change.old_row && change.old_row->state("deleted_at") == client::Row::State::Value;
            if (change.op == wire::Op::Delete && marked) return;
            std::string table;
            wire::render_string(change.schema->table(), wire::sink_to(table));
            changes += (changes.empty() ? "[" : ",") + std::string("{\"ordinal\":") +
                       std::to_string(change.position.ordinal) + ",\"op\":\"" +
                       wire::op_name(change.op) + "\",\"table_name\":" + table +
                       ",\"old\":" + json(change.old_row) + ",\"new\":" + json(change.new_row) +
                       '}';
            if (changes.size() >= kBytesAtATime) write(transaction, changes);
        });
        write(transaction, changes);
    }

    void write(const client::Transaction& transaction, std::string& changes) {
        if (changes.empty()) return;
        // Once, also when somebody sets the cursor back.
        database_.run(
            "INSERT INTO change_log (account_id, lsn, ordinal, op, table_name, old, new) "
            "SELECT $1, $2::pg_lsn, c.ordinal, c.op, c.table_name, c.old, c.new FROM "
            "jsonb_to_recordset($3::jsonb) "
            "AS c (ordinal bigint, op text, table_name text, old jsonb, new jsonb) ORDER BY "
            "c.ordinal "
            "ON CONFLICT (account_id, lsn, ordinal) DO NOTHING",
            {account_, wire::lsn_text(transaction.commit_lsn), changes + ']'});
        changes.clear();
    }

    // A log says where it has a hole.
    void log_gap(const std::string& reason) {
        std::fprintf(stderr, "account %s: changes are missing: %s\n", account_.c_str(),
                     reason.c_str());
        database_.run(
            "INSERT INTO change_log (account_id, lsn, ordinal, op, table_name, new) "
            "VALUES ($1, pg_current_wal_insert_lsn(), 0, 'missing', '', "
            "jsonb_build_object('reason', $2::text))",
            {account_, reason});
    }

    static std::string json(const std::optional<client::Row>& row) {
        return row ? row->json(wire::Numbers::Json).value_or("null") : "null";
    }

    Database& database_;
    std::string account_;
    client::Subscription subscription_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: change_log DATABASE CONTROL ACCOUNT...\n");
        return 2;
    }
    std::signal(SIGTERM, stop);
    std::signal(SIGINT, stop);
    try {
        Database database(argv[1]);
        zmq::context_t context;
        std::vector<std::unique_ptr<AccountLog>> logs;
        std::vector<pollfd> wait;
        for (int i = 3; i < argc; ++i) {
            logs.push_back(std::make_unique<AccountLog>(database, context, argv[2], argv[i]));
            wait.push_back({logs.back()->fd(), POLLIN, 0});
        }
        while (stopped == 0) {
            for (const auto& log : logs) log->work();
            (void)poll(wait.data(), wait.size(), 200);
        }
    } catch (const std::exception& error) {
        // The next run resumes where this one stood.
        std::fprintf(stderr, "change_log: %s", error.what());
        return 1;
    }
    return 0;
}
