#include "portal/process/flow_writer.h"

#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "fatwal/wire/publication_names.h"
#include "portal/process/by_halves.h"
#include "portal/process/connection.h"

namespace fatwal::process {
namespace {

using access::Instant;

// Well within the time in which a gateway waits for the row of its flow.
constexpr Connection::Limits kWriterLimits{std::chrono::seconds(5), std::chrono::seconds(2)};

constexpr const char* kColumns =
    "id, account_id, policy_id, client_id, gateway_id, resource_id, token_id, membership_id, "
    "client_remote_ip, gateway_remote_ip, expires_at, created_at";

struct Parent {
    const char* column;
    const char* table;
};
constexpr std::array<Parent, 7> kParents = {{{"account_id", "accounts"},
                                             {"policy_id", "policies"},
                                             {"client_id", "clients"},
                                             {"gateway_id", "gateways"},
                                             {"resource_id", "resources"},
                                             {"token_id", "tokens"},
                                             {"membership_id", "actor_group_memberships"}}};

// A flow by a group that is everyone's has no membership.
std::string names_none(const char* column) {
    return column == std::string_view("membership_id") ? "s.membership_id IS NULL OR " : "";
}

// Writes the rows whose parents are there and not locked. The lock that a foreign key takes is
// taken here first, as the key itself would wait for it.
std::string insert_statement() {
    std::string with;
    std::string where;
    for (const auto& [column, table] : kParents) {
        const std::string free = std::string("free_") + table;
        with += (with.empty() ? "WITH " : ", ") + free + " AS MATERIALIZED (SELECT id FROM " +
                table + " WHERE id IN (SELECT " + column +
                " FROM pg_temp.staged) FOR KEY SHARE SKIP LOCKED)";
        where += (where.empty() ? " WHERE (" : " AND (") + names_none(column) + "s." + column +
                 " IN (SELECT id FROM " + free + "))";
    }
    return with + " INSERT INTO flows (" + kColumns + ") SELECT " + kColumns +
           " FROM pg_temp.staged s" + where + " ON CONFLICT (id) DO NOTHING";
}

// With which numbers of transactions a server continues: after a crash, and on a server that was
// promoted or restored, the number of one that was lost is given to another. A crash and a recovery
// show by the time since which statistics are gathered, as they discard them.
constexpr const char* kNumbering =
    "concat_ws(' ', (SELECT system_identifier FROM pg_control_system()), "
    "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), (SELECT stats_reset FROM "
    "pg_stat_bgwriter))";

// Of the staged rows that are not written: whether all parents are there all the same.
std::string missing_statement() {
    std::string all;
    for (const auto& [column, table] : kParents)
        all += (all.empty() ? "(" : " AND (") + names_none(column) + "EXISTS (SELECT FROM " +
               table + " WHERE id = s." + column + "))";
    return "SELECT s.id, " + all +
           " FROM pg_temp.staged s WHERE NOT EXISTS (SELECT FROM flows f WHERE f.id = s.id)";
}

std::string text_of(Instant time) {
    if (time == Instant::max()) return "infinity";
    if (time == Instant::min()) return "-infinity";
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const std::time_t since = seconds.time_since_epoch().count();
    std::tm parts{};
    gmtime_r(&since, &parts);
    std::array<char, 64> text{};
    const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
    const auto micros = static_cast<long>((time - seconds).count());
    std::snprintf(text.data() + length, text.size() - length, ".%06ld+00", micros);
    return text.data();
}

std::string field(const std::optional<std::string>& text) { return text.value_or("\\N"); }

// Ids, addresses and times: nothing in them that COPY would want escaped.
std::string copy_line(const portal::Flows& row) {
    std::string out;
    for (const auto* id : {&row.id, &row.account_id, &row.policy_id, &row.client_id,
                           &row.gateway_id, &row.resource_id, &row.token_id})
        out += id->to_text() + '\t';
    out += (row.membership_id ? row.membership_id->to_text() : "\\N") + '\t';
    out += field(row.client_remote_ip) + '\t' + field(row.gateway_remote_ip) + '\t';
    out += field(row.expires_at ? std::optional(text_of(*row.expires_at)) : std::nullopt) + '\t' +
           text_of(row.created_at) + '\n';
    return out;
}

std::string array_of(std::span<const access::Uuid> ids) {
    std::vector<std::string> texts;
    texts.reserve(ids.size());
    for (const auto& id : ids) texts.push_back(id.to_text());
    return wire::text_array(texts);
}

}  // namespace

class FlowWriter::Session {
public:
    Session(const std::string& database, Progress& progress)
        : connection_(database, kWriterLimits), progress_(progress) {
        end_doubt();
        connection_.run(std::string("CREATE TEMP TABLE staged ON COMMIT DELETE ROWS AS SELECT ") +
                        kColumns + " FROM flows WITH NO DATA");
    }

