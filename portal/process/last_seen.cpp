#include "portal/process/last_seen.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "fatwal/wire/json.h"
#include "fatwal/wire/publication_names.h"
#include "fatwal/wire/text_sink.h"
#include "portal/process/by_halves.h"
#include "portal/process/connection.h"

namespace fatwal::process {
namespace {

constexpr std::size_t kMostDevicesWaiting = 100'000;
constexpr std::size_t kMostDevicesAtOnce = 1000;  // devices of one transaction
constexpr std::chrono::seconds kEvery{1};
constexpr Connection::Limits kLastSeenLimits{std::chrono::seconds(5), std::chrono::seconds(1)};

// $1: an array of the devices' facts, numbered by n. Each gives the numbers that it has written.
constexpr char kFacts[] =
    "jsonb_to_recordset($1::jsonb) AS s(n int, id uuid, kind text, token uuid, version text, "
    "user_agent text, ip inet, region text, city text, lat float8, lon float8)";

// The foreign key to the token locks it, and fails where it was deleted. So the token is locked
// here first: a device whose token somebody else has locked (it may be about to be deleted) is left
// for later, and one whose token is gone is written without it.
std::string update_devices(const std::string& table, const std::string& kind) {
    return "UPDATE " + table +
           " d SET last_used_token_id = t.id, last_seen_version = s.version, last_seen_at = "
           "now(), last_seen_remote_ip = s.ip, last_seen_remote_ip_location_region = s.region, "
           "last_seen_remote_ip_location_city = s.city, last_seen_remote_ip_location_lat = s.lat, "
           "last_seen_remote_ip_location_lon = s.lon FROM " +
           kFacts + " LEFT JOIN tokens t ON t.id = s.token WHERE s.kind = '" + kind +
           "' AND d.id = s.id AND (t.id IS NULL OR t.id IN (SELECT id FROM tokens WHERE id IN "
           "(SELECT (e ->> 'token')::uuid FROM jsonb_array_elements($1::jsonb) e) FOR KEY SHARE "
           "SKIP LOCKED)) AND d.id IN (SELECT id FROM " +
           table +
           " WHERE id IN (SELECT (e ->> 'id')::uuid FROM jsonb_array_elements($1::jsonb) e) FOR "
           "NO KEY UPDATE SKIP LOCKED) RETURNING s.n";
}

// A gateway's token is its site's, which all gateways of the site may use.
std::string update_tokens() {
    return std::string(
               "UPDATE tokens d SET last_seen_at = now(), last_seen_remote_ip = s.ip, "
               "last_seen_user_agent = s.user_agent, device_id = CASE WHEN s.kind = 'gateway' THEN "
               "d.device_id ELSE coalesce(d.device_id, s.id) END FROM ") +
           kFacts +
           " WHERE d.id = s.token AND d.id IN (SELECT id FROM tokens WHERE id IN (SELECT (e ->> "
           "'token')::uuid FROM jsonb_array_elements($1::jsonb) e) FOR NO KEY UPDATE SKIP LOCKED) "
           "RETURNING s.n";
}

std::string tokens_that_are_gone() {
    return std::string("SELECT s.n FROM ") + kFacts +
           " WHERE NOT EXISTS (SELECT FROM tokens WHERE id = s.token)";
}

// Devices know the end of a flow themselves; a minute is for clocks that differ. $1: rows that
// could not be deleted.
constexpr char kEnded[] =
    "SELECT id FROM flows WHERE expires_at < now() - interval '1 minute' AND id <> ALL "
    "($1::uuid[]) LIMIT 5000 FOR UPDATE SKIP LOCKED";
constexpr int kMostPruned = 5000;
constexpr std::size_t kMostRefused = 1000;  // rows that are left out; beyond it all are tried again
constexpr std::chrono::seconds kPruneEvery{30};

// Written by hand: the destructor of a Json allocates, and what it throws ends the process.
struct Facts {
    std::size_t number = 0;
    const JoinRequest* device = nullptr;
};

// A column of kFacts and what it has, as part of an object.
void add(std::string& object, std::string_view name, std::string_view value) {
    object.append(",\"").append(name).append("\":");
    wire::render_string(value, wire::sink_to(object));
}

std::string text_of(const Facts& facts) {
    const JoinRequest& device = *facts.device;
    std::string out = "{\"n\":" + std::to_string(facts.number);
    add(out, "id", device.device_id.to_text());
    add(out, "kind", name_of(device.role));
    add(out, "token", device.token.token_id.to_text());
    add(out, "version", device.version);
    add(out, "user_agent", device.user_agent);
    if (device.remote_ip) add(out, "ip", device.remote_ip->to_text());
    if (device.region) add(out, "region", *device.region);
    if (device.city) add(out, "city", *device.city);
    if (device.location) {
        add(out, "lat", fmt::format("{}", device.location->lat));
        add(out, "lon", fmt::format("{}", device.location->lon));
    }
    return out + '}';
}

std::string text_of(std::span<const Facts> all) {
    std::string out = "[";
    for (const Facts& facts : all) out += (out.size() > 1 ? "," : "") + text_of(facts);
    return out + ']';
}

}  // namespace

class LastSeen::Session {
public:
    explicit Session(const std::string& database) : connection_(database, kLastSeenLimits) {}

