// walk_channels CONNINFO CONTROL SEED STEPS [EVERY [SAMPLE]]: the random walk of
// test/access/walk.sql, followed by a channel for every client and gateway of its account. After
// each step what the devices were pushed is held against test/access/oracle.sql: of the channels
// that the step concerned (of clients at most SAMPLE, default 20), of a client and a gateway in
// turn by the oracle's plain functions, and every EVERY steps (default 75) and at the end of all.
// Ends with exit status 1 at the first step with a difference.
//
// The clock is simulated: it moves on between two steps, often to the very instant at which some
// channel has a deadline or to the microsecond before. Flows that channels decide are written as a
// worker would write them; a row that the database does not take is lost.
#include <libpq-fe.h>

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "test/integration/walk_fleet.h"

namespace {

using namespace fatwal;
using namespace fatwal::access;
using namespace fatwal::access::walk;
using namespace std::chrono_literals;

using Text = std::optional<std::string>;

class Database {
public:
    explicit Database(const std::string& conninfo) : connection_(PQconnectdb(conninfo.c_str())) {
        if (PQstatus(connection_) != CONNECTION_OK)
            throw std::runtime_error(PQerrorMessage(connection_));
    }
    ~Database() { PQfinish(connection_); }
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    std::vector<std::vector<Text>> rows(const std::string& sql,
                                        const std::vector<Text>& parameters) {
        PGresult* result = send(sql, parameters);
        const bool good =
            PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK;
        std::vector<std::vector<Text>> out(static_cast<std::size_t>(PQntuples(result)));
        for (int row = 0; row < PQntuples(result); ++row)
            for (int column = 0; column < PQnfields(result); ++column)
                out[static_cast<std::size_t>(row)].push_back(
                    PQgetisnull(result, row, column) != 0 ? std::nullopt
                                                          : Text(PQgetvalue(result, row, column)));
        PQclear(result);
        if (!good) throw std::runtime_error(sql + ": " + PQerrorMessage(connection_));
        return out;
    }
    // False when a constraint is in the way.
    bool insert(const std::string& sql, const std::vector<Text>& parameters) {
        PGresult* result = send(sql, parameters);
        const bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
        const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        const bool constraint = state != nullptr && std::string_view(state) == "23503";
        PQclear(result);
        if (!good && !constraint)
            throw std::runtime_error(sql + ": " + PQerrorMessage(connection_));
        return good;
    }

private:
    PGresult* send(const std::string& sql, const std::vector<Text>& parameters) {
        std::vector<const char*> values;
        values.reserve(parameters.size());
        for (const Text& parameter : parameters)
            values.push_back(parameter ? parameter->c_str() : nullptr);
        return PQexecParams(connection_, sql.c_str(), static_cast<int>(values.size()), nullptr,
                            values.data(), nullptr, nullptr, 0);
    }
    PGconn* connection_;
};

template <class Items, class Get>
std::string array(const Items& items, Get get) {
    std::string out;
    for (const auto& item : items) out += (out.empty() ? "" : ",") + get(item);
    return '{' + out + '}';
}
std::string micros(Instant time) { return std::to_string(time.time_since_epoch().count()); }
Uuid uuid(const Text& text) { return Uuid::from_text(text.value()).value(); }
std::string text_of(const std::optional<std::int64_t>& expiry) {
    return expiry ? std::to_string(*expiry) : "no end";
}

const std::string kAt = "('epoch'::timestamptz + $1::bigint * interval '1 microsecond')";
// Of a column `until`: in seconds, null without end.
const std::string kUntil =
    "CASE WHEN until < 'infinity' THEN floor(extract(epoch FROM until))::bigint END";

class Walk {
public:
    Walk(const std::string& conninfo, const std::string& control, std::uint64_t seed,
         std::size_t sample)
        : database_(conninfo),
          seed_(seed),
          sample_(sample),
          account_(database_.rows("SELECT walk.account()", {}).at(0).at(0).value()),
          state_(Uuid::from_text(account_).value()),
          fleet_(state_, seed),
          subscription_(context_, options(control, account_)) {
        database_.rows("SET jit = off", {});
    }