    [[nodiscard]] bool open() const { return connection_.open(); }

    [[nodiscard]] access::FlowBatch::Result write(const access::FlowBatch::Batch& batch) {
        access::FlowBatch::Result out;
        if (progress_.written.empty()) {
            insert(batch.rows, out);
        } else {
            std::vector<portal::Flows> rest;
            for (const auto& row : batch.rows)
                if (!progress_.written.contains(row.id)) rest.push_back(row);
            insert(rest, out);
        }
        remove(batch.deletions, out);
        progress_ = {};
        return out;
    }

private:
    using Rows = std::span<const portal::Flows>;

    void end_doubt() {
        if (progress_.in_doubt.empty()) return;
        if (was_committed()) progress_.written.merge(progress_.its_rows);
        progress_.forget_doubt();
    }

    [[nodiscard]] bool was_committed() {
        const auto numbering = connection_.run(std::string("SELECT ") + kNumbering);
        if (PQgetvalue(numbering.get(), 0, 0) != progress_.numbering) {
            // Nobody else writes these rows, and the transaction wrote all or none: one that is
            // there tells that it was committed. Of none there is, it was lost, or all were
            // deleted since; they are written again, as a row that is back can be deleted again,
            // but a flow without a row can not.
            const std::vector<access::Uuid> ids(progress_.its_rows.begin(),
                                                progress_.its_rows.end());
            const auto found = connection_.run(
                "SELECT EXISTS (SELECT FROM flows WHERE id = ANY ($1::uuid[]))", {array_of(ids)});
            return PQgetvalue(found.get(), 0, 0)[0] == 't';
        }
        const auto answer = connection_.run("SELECT coalesce(pg_xact_status($1::xid8), 'old')",
                                            {progress_.in_doubt});
        const std::string status = PQgetvalue(answer.get(), 0, 0);
        if (status == "in progress")
            throw SqlError("", "a transaction whose connection was lost has not ended yet");
        return status != "aborted";
    }

    // What a row brings with it is found by halves: each is written or refused as a whole.
    void insert(Rows rows, access::FlowBatch::Result& out) {
        if (rows.empty()) return;
        try {
            return insert_whole(rows, out);
        } catch (const SqlError& error) {
            if (!error.of_the_rows || !open()) throw;
            connection_.run("ROLLBACK");
            progress_.forget_doubt();
            if (rows.size() == 1) {
                spdlog::error("the row of a flow of account {} is refused: {}",
                              rows.front().account_id.to_text(), error.what());
                out.lost.push_back(rows.front().id);
                return;
            }
        }
        insert(rows.first(rows.size() / 2), out);
        insert(rows.subspan(rows.size() / 2), out);
    }