    [[nodiscard]] bool open() const { return connection_.open(); }

    // Those of the devices that were locked.
    [[nodiscard]] Devices write(const Devices& devices) {
        std::vector<Facts> facts;
        facts.reserve(devices.size());
        for (const auto& [key, device] : devices) facts.push_back({facts.size(), &device});
        std::set<std::size_t> devices_done;
        std::set<std::size_t> tokens_done;
        run(update_devices("clients", "client"), facts, devices_done);
        run(update_devices("gateways", "gateway"), facts, devices_done);
        run(update_tokens(), facts, tokens_done);
        run(tokens_that_are_gone(), facts, tokens_done);
        Devices locked;
        std::size_t number = 0;
        for (const auto& [key, device] : devices) {
            // Of relays there is a token alone, and a gateway shares its token with others.
            const bool done = (device.role == Role::Relay || devices_done.contains(number)) &&
                              (device.role == Role::Gateway || tokens_done.contains(number));
            ++number;
            if (!done && ++tries_[key] < kMostTries)
                locked.emplace(key, device);
            else
                tries_.erase(key);
        }
        return locked;
    }

    // Of a fleet one process does it at a time. False when there are more.
    [[nodiscard]] bool prune() {
        connection_.run("BEGIN");
        const auto ours =
            connection_.run("SELECT pg_try_advisory_xact_lock(hashtext('fatwal-channel prune'))");
        bool all = true;
        if (PQgetvalue(ours.get(), 0, 0)[0] == 't') {
            const auto ended = connection_.run(kEnded, {wire::text_array(refused_flows_)});
            std::vector<std::string> ids;
            ids.reserve(static_cast<std::size_t>(PQntuples(ended.get())));
            for (int i = 0; i < PQntuples(ended.get()); ++i)
                ids.emplace_back(PQgetvalue(ended.get(), i, 0));
            remove_flows(ids);
            all = PQntuples(ended.get()) < kMostPruned;
        }
        connection_.run("COMMIT");
        return all;
    }

private:
    // Adds the numbers that the statement gives; those of facts that the database refuses, too: to
    // try them again would be in vain.
    void run(const std::string& statement, std::span<const Facts> facts,
             std::set<std::size_t>& done) {
        by_halves(
            facts,
            [&](std::span<const Facts> part) {
                const auto rows = connection_.run(statement, {text_of(part)});
                for (int i = 0; i < PQntuples(rows.get()); ++i)
                    done.insert(std::stoul(PQgetvalue(rows.get(), i, 0)));
            },
            [&](const Facts& one, const SqlError& error) {
                spdlog::error("cannot write where the {} {} was last seen: {}",
                              name_of(one.device->role), one.device->device_id.to_text(),
                              error.what());
                done.insert(one.number);
            });
    }