    bool run(std::uint64_t steps, std::uint64_t every) {
        load();
        for (step_ = 1; good() && step_ <= steps; ++step_) {
            advance();
            const bool ahead = fleet_.draw(2) == 0;
            did_ = step();
            // What is decided now is decided by a state that is behind the database.
            if (ahead) fleet_.create_flows(fleet_.draw(5), now_);
            follow();
            if (!ahead) fleet_.create_flows(fleet_.draw(5), now_);
            fleet_.connect_all(now_);
            settle();
            check_gateway_that_connects();
            check_some();
            if (step_ % every == 0 || step_ == steps) check_all();
            for (std::string& wrong : fleet_.wrong) differ(std::move(wrong));
            fleet_.wrong.clear();
        }
        --step_;
        report();
        return good();
    }

private:
    static client::SubscriptionOptions options(const std::string& control,
                                               const std::string& account) {
        client::SubscriptionOptions out;
        out.control = {control};
        out.account = wire::AccountKey::from_text(account);
        out.name = "walk";
        return out;
    }

    [[nodiscard]] bool good() const { return differences_ == 0 && unjustified_ == 0; }

    void differ(std::string what) {
        ++differences_;
        std::printf("step %llu, at %s, %s\n  %s\n", static_cast<unsigned long long>(step_),
                    micros(now_).c_str(), did_.c_str(), what.c_str());
    }

    client::Event next() {
        const auto deadline = std::chrono::steady_clock::now() + 60s;
        while (std::chrono::steady_clock::now() < deadline)
            if (auto event = subscription_.next(1s)) return std::move(*event);
        throw std::runtime_error("nothing came for a minute");
    }

    void load() {
        for (bool loaded = false; !loaded;) {
            const auto event = next();
            if (std::holds_alternative<client::SnapshotBegin>(event)) state_.begin_snapshot();
            if (const auto* rows = std::get_if<client::SnapshotRows>(&event))
                rows->for_each([&](const client::Row& row) {
                    auto typed = typed_row(row);
                    if (!typed) return;
                    fleet_.note(*typed);
                    state_.snapshot_row(std::move(*typed));
                });
            loaded = std::holds_alternative<client::CaughtUp>(event);
        }
        const Affected affected = state_.end_snapshot(
            {subscription_.cursor()->history, subscription_.cursor()->next - 1});
        if (affected.bad_rows > 0) throw std::runtime_error("bad rows in the snapshot");
        fleet_.connect_all(now_);
        settle();
        check_all();
        std::printf("channels: %zu clients, %zu gateways\n", fleet_.clients.size(),
                    fleet_.gateways.size());
        std::fflush(stdout);
    }

    // Until the last commit of ours has come.
    void follow() {
        while (seen_ < sent_) {
            const auto event = next();
            const auto* transaction = std::get_if<client::Transaction>(&event);
            if (transaction == nullptr) throw std::runtime_error("the stream was disturbed");
            transaction->for_each([&](const client::Change& change) {
                if (change.emitted && change.message->prefix == "walk") ++seen_;
            });
            fleet_.apply(transaction->commit_lsn, typed_changes(*transaction), now_);
        }
    }

    std::string step() {
        ++sent_;
        return database_
            .rows(
                "WITH step AS MATERIALIZED (SELECT walk.step($1, $2) AS done) SELECT done, "
                "fatwal.emit($3, 'walk', 'null') FROM step",
                {std::to_string(seed_), std::to_string(step_), account_})
            .at(0)
            .at(0)
            .value();
    }

    // The clock moves; every deadline on the way is kept.
    void advance() {
        Instant to = now_ + std::chrono::minutes(fleet_.draw(25)) +
                     std::chrono::microseconds(fleet_.draw(60'000'000));
        const auto next = fleet_.next_deadline();
        if (const auto way = fleet_.draw(4); next && *next < now_ + 2h && way < 2)
            to = way == 0 ? *next : std::max(now_, *next - 1us);
        for (;;) {
            const auto deadline = fleet_.next_deadline();
            if (!deadline || *deadline > to) break;
            if (*deadline < now_) return differ("a deadline that has passed");
            now_ = *deadline;
            did_ = "the clock moved";
            fleet_.on_time(now_);
            settle();
            if (!good()) return;
        }
        now_ = to;
    }

    // What was decided is written, and comes back; until nothing is left to write, and no deadline
    // has come.
    void settle() {
        for (int turn = 0; turn < 20; ++turn) {
            while (auto taken = fleet_.batch.take(tick_of(now_))) write(*taken);
            check_rejections();
            const auto deadline = fleet_.next_deadline();
            if (!deadline || *deadline > now_) return;
            fleet_.on_time(now_);
        }
        differ("a deadline that does not pass");
    }

