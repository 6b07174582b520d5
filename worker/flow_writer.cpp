#include "flow_writer.h"

#include <spdlog/spdlog.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>

#include "connection.h"

namespace fatwal::worker {
namespace {

using channel::Time;

constexpr const char* kColumns =
    "id, account_id, policy_id, client_id, gateway_id, resource_id, token_id, membership_id, "
    "client_remote_ip, gateway_remote_ip, "
    "expires_at, "
    "created_at";
constexpr const char* kParents =
    " FROM pg_temp.staged s WHERE EXISTS (SELECT FROM accounts WHERE id = s.account_id) AND EXISTS "
    "(SELECT FROM policies WHERE id = "
    "s.policy_id)"
    " AND EXISTS (SELECT FROM clients WHERE id = s.client_id) AND EXISTS (SELECT FROM gateways "
    "WHERE id = s.gateway_id)"
    " AND EXISTS (SELECT FROM resources WHERE id = s.resource_id) AND EXISTS (SELECT FROM tokens "
    "WHERE id = s.token_id)"
    " AND EXISTS (SELECT FROM actor_group_memberships WHERE id = s.membership_id)";
constexpr std::size_t kMostSeen = 100'000;  // waiting; beyond it they are dropped

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
    for (const auto* id : {&row.id, &row.account_id, &row.policy_id, &row.client_id,
                           &row.gateway_id, &row.resource_id, &row.token_id, &row.membership_id})
        out += id->to_text() + '\t';
    out += field(row.client_remote_ip) + '\t' + field(row.gateway_remote_ip) + '\t';
    out += field(row.expires_at ? std::optional(text_of(*row.expires_at)) : std::nullopt) + '\t' +
           text_of(row.created_at) + '\n';
    return out;
}

std::string array_of(const std::vector<channel::Uuid>& ids) {
    std::vector<std::string> texts;
    texts.reserve(ids.size());
    for (const auto& id : ids) texts.push_back(id.to_text());
    return plain_array(texts);
}

}  // namespace

class FlowWriter::Session {
public:
    explicit Session(const std::string& database) : connection_(database) {
        connection_.run("SET datestyle = 'ISO'");
        connection_.run("CREATE TEMP TABLE staged (LIKE flows) ON COMMIT DELETE ROWS");
    }

    [[nodiscard]] bool open() const { return connection_.open(); }

    [[nodiscard]] std::vector<channel::Uuid> write(const channel::FlowBatch::Batch& batch) {
        try {
            return write_all(batch);
        } catch (const SqlError& error) {
            if (!error.of_the_rows || !open()) throw;
            connection_.run("ROLLBACK");
            return write_each(batch);
        }
    }

    void seen(const JoinRequest& device) {
        const auto address =
            device.remote_ip ? std::optional(device.remote_ip->to_text()) : std::nullopt;
        const auto number = [&](double channel::Location::*part) {
            if (!device.location) return std::optional<std::string>();
            // std::to_string takes the decimal sign of the process's locale.
            std::array<char, 32> text;
            const double value = (*device.location).*part;
            const auto written = std::to_chars(text.data(), text.data() + text.size(), value);
            return std::optional(std::string(text.data(), written.ptr));
        };
        const std::string table = device.role == Role::Client ? "clients" : "gateways";
        connection_.run(
            "UPDATE " + table +
                " SET last_used_token_id = $2, last_seen_version = $3, last_seen_at = now(), "
                "last_seen_remote_ip = $4,"
                " last_seen_remote_ip_location_region = $5, last_seen_remote_ip_location_city = "
                "$6, last_seen_remote_ip_location_lat = $7,"
                " last_seen_remote_ip_location_lon = $8 WHERE id = $1",
            {device.device_id.to_text(), device.token.token_id.to_text(), device.version, address,
             device.region, device.city, number(&channel::Location::lat),
             number(&channel::Location::lon)});
        connection_.run(
            "UPDATE tokens SET last_seen_at = now(), last_seen_remote_ip = $2, "
            "last_seen_user_agent = $3 WHERE id = $1",
            {device.token.token_id.to_text(), address, device.user_agent});
    }

private:
    void stage(const std::vector<portal::Flows>& rows) {
        connection_.run(std::string("COPY pg_temp.staged (") + kColumns + ") FROM STDIN");
        std::string lines;
        for (const auto& row : rows) lines += copy_line(row);
        connection_.copy(lines);
    }

    void remove(const std::vector<channel::Uuid>& ids) {
        if (!ids.empty())
            connection_.run("DELETE FROM flows WHERE id = ANY ($1::uuid[])", {array_of(ids)});
    }

    std::vector<channel::Uuid> write_all(const channel::FlowBatch::Batch& batch) {
        connection_.run("BEGIN");
        std::vector<channel::Uuid> lost;
        if (!batch.rows.empty()) {
            stage(batch.rows);
            connection_.run(std::string("INSERT INTO flows (") + kColumns + ") SELECT " + kColumns +
                            kParents + " ON CONFLICT (id) DO NOTHING");
            const auto missing = connection_.run(
                "SELECT s.id FROM pg_temp.staged s WHERE NOT EXISTS (SELECT FROM flows f WHERE "
                "f.id = s.id)");
            for (int i = 0; i < PQntuples(missing.get()); ++i)
                if (const auto id = channel::Uuid::from_text(PQgetvalue(missing.get(), i, 0)))
                    lost.push_back(*id);
        }
        remove(batch.deletions);
        connection_.run("COMMIT");
        return lost;
    }

    std::vector<channel::Uuid> write_each(const channel::FlowBatch::Batch& batch) {
        connection_.run("BEGIN");
        std::vector<channel::Uuid> lost;
        for (const auto& row : batch.rows) {
            connection_.run("SAVEPOINT row");
            try {
                connection_.run(
                    std::string("INSERT INTO flows (") + kColumns +
                        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT "
                        "(id) DO NOTHING",
                    {row.id.to_text(), row.account_id.to_text(), row.policy_id.to_text(),
                     row.client_id.to_text(), row.gateway_id.to_text(), row.resource_id.to_text(),
                     row.token_id.to_text(), row.membership_id.to_text(), row.client_remote_ip,
                     row.gateway_remote_ip,
                     row.expires_at ? std::optional(text_of(*row.expires_at)) : std::nullopt,
                     text_of(row.created_at)});
            } catch (const SqlError& error) {
                if (!error.of_the_rows || !open()) throw;
                connection_.run("ROLLBACK TO SAVEPOINT row");
                lost.push_back(row.id);
            }
        }
        remove(batch.deletions);
        connection_.run("COMMIT");
        return lost;
    }

    Connection connection_;
};

FlowWriter::FlowWriter(std::string database, Done done)
    : database_(std::move(database)), done_(std::move(done)) {
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
            spdlog::error("cannot write {}: {}", batch != nullptr ? "flows" : "last_seen",
                          error.what());
            written.failed = true;
            session.reset();
        }
        if (batch == nullptr) continue;
        written.number = batch->number;
        done_(std::move(written));
    }
}

}  // namespace fatwal::worker
