#include "flow_writer.h"

#include <libpq-fe.h>
#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <stdexcept>

namespace fatwal::worker {
namespace {

using channel::Time;

constexpr const char* kColumns =
    "id, account_id, policy_id, client_id, gateway_id, resource_id, token_id, membership_id, client_remote_ip, gateway_remote_ip, "
    "expires_at, "
    "created_at";
constexpr const char* kParents =
    " FROM pg_temp.staged s WHERE EXISTS (SELECT FROM accounts WHERE id = s.account_id) AND EXISTS (SELECT FROM policies WHERE id = "
    "s.policy_id)"
    " AND EXISTS (SELECT FROM clients WHERE id = s.client_id) AND EXISTS (SELECT FROM gateways WHERE id = s.gateway_id)"
    " AND EXISTS (SELECT FROM resources WHERE id = s.resource_id) AND EXISTS (SELECT FROM tokens WHERE id = s.token_id)"
    " AND EXISTS (SELECT FROM actor_group_memberships WHERE id = s.membership_id)";
constexpr std::size_t kMostSeen = 100'000;  // waiting; beyond it they are dropped

struct CloseConnection {
    void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct ClearResult {
    void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

struct SqlError : std::runtime_error {
    SqlError(std::string_view state, const std::string& message)
        : std::runtime_error(message), of_the_rows(state.starts_with("22") || state.starts_with("23")) {}
    bool of_the_rows;  // another attempt would find the same
};

std::string text_of(Time time) {
    if (time == Time::max()) return "infinity";
    if (time == Time::min()) return "-infinity";
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
    for (const auto* id :
         {&row.id, &row.account_id, &row.policy_id, &row.client_id, &row.gateway_id, &row.resource_id, &row.token_id, &row.membership_id})
        out += id->to_text() + '\t';
    out += field(row.client_remote_ip) + '\t' + field(row.gateway_remote_ip) + '\t';
    out += field(row.expires_at ? std::optional(text_of(*row.expires_at)) : std::nullopt) + '\t' + text_of(row.created_at) + '\n';
    return out;
}

std::string array_of(const std::vector<channel::Uuid>& ids) {
    std::string out = "{";
    for (const auto& id : ids) out += (out.size() > 1 ? "," : "") + id.to_text();
    return out + '}';
}

}  // namespace

class FlowWriter::Session {
public:
    explicit Session(const std::string& database) {
        const std::array<const char*, 4> names = {"dbname", "fallback_application_name", "connect_timeout", nullptr};
        const std::array<const char*, 4> values = {database.c_str(), "fatwal-channel", "5", nullptr};
        connection_.reset(PQconnectdbParams(names.data(), values.data(), 1));
        if (PQstatus(connection_.get()) != CONNECTION_OK) throw SqlError("08001", PQerrorMessage(connection_.get()));
        run("SET datestyle = 'ISO'");
        run("CREATE TEMP TABLE staged (LIKE flows) ON COMMIT DELETE ROWS");
    }

    [[nodiscard]] bool open() const { return PQstatus(connection_.get()) == CONNECTION_OK; }

    [[nodiscard]] std::vector<channel::Uuid> write(const channel::FlowBatch::Batch& batch) {
        try {
            return write_all(batch);
        } catch (const SqlError& error) {
            if (!error.of_the_rows || !open()) throw;
            run("ROLLBACK");
            return write_each(batch);
        }
    }

    void seen(const JoinRequest& device) {
        const auto address = device.remote_ip ? std::optional(device.remote_ip->to_text()) : std::nullopt;
        const auto number = [&](double channel::Location::*part) {
            return device.location ? std::optional(std::to_string((*device.location).*part)) : std::nullopt;
        };
        const std::string table = device.role == Role::Client ? "clients" : "gateways";
        run("UPDATE " + table +
                " SET last_used_token_id = $2, last_seen_version = $3, last_seen_at = now(), last_seen_remote_ip = $4,"
                " last_seen_remote_ip_location_region = $5, last_seen_remote_ip_location_city = $6, last_seen_remote_ip_location_lat = $7,"
                " last_seen_remote_ip_location_lon = $8 WHERE id = $1",
            {device.device_id.to_text(), device.token.token_id.to_text(), device.version, address, device.region, device.city,
             number(&channel::Location::lat), number(&channel::Location::lon)});
        run("UPDATE tokens SET last_seen_at = now(), last_seen_remote_ip = $2, last_seen_user_agent = $3 WHERE id = $1",
            {device.token.token_id.to_text(), address, device.user_agent});
    }

private:
    using Parameters = std::vector<std::optional<std::string>>;