    void write(const FlowBatch::Batch& batch) {
        std::vector<Uuid> lost;
        for (const portal::Flows& row : batch.rows) {
            if (insert(row)) continue;
            lost.push_back(row.id);
            fleet_.lose(row);
        }
        database_.rows(
            "WITH gone AS MATERIALIZED (DELETE FROM flows WHERE id = ANY ($1) RETURNING id) "
            "SELECT fatwal.emit($2, 'walk', 'null') FROM (SELECT count(*) FROM gone) AS g",
            {array(batch.deletions, [](const Uuid& id) { return id.to_text(); }), account_});
        ++sent_;
        // Either may be first.
        const bool told_first = fleet_.draw(2) == 0;
        if (!told_first) follow();
        for (const auto& notice : fleet_.batch.written(batch.number, {lost, {}}, tick_of(now_)))
            fleet_.deliver(notice, now_);
        follow();
    }

    bool insert(const portal::Flows& row) {
        return database_.insert(
            "INSERT INTO flows (id, account_id, policy_id, client_id, gateway_id, resource_id, "
            "token_id, membership_id, client_remote_ip, "
            "gateway_remote_ip, expires_at, created_at) VALUES ($2, $3, $4, $5, $6, $7, $8, $9, "
            "$10, $11, 'epoch'::timestamptz + "
            "$12::bigint * "
            "interval '1 microsecond', " +
                kAt + ')',
            {micros(row.created_at), row.id.to_text(), row.account_id.to_text(),
             row.policy_id.to_text(), row.client_id.to_text(), row.gateway_id.to_text(),
             row.resource_id.to_text(), row.token_id.to_text(),
             row.membership_id ? Text(row.membership_id->to_text()) : std::nullopt,
             row.client_remote_ip, row.gateway_remote_ip,
             row.expires_at ? Text(micros(*row.expires_at)) : std::nullopt});
    }

    // Of pairs at gateways, by number: each policy and membership that allows it, and until when at
    // the latest.
    struct Allowed {
        std::set<Right> rights;
        std::optional<std::int64_t> until = std::numeric_limits<std::int64_t>::min();
    };
    std::map<std::size_t, Allowed> allowed(const std::vector<std::pair<Uuid, Pair>>& pairs,
                                           Instant at) {
        std::map<std::size_t, Allowed> out;
        const auto column = [&](auto get) {
            return array(pairs, [&](const auto& entry) { return get(entry).to_text(); });
        };
        for (const auto& row :
             database_.rows("SELECT n - 1, policy_id, membership_id, " + kUntil +
                                " FROM oracle.rights($2, $3, $4, " + kAt + ')',
                            {micros(at), column([](const auto& e) { return e.first; }),
                             column([](const auto& e) { return e.second.client_id; }),
                             column([](const auto& e) { return e.second.resource_id; })})) {
            Allowed& entry = out[std::stoul(row[0].value())];
            entry.rights.emplace(uuid(row[1]), row[2] ? uuid(row[2]) : kEveryone);
            if (!row[3]) entry.until = std::nullopt;
            if (entry.until)
                entry.until = std::max(*entry.until, std::int64_t{std::stoll(*row[3])});
        }
        return out;
    }

    // What was rejected must not have been allowed, but by the right of a flow that was deleted
    // alone, or whose row could not be written; nor may it be another target than the device had
    // been given.
    void check_rejections() {
        std::map<Instant, std::vector<std::pair<Uuid, Pair>>> by_time;
        for (const Rejection& rejection : fleet_.rejections)
            by_time[rejection.at].emplace_back(rejection.gateway_id, rejection.pair);
        for (const auto& [at, pairs] : by_time) {
            const auto found = allowed(pairs, at);
            for (std::size_t n = 0; n < pairs.size(); ++n) {
                ++comparisons_;
                const auto& [gateway_id, pair] = pairs[n];
                const auto entry = found.find(n);
                if (entry == found.end() || fleet_.moved_resources.contains(pair.resource_id))
                    continue;
                std::set<Right> rights = entry->second.rights;
                for (const Right& right : fleet_.deleted[pairs[n]]) rights.erase(right);
                if (rights.empty()) continue;
                ++unjustified_;
                differ("an unjustified rejection: gateway " + gateway_id.to_text() + ", client " +
                       pair.client_id.to_text() + ", resource " + pair.resource_id.to_text() +
                       ", policy " + rights.begin()->first.to_text());
            }
        }
        fleet_.rejections.clear();
        fleet_.deleted.clear();
        fleet_.moved_resources.clear();
    }