    // Within a transaction, of which an error ends a part alone.
    void remove_flows(std::span<const std::string> ids) {
        by_halves(
            ids,
            [&](std::span<const std::string> part) {
                connection_.run("SAVEPOINT part");
                try {
                    connection_.run("DELETE FROM flows WHERE id = ANY ($1::uuid[])",
                                    {wire::text_array({part.begin(), part.end()})});
                } catch (const SqlError& error) {
                    if (error.of_the_rows) connection_.run("ROLLBACK TO SAVEPOINT part");
                    throw;
                }
                connection_.run("RELEASE SAVEPOINT part");
            },
            [&](const std::string& id, const SqlError& error) {
                spdlog::error("the row of the flow {}, which has ended, cannot be deleted: {}", id,
                              error.what());
                if (refused_flows_.size() >= kMostRefused) refused_flows_.clear();
                refused_flows_.push_back(id);
            });
    }

    // A row that is gone looks like one that is locked.
    static constexpr int kMostTries = 60;

    Connection connection_;
    std::map<Key, int> tries_;
    std::vector<std::string> refused_flows_;  // the ids of rows that the database does not delete
};

LastSeen::LastSeen(std::string database) : database_(std::move(database)) {
    thread_.start("last-seen", [this] { loop(); });
}

LastSeen::~LastSeen() { thread_.stop(); }

void LastSeen::seen(JoinRequest device) {
    const Key key{device.role, device.token.account_id, device.device_id};
    // Nobody is woken: what has come is written once a second.
    thread_.with_lock([&] {
        if (waiting_.size() >= kMostDevicesWaiting && !waiting_.contains(key)) return;
        waiting_.insert_or_assign(key, std::move(device));
    });
}

// Unless it has come again meanwhile.
void LastSeen::give_back(Devices devices) {
    thread_.with_lock([&] { waiting_.merge(devices); });
}

// In turns, as those that are locked stay.
LastSeen::Devices LastSeen::next_devices(std::size_t most) {
    Devices out;
    thread_.with_lock([&] {
        while (!waiting_.empty() && out.size() < most) {
            auto next = waiting_.upper_bound(turn_);
            if (next == waiting_.end()) next = waiting_.begin();
            turn_ = next->first;
            out.insert(waiting_.extract(next));
        }
    });
    return out;
}

void LastSeen::loop() {
    std::unique_ptr<Session> session;
    auto prune_at = std::chrono::steady_clock::now();
    for (bool stopping = false; !stopping;) {
        stopping = !thread_.sleep_until(std::chrono::steady_clock::now() + kEvery);
        // The last time all at once.
        Devices devices = next_devices(stopping ? kMostDevicesWaiting : kMostDevicesAtOnce);
        const auto now = std::chrono::steady_clock::now();
        const bool prunes = !stopping && now >= prune_at;
        if (devices.empty() && !prunes) continue;
        // Each by itself: what the one cannot do must not hold up the other.
        const auto attempt = [&](const char* purpose, const auto& work) {
            try {
                if (!session || !session->open()) session = std::make_unique<Session>(database_);
                work();
            } catch (const std::exception& error) {
                spdlog::error("cannot {}: {}", purpose, error.what());
                session.reset();
            }
        };
        if (!devices.empty())
            attempt("write where devices were last seen",
                    [&] { devices = session->write(devices); });
        give_back(std::move(devices));
        if (!prunes) continue;
        prune_at = now + kPruneEvery;
        attempt("delete flows that have ended", [&] {
            if (!session->prune()) prune_at = now;
        });
    }
}

}  // namespace fatwal::process