    Result run(const std::string& sql, const Parameters& parameters = {}) {
        std::vector<const char*> values;
        values.reserve(parameters.size());
        for (const auto& parameter : parameters) values.push_back(parameter ? parameter->c_str() : nullptr);
        return checked(
            PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(), nullptr, nullptr, 0));
    }

    Result checked(PGresult* raw) {
        Result result(raw);
        const auto status = PQresultStatus(raw);
        if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN) return result;
        const char* state = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
        throw SqlError(state == nullptr ? "08006" : state, PQerrorMessage(connection_.get()));
    }

    void stage(const std::vector<portal::Flows>& rows) {
        run(std::string("COPY pg_temp.staged (") + kColumns + ") FROM STDIN");
        std::string lines;
        for (const auto& row : rows) lines += copy_line(row);
        if (PQputCopyData(connection_.get(), lines.data(), static_cast<int>(lines.size())) != 1 ||
            PQputCopyEnd(connection_.get(), nullptr) != 1)
            throw SqlError("08006", PQerrorMessage(connection_.get()));
        checked(PQgetResult(connection_.get()));
        while (Result rest{PQgetResult(connection_.get())}) {
        }
    }

    void remove(const std::vector<channel::Uuid>& ids) {
        if (!ids.empty()) run("DELETE FROM flows WHERE id = ANY ($1::uuid[])", {array_of(ids)});
    }

    std::vector<channel::Uuid> write_all(const channel::FlowBatch::Batch& batch) {
        run("BEGIN");
        std::vector<channel::Uuid> lost;
        if (!batch.rows.empty()) {
            stage(batch.rows);
            run(std::string("INSERT INTO flows (") + kColumns + ") SELECT " + kColumns + kParents + " ON CONFLICT (id) DO NOTHING");
            const auto missing = run("SELECT s.id FROM pg_temp.staged s WHERE NOT EXISTS (SELECT FROM flows f WHERE f.id = s.id)");
            for (int i = 0; i < PQntuples(missing.get()); ++i)
                if (const auto id = channel::Uuid::from_text(PQgetvalue(missing.get(), i, 0))) lost.push_back(*id);
        }
        remove(batch.deletions);
        run("COMMIT");
        return lost;
    }

    std::vector<channel::Uuid> write_each(const channel::FlowBatch::Batch& batch) {
        run("BEGIN");
        std::vector<channel::Uuid> lost;
        for (const auto& row : batch.rows) {
            run("SAVEPOINT row");
            try {
                run(std::string("INSERT INTO flows (") + kColumns +
                        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
                    {row.id.to_text(), row.account_id.to_text(), row.policy_id.to_text(), row.client_id.to_text(), row.gateway_id.to_text(),
                     row.resource_id.to_text(), row.token_id.to_text(), row.membership_id.to_text(), row.client_remote_ip,
                     row.gateway_remote_ip, row.expires_at ? std::optional(text_of(*row.expires_at)) : std::nullopt,
                     text_of(row.created_at)});
            } catch (const SqlError& error) {
                if (!error.of_the_rows || !open()) throw;
                run("ROLLBACK TO SAVEPOINT row");
                lost.push_back(row.id);
            }
        }
        remove(batch.deletions);
        run("COMMIT");
        return lost;
    }

    std::unique_ptr<PGconn, CloseConnection> connection_;
};

FlowWriter::FlowWriter(std::string database, Done done) : database_(std::move(database)), done_(std::move(done)) {
    thread_ = std::thread([this] { loop(); });
}

FlowWriter::~FlowWriter() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void FlowWriter::write(channel::FlowBatch::Batch batch) {
    {
        const std::lock_guard lock(mutex_);
        // Ahead of what is only of use after a restart.
        jobs_.emplace_front(std::move(batch));
    }
    wake_.notify_one();
}

void FlowWriter::seen(JoinRequest device) {
    {
        const std::lock_guard lock(mutex_);
        if (jobs_.size() >= kMostSeen) return;
        jobs_.emplace_back(std::move(device));
    }
    wake_.notify_one();
}

void FlowWriter::loop() {
    std::unique_ptr<Session> session;
    for (;;) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
            if (jobs_.empty()) return;
            job = std::move(jobs_.front());
            jobs_.pop_front();
        }
        const auto* batch = std::get_if<channel::FlowBatch::Batch>(&job);
        Written written;
        try {
            if (!session || !session->open()) session = std::make_unique<Session>(database_);
            if (batch != nullptr)
                written.lost = session->write(*batch);
            else
                session->seen(std::get<JoinRequest>(job));
        } catch (const SqlError& error) {
            spdlog::error("cannot write {}: {}", batch != nullptr ? "flows" : "last_seen", error.what());
            written.failed = true;
            session.reset();
        }
        if (batch == nullptr) continue;
        written.number = batch->number;
        done_(std::move(written));
    }
}

}  // namespace fatwal::worker