    void check_clients(const std::vector<Uuid>& ids, bool plain) {
        if (ids.empty()) return;
        const std::string list = array(ids, [](const Uuid& id) { return id.to_text(); });
        const auto version = [&](const Uuid& id) {
            const auto found = fleet_.clients.find(id);
            return found == fleet_.clients.end() ? std::string("1.5.0") : found->second.version;
        };
        struct Expected {
            bool connected = false;
            Json interface;
            std::map<Uuid, Json> resources;
        };
        std::map<Uuid, Expected> expected;
        for (const auto& row : database_.rows(
                 "SELECT c.id, oracle.may_connect(c.id) AND coalesce(t.type = 'client' AND "
                 "t.actor_id = c.actor_id AND "
                 "coalesce(t.expires_at > " +
                     kAt +
                     ", true), false), jsonb_build_object('ipv4', host(c.ipv4), 'ipv6', "
                     "host(c.ipv6), 'search_domain', o.config -> "
                     "'search_domain', 'upstream_dns', o.config -> 'upstream_dns') FROM clients c "
                     "JOIN accounts o ON o.id = c.account_id "
                     "LEFT "
                     "JOIN tokens t ON t.id = c.last_used_token_id WHERE c.id = ANY ($2)",
                 {micros(now_), list})) {
            Expected& entry = expected[uuid(row[0])];
            entry.connected = row[1] == "t";
            entry.interface = Json::parse(row[2].value());
        }
        const std::string sql =
            plain ? "SELECT a.id, v.resource_id, v.rendered FROM unnest($2::uuid[], $3::text[]) AS "
                    "a (id, version), LATERAL "
                    "oracle.client_view(a.id, " +
                        kAt + ", a.version) AS v"
                  : "SELECT client_id, resource_id, rendered FROM oracle.client_views($2, $3, " +
                        kAt + ')';
        for (const auto& row : database_.rows(sql, {micros(now_), list, array(ids, version)}))
            expected[uuid(row[0])].resources.emplace(uuid(row[1]), Json::parse(row[2].value()));
        for (const Uuid& id : ids) {
            ++comparisons_;
            const Expected& should = expected[id];
            const auto found = fleet_.clients.find(id);
            const std::string name = "client " + id.to_text() + ' ' + version(id);
            if ((found != fleet_.clients.end()) != should.connected) {
                differ(name + (should.connected ? " is not connected" : " is connected"));
            } else if (should.connected && found->second.resources != should.resources) {
                std::string what = name + ": by the pushes, by the oracle";
                for (const auto& [resource_id, payload] : found->second.resources) {
                    const auto same = should.resources.find(resource_id);
                    if (same == should.resources.end() || same->second != payload)
                        what += "\n  < " + payload.dump();
                }
                for (const auto& [resource_id, payload] : should.resources) {
                    const auto same = found->second.resources.find(resource_id);
                    if (same == found->second.resources.end() || same->second != payload)
                        what += "\n  > " + payload.dump();
                }
                differ(std::move(what));
            } else if (should.connected && found->second.interface != should.interface) {
                differ(name + ": " + found->second.interface.dump() + ", by the oracle " +
                       should.interface.dump());
            }
        }
    }

    // What they let through must be allowed, and not for longer.
    void check_gateways(const std::vector<Uuid>& ids) {
        std::vector<std::pair<Uuid, Pair>> pairs;
        std::vector<std::optional<std::int64_t>> untils;
        for (const Uuid& id : ids) {
            ++comparisons_;
            const auto found = fleet_.gateways.find(id);
            if (found == fleet_.gateways.end()) continue;
            found->second.prune(unix_seconds(now_));
            if (found->second.pairs.size() != found->second.channel->pair_count())
                differ("gateway " + id.to_text() + ": the device has " +
                       std::to_string(found->second.pairs.size()) + " pairs, the channel " +
                       std::to_string(found->second.channel->pair_count()));
            for (const auto& [pair, until] : found->second.pairs) {
                pairs.emplace_back(id, pair);
                untils.push_back(until);
            }
        }
        if (pairs.empty()) return;
        const auto found = allowed(pairs, now_);
        for (std::size_t n = 0; n < pairs.size(); ++n) {
            ++comparisons_;
            const auto entry = found.find(n);
            const std::string name = "gateway " + pairs[n].first.to_text() + ", client " +
                                     pairs[n].second.client_id.to_text() + ", resource " +
                                     pairs[n].second.resource_id.to_text();
            if (entry == found.end())
                differ(name + ": let through by no right");
            else if (entry->second.until && (!untils[n] || *untils[n] > *entry->second.until))
                differ(name + ": let through until " + text_of(untils[n]) +
                       ", by the oracle until " + text_of(entry->second.until));
        }
    }