    void insert_whole(Rows rows, access::FlowBatch::Result& out) {
        static const std::string kInsert = insert_statement();
        static const std::string kMissing = missing_statement();
        connection_.run("BEGIN");
        connection_.run(std::string("COPY pg_temp.staged (") + kColumns + ") FROM STDIN");
        std::string lines;
        for (const auto& row : rows) lines += copy_line(row);
        connection_.copy(lines);
        connection_.run(kInsert);
        const auto missing = connection_.run(kMissing);
        const auto transaction =
            connection_.run(std::string("SELECT pg_current_xact_id(), ") + kNumbering);
        for (const auto& row : rows) progress_.its_rows.insert(row.id);
        for (int i = 0; i < PQntuples(missing.get()); ++i)
            if (const auto id = access::Uuid::from_text(PQgetvalue(missing.get(), i, 0)))
                progress_.its_rows.erase(*id);
        progress_.in_doubt = PQgetvalue(transaction.get(), 0, 0);
        progress_.numbering = PQgetvalue(transaction.get(), 0, 1);
        connection_.run("COMMIT");
        progress_.written.merge(progress_.its_rows);
        progress_.forget_doubt();
        for (int i = 0; i < PQntuples(missing.get()); ++i) {
            const auto id = access::Uuid::from_text(PQgetvalue(missing.get(), i, 0));
            if (!id) continue;
            if (PQgetvalue(missing.get(), i, 1)[0] == 't')
                out.blocked.insert(*id);
            else
                out.lost.push_back(*id);
        }
    }

    // Deletions are never lost: one that the database refuses (somebody's trigger, or a table that
    // refers to it) goes again with the next batch, as one that is locked does.
    void remove(std::span<const access::Uuid> ids, access::FlowBatch::Result& out) {
        by_halves(
            ids, [&](std::span<const access::Uuid> part) { remove_whole(part, out); },
            [&](const access::Uuid& id, const SqlError& error) {
                out.blocked.insert(id);
                if (refused_deletions_.insert(id).second)
                    spdlog::error(
                        "the row of the flow {} cannot be deleted, and is tried again: {}",
                        id.to_text(), error.what());
            });
    }

    void remove_whole(std::span<const access::Uuid> ids, access::FlowBatch::Result& out) {
        const std::string array = array_of(ids);
        connection_.run(
            "DELETE FROM flows WHERE id IN (SELECT id FROM flows WHERE id = ANY ($1::uuid[]) FOR "
            "UPDATE SKIP LOCKED)",
            {array});
        const auto left =
            connection_.run("SELECT id FROM flows WHERE id = ANY ($1::uuid[])", {array});
        for (int i = 0; i < PQntuples(left.get()); ++i)
            if (const auto id = access::Uuid::from_text(PQgetvalue(left.get(), i, 0)))
                out.blocked.insert(*id);
    }

    Connection connection_;
    Progress& progress_;
    access::Ids refused_deletions_;  // that the log has named
};

FlowWriter::FlowWriter(std::string database, Done done)
    : database_(std::move(database)), done_(std::move(done)) {
    thread_.start("flow-writer", [this] { loop(); });
}

FlowWriter::~FlowWriter() { thread_.stop(); }

void FlowWriter::write(access::FlowBatch::Batch batch) {
    thread_.change([&] { batches_.push_back(std::move(batch)); });
}

void FlowWriter::loop() {
    while (thread_.wait_until(BackgroundThread::kNever,
                              [this] { return under_way_ || !batches_.empty(); })) {
        if (!under_way_)
            thread_.with_lock([this] {
                under_way_ = std::move(batches_.front());
                batches_.pop_front();
            });
        if (!written_) written_ = write_next();
        done_(*written_);
        written_.reset();
        under_way_.reset();
    }
}

FlowWriter::Written FlowWriter::write_next() {
    Written written;
    written.number = under_way_->number;
    try {
        if (!session_ || !session_->open())
            session_ = std::make_unique<Session>(database_, progress_);
        written.result = session_->write(*under_way_);
    } catch (const std::exception& error) {
        spdlog::error("cannot write flows: {}", error.what());
        written.failed = true;
        session_.reset();
    }
    return written;
}

}  // namespace fatwal::process