    // Of a gateway that has just connected the oracle knows all pairs.
    void check_gateway_that_connects() {
        if (fleet_.known_gateways.empty()) return;
        auto place = fleet_.known_gateways.begin();
        std::advance(place, static_cast<std::ptrdiff_t>(fleet_.draw(fleet_.known_gateways.size())));
        const Uuid id = *place;
        fleet_.reconnect_gateway(id, now_);
        settle();
        const auto found = fleet_.gateways.find(id);
        if (found == fleet_.gateways.end()) return;
        found->second.prune(unix_seconds(now_));
        std::map<Pair, std::optional<std::int64_t>> should;
        for (const auto& row : database_.rows("SELECT client_id, resource_id, " + kUntil +
                                                  " FROM oracle.gateway_pairs($2, " + kAt +
                                                  ") AS p WHERE justified AND until > " + kAt +
                                                  " AND oracle.render((SELECT r FROM resources r "
                                                  "WHERE id = resource_id), '{1,5}') IS NOT NULL",
                                              {micros(now_), id.to_text()}))
            should.emplace(
                Pair{uuid(row[0]), uuid(row[1])},
                row[2] ? std::optional(std::int64_t{std::stoll(*row[2])}) : std::nullopt);
        comparisons_ += 1 + should.size();
        if (should == found->second.pairs) return;
        std::string what = "gateway " + id.to_text() + ": by init, by the oracle";
        const auto list = [&](const char* sign, const auto& these, const auto& others) {
            for (const auto& [pair, until] : these) {
                const auto other = others.find(pair);
                if (other == others.end() || other->second != until)
                    what += std::string("\n  ") + sign + ' ' + pair.client_id.to_text() + ' ' +
                            pair.resource_id.to_text() + ' ' + text_of(until);
            }
        };
        list("<", found->second.pairs, should);
        list(">", should, found->second.pairs);
        differ(std::move(what));
    }

    void check_some() {
        std::vector<Uuid> some(fleet_.dirty_clients.begin(), fleet_.dirty_clients.end());
        while (some.size() > sample_) {
            some[fleet_.draw(some.size())] = some.back();
            some.pop_back();
        }
        check_clients(some, false);
        check_gateways({fleet_.dirty_gateways.begin(), fleet_.dirty_gateways.end()});
        fleet_.dirty_clients.clear();
        fleet_.dirty_gateways.clear();
        // One in turn.
        auto turn = fleet_.known_clients.upper_bound(turn_);
        if (turn == fleet_.known_clients.end()) turn = fleet_.known_clients.begin();
        if (turn == fleet_.known_clients.end()) return;
        turn_ = *turn;
        check_clients({turn_}, true);
    }

    void check_all() {
        ++full_;
        check_clients({fleet_.known_clients.begin(), fleet_.known_clients.end()}, false);
        check_gateways({fleet_.known_gateways.begin(), fleet_.known_gateways.end()});
        std::printf("%llu steps, %llu comparisons, %llu differences\n",
                    static_cast<unsigned long long>(step_),
                    static_cast<unsigned long long>(comparisons_),
                    static_cast<unsigned long long>(differences_));
        std::fflush(stdout);
    }

    void report() const {
        const Counts& c = fleet_.counts;
        const auto n = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
        std::printf(
            "steps %llu, clients %zu, gateways %zu, comparisons %llu (of all channels %llu times), "
            "differences %llu, unjustified rejects "
            "%llu\n",
            n(step_), fleet_.clients.size(), fleet_.gateways.size(), n(comparisons_), n(full_),
            n(differences_), n(unjustified_));
        std::printf(
            "transactions %llu, changes %llu, pushes %llu, flows asked for %llu, created %llu, "
            "failed %llu, rejected %llu, replaced %llu, "
            "lost "
            "%llu, sessions ended %llu, joins refused %llu\n",
            n(c.transactions), n(c.changes), n(c.pushes), n(c.asked), n(c.authorized), n(c.failed),
            n(c.rejected), n(c.replaced), n(c.lost), n(c.ended), n(c.refused));
    }

    Database database_;
    std::uint64_t seed_;
    std::size_t sample_;
    std::string account_;
    AccountState state_;
    Fleet fleet_;
    zmq::context_t context_;
    client::Subscription subscription_;
    Instant now_ = Instant(std::chrono::sys_days(std::chrono::year(2026) / 1 / 5)) + 10h;
    std::uint64_t step_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t seen_ = 0;
    std::string did_ = "the snapshot";
    Uuid turn_;
    std::uint64_t comparisons_ = 0;
    std::uint64_t full_ = 0;
    std::uint64_t differences_ = 0;
    std::uint64_t unjustified_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) return 2;
    const auto number = [&](int at, unsigned long long otherwise) {
        return argc > at ? std::strtoull(argv[at], nullptr, 10) : otherwise;
    };
    try {
        Walk walk(argv[1], argv[2], number(3, 1), number(6, 20));
        return walk.run(number(4, 1), number(5, 75)) ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
}
