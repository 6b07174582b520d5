// channels CONTROL ACCOUNT CONNINFO ROUNDS: what bench/channels measures. Takes the account's
// snapshot, makes a channel for each client and gateway, measures memory and authorizations, prints
// "ready", and then follows the stream until it has seen ROUNDS transactions of more than 50,000
// deletions; a line of numbers for each.
#include <libpq-fe.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>
#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "portal/access/client_channel.h"
#include "portal/access/gateway_channel.h"
#include "portal/access/gateway_choice.h"

namespace {

using namespace fatwal;
using namespace fatwal::access;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

double seconds_since(Steady::time_point start) {
    return std::chrono::duration<double>(Steady::now() - start).count();
}
double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values.at(values.size() / 2);
}
std::size_t in_use() { return mallinfo2().uordblks + mallinfo2().hblkhd; }
Instant now() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

// Seconds of processor time of this thread, and of another process when given.
double cpu(int process) {
    timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    double out = static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) * 1e-9;
    if (process == 0) return out;
    std::ifstream file("/proc/" + std::to_string(process) + "/schedstat");
    double nanoseconds = 0;
    file >> nanoseconds;
    return out + nanoseconds * 1e-9;
}

// How often a second, by the clock and by the processor.
struct Rates {
    std::vector<double> by_clock;
    std::vector<double> by_cpu;

    template <class Do>
    void measure(int process, std::size_t count, Do&& perform) {
        const double spent = cpu(process);
        const auto start = Steady::now();
        for (std::size_t n = 0; n < count; ++n)
            if (!perform(n)) throw std::runtime_error("another decision than expected");
        by_clock.push_back(static_cast<double>(count) / seconds_since(start));
        by_cpu.push_back(static_cast<double>(count) / (cpu(process) - spent));
    }
    void print(const char* name, const Rates& base) const {
        std::printf(
            "authorizations a second, %s: %.0f, by processor time %.0f; ratio %.1f, by processor "
            "time %.1f\n",
            name, median(by_clock), median(by_cpu), median(by_clock) / median(base.by_clock),
            median(by_cpu) / median(base.by_cpu));
    }
};

// A client's channel, and the resources that its device has by the pushes.
struct Device {
    std::unique_ptr<ClientChannel> channel;
    std::set<std::string> resources;
    std::size_t pushes = 0;

    void take(const Actions& actions) {
        for (const Action& action : actions) {
            const auto* push = std::get_if<Push>(&action);
            if (push == nullptr) continue;
            ++pushes;
            if (push->event == "init")
                for (const Json& resource : push->payload.at("resources"))
                    resources.insert(resource.at("id").get<std::string>());
            else if (push->event == "resource_deleted")
                resources.erase(push->payload.at("id").get<std::string>());
            else
                resources.insert(push->payload.at("id").get<std::string>());
        }
    }
};

class Bench {
public:
    Bench(const std::string& control, const std::string& account)
        : state_(Uuid::from_text(account).value()),
          subscription_(zmq_, options(control, account)) {}

    void load() {
        for (;;) {
            const auto event = next();
            if (std::holds_alternative<client::SnapshotBegin>(event)) {
                state_.begin_snapshot();
                before_rows_ = in_use();
            }
            if (const auto* rows = std::get_if<client::SnapshotRows>(&event))
                rows->for_each([&](const client::Row& row) {
                    auto typed = typed_row(row);
                    if (!typed) return;
                    ++rows_;
                    if (const auto* client = std::get_if<portal::Clients>(&typed->after))
                        clients_.push_back(*client);
                    if (const auto* gateway = std::get_if<portal::Gateways>(&typed->after))
                        gateways_.push_back(*gateway);
                    state_.snapshot_row(std::move(*typed));
                });
            if (std::holds_alternative<client::SnapshotEnd>(event)) break;
        }
        (void)state_.end_snapshot(
            {subscription_.cursor()->history, subscription_.cursor()->next - 1});
        std::printf("state: %zu rows, %.0f bytes/row\n", rows_,
                    static_cast<double>(in_use() - before_rows_) / static_cast<double>(rows_));
    }

    void connect() {
        // What is rendered once for everybody is the state's.
        (void)ClientView::of(state_, clients_.front(), version_, from_, now());
        std::size_t before = in_use();
        connect_clients();
        const double shown =
            static_cast<double>(devices_.begin()->second.channel->view().resources.size());
        std::printf("client channel: %.0f bytes, with %.0f resources\n",
                    each(before, devices_.size()), shown);
        before = in_use();
        for (const portal::Gateways& row : gateways_) {
            const GatewayJoin join{row.id,       row.last_used_token_id.value(), "1.5.0", {}, {},
                                   ++generation_};
            auto& channel = channels_[row.id];
            channel = std::make_unique<GatewayChannel>(context(), join);
            (void)channel->start(now());
        }
        std::printf("gateway channel: %.0f bytes, without pairs\n", each(before, channels_.size()));
        for (const portal::Gateways& row : gateways_)
            presence_.online({row.id, generation_, 1, version_, Location{50.1, 8.7}, {}});
    }

    // New sessions: those of before are known to have their flows, and would get the same again.
    void connect_clients() {
        for (const portal::Clients& row : clients_) {
            ClientJoin join{row.id,       row.last_used_token_id.value(),
                            "1.5.0",      IpAddress::parse("198.51.100.7"),
                            "US",         {},
                            ++generation_};
            devices_[row.id].channel = std::make_unique<ClientChannel>(context(), join);
            (void)devices_[row.id].channel->start(now());
        }
    }

    // Every client asks for each of 20 resources: what its channel decides alone, then with all
    // that its gateway does, and the decision by SQL. By the clock, and by the processor time of
    // all that take part (this thread; for SQL the server's process too).
    void authorize(PGconn* connection) {
        std::vector<Asked> asked;
        for (auto& [id, device] : devices_) {
            auto resource = device.channel->view().resources.begin();
            for (int i = 0; i < 20; ++i, ++resource)
                asked.push_back({&device,
                                 id,
                                 state_.client(id)->last_used_token_id.value(),
                                 resource->first,
                                 id.to_text(),
                                 resource->first.to_text(),
                                 {{"resource_id", resource->first.to_text()},
                                  {"connected_gateway_ids", Json::array()}}});
        }
        std::shuffle(asked.begin(), asked.end(), generator_);
        const int backend = PQbackendPID(connection);
        Rates decision;
        Rates alone;
        Rates whole;
        Rates sql;
        std::size_t before = 0;
        for (int round = 0; round < 7; ++round) {
            decision.measure(0, asked.size(), [&](std::size_t n) { return decide(asked[n]); });
            connect_clients();
            alone.measure(0, asked.size(),
                          [&](std::size_t n) { return ask(asked[n]).size() == 2; });
            connect_clients();
            if (round == 0) before = in_use();
            whole.measure(0, asked.size(), [&](std::size_t n) { return round_trip(asked[n]); });
            if (round == 0) {
                connect_clients();  // what the clients' channels know of it is not the pair's
                std::size_t pairs = 0;
                for (const auto& [id, channel] : channels_) pairs += channel->pair_count();
                std::printf("pair of a gateway channel: %.0f bytes\n", each(before, pairs));
            }
            sql.measure(backend, 5000, [&](std::size_t n) { return query(connection, asked[n]); });
        }
        decision.print("decided", sql);
        alone.print("by create_flow", sql);
        whole.print("with the gateway's side", sql);
        sql.print("by SQL", sql);
    }

    void follow(int rounds) {
        for (auto& [id, device] : devices_)
            for (const auto& [resource_id, view] : device.channel->view().resources)
                device.resources.insert(resource_id.to_text());
        std::puts("ready");
        std::vector<double> ratios;
        std::vector<double> totals;
        std::vector<double> cpu_ratios;
        std::vector<double> cpu_totals;
        while (rounds > 0) {
            const auto event = next();
            const auto* transaction = std::get_if<client::Transaction>(&event);
            if (std::holds_alternative<client::Resync>(event))
                throw std::runtime_error("the stream was disturbed");
            // The subscription may have been lost while nobody read it; it joins again by itself.
            if (transaction == nullptr) continue;
            const auto delivered = std::chrono::system_clock::now();
            double spent = cpu(0);
            auto start = Steady::now();
            const std::size_t count = typed_changes(*transaction).size();
            const double decoded = seconds_since(start);
            const double decoded_cpu = cpu(0) - spent;
            start = Steady::now();
            spent = cpu(0);
            const std::vector<RowChange> changes = typed_changes(*transaction);
            const Affected affected = state_.apply(transaction->commit_lsn, changes);
            const double applied_cpu = cpu(0) - spent;
            std::vector<std::pair<Device*, Actions>> all;
            for (const Uuid& id : affected.clients)
                all.emplace_back(&devices_.at(id), devices_.at(id).channel->on_transaction(now()));
            const double took = seconds_since(start);
            const double took_cpu = cpu(0) - spent;
            const auto done = std::chrono::system_clock::now();
            std::size_t pushes = 0;
            for (auto& [device, actions] : all) {
                pushes += actions.size();
                device->take(actions);
            }
            std::size_t wrong = 0;
            for (auto& [id, device] : devices_) wrong += right(id, device) ? 0 : 1;
            const auto ms = [&](auto end) {
                return std::chrono::duration<double, std::milli>(end - transaction->commit_time)
                    .count();
            };
            std::printf(
                "%zu changes, decoding %.0f ms, with state and pushes %.0f ms; by processor time "
                "%.0f ms, with the state %.0f ms, with the "
                "pushes %.0f ms; recomputed %zu, pushes %zu, wrong %zu; after the commit: "
                "delivered %.0f ms, pushed %.0f ms\n",
                count, decoded * 1e3, took * 1e3, decoded_cpu * 1e3, applied_cpu * 1e3,
                took_cpu * 1e3, affected.clients.size(), pushes, wrong, ms(delivered),
                ms(done) - decoded * 1e3);
            if (count < 50'000 || !std::holds_alternative<std::monostate>(changes.front().after))
                continue;
            --rounds;
            ratios.push_back(took / decoded);
            totals.push_back(took * 1e3);
            cpu_ratios.push_back(took_cpu / decoded_cpu);
            cpu_totals.push_back(took_cpu * 1e3);
        }
        std::printf(
            "deletions: decoded, applied and pushed in %.0f ms, %.2f of decoding alone; by "
            "processor time %.0f ms, %.2f\n",
            median(totals), median(ratios), median(cpu_totals), median(cpu_ratios));
    }

private:
    static client::SubscriptionOptions options(const std::string& control,
                                               const std::string& account) {
        client::SubscriptionOptions out;
        out.control = {control};
        out.account = wire::AccountKey::from_text(account);
        out.name = "channels";
        return out;
    }
    client::Event next() {
        const auto deadline = Steady::now() + 300s;
        while (Steady::now() < deadline)
            if (auto event = subscription_.next(1s)) return std::move(*event);
        throw std::runtime_error("nothing came");
    }
    ChannelContext context() {
        return {state_, presence_, relays_, signer_, [this] { return generator_(); }, 1};
    }
    static double each(std::size_t before, std::size_t count) {
        return (static_cast<double>(in_use()) - static_cast<double>(before)) /
               static_cast<double>(count);
    }

    struct Asked {
        Device* device;
        Uuid client;
        Uuid token;
        Uuid resource;
        std::string client_id;
        std::string resource_id;
        Json payload;
    };
    // What the SQL decides, and the conditions.
    bool decide(const Asked& asked) {
        const Instant at = now();
        if (client_refusal(state_, asked.client, asked.token, at)) return false;
        const auto* resource = state_.resource(asked.resource);
        const auto& client = *state_.client(asked.client);
        if (resource == nullptr || state_.view_of(asked.resource, version_) == nullptr)
            return false;
        ClientContext session = from_;
        complete_context(state_, client, session);
        if (!longest_grant(state_, client.actor_id, asked.resource, session, at)) return false;
        return std::holds_alternative<const OnlineGateway*>(
            choose_gateway(state_, presence_, *resource, version_, std::nullopt, {},
                           [this] { return generator_(); }));
    }

    // And all that follows from it: the signed reference, the message to the gateway, the row of
    // the flow.
    static Actions ask(const Asked& asked) {
        return asked.device->channel->on_message("create_flow", asked.payload, now());
    }

    // create_flow, authorize_flow to the gateway's device, its flow_authorized, flow_created to the
    // client's.
    bool round_trip(const Asked& asked) {
        for (const Action& action : ask(asked)) {
            const auto* send = std::get_if<Send>(&action);
            if (send == nullptr) continue;
            auto& gateway = *channels_.at(send->to.id);
            for (const Action& pushed : gateway.on_peer(send->message, now())) {
                const auto* push = std::get_if<Push>(&pushed);
                if (push == nullptr) continue;
                for (const Action& answer : gateway.on_message(
                         "flow_authorized", {{"ref", push->payload.at("ref")}}, now()))
                    if (const auto* back = std::get_if<Send>(&answer))
                        return asked.device->channel->on_peer(back->message, now()).size() == 1;
            }
        }
        return false;
    }

    static bool query(PGconn* connection, const Asked& asked) {
        const std::array<const char*, 2> values = {asked.client_id.c_str(),
                                                   asked.resource_id.c_str()};
        PGresult* result =
            PQexecPrepared(connection, "decide", 2, values.data(), nullptr, nullptr, 0);
        const bool found = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
        PQclear(result);
        return found;
    }

    bool right(const Uuid& id, const Device& device) const {
        const auto fresh = ClientView::of(state_, *state_.client(id), version_, from_, now());
        std::set<std::string> expected;
        for (const auto& [resource_id, view] : fresh.resources)
            expected.insert(resource_id.to_text());
        return expected == device.resources;
    }

    AccountState state_;
    Presence presence_;
    Relays relays_;
    Signer signer_{std::string(32, 'b')};
    std::mt19937_64 generator_{1};
    Generation generation_ = 0;
    zmq::context_t zmq_;
    client::Subscription subscription_;
    Version version_{1, 5, 0, ""};
    ClientContext from_{IpAddress::parse("198.51.100.7"), "US", std::nullopt, false};
    std::size_t before_rows_ = 0;
    std::size_t rows_ = 0;
    std::vector<portal::Clients> clients_;
    std::vector<portal::Gateways> gateways_;
    std::map<Uuid, Device> devices_;
    std::map<Uuid, std::unique_ptr<GatewayChannel>> channels_;
};

// The same decision: the session may be, some enabled policy of the actor's groups grants the
// resource, and a gateway of its sites is online. The conditions are given to the caller, who
// judges them.
constexpr const char* kDecide =
    "SELECT p.id, m.id, p.conditions, least(t.expires_at), r.type, r.address, r.filters, g.id, "
    "g.public_key, g.ipv4, g.ipv6, c.public_key, "
    "c.ipv4, c.ipv6 "
    "FROM clients c JOIN accounts o ON o.id = c.account_id AND o.disabled_at IS NULL JOIN actors a "
    "ON a.id = c.actor_id AND a.disabled_at "
    "IS NULL "
    "JOIN tokens t ON t.id = c.last_used_token_id AND (t.expires_at IS NULL OR t.expires_at > "
    "now()) "
    "LEFT JOIN auth_identities i ON i.id = c.identity_id LEFT JOIN auth_providers v ON v.id = "
    "i.provider_id "
    "JOIN policies p ON p.resource_id = $2 AND p.disabled_at IS NULL JOIN actor_group_memberships "
    "m ON m.actor_id = c.actor_id AND "
    "m.group_id = "
    "p.actor_group_id JOIN resources r ON r.id = p.resource_id JOIN resource_connections rc ON "
    "rc.resource_id = r.id "
    "JOIN gateways g ON g.site_id = rc.site_id AND g.last_seen_at IS NOT NULL WHERE c.id = $1 AND "
    "v.disabled_at IS NULL LIMIT 1";

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) return 2;
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    PGconn* connection = PQconnectdb(argv[3]);
    PGresult* prepared = PQprepare(connection, "decide", kDecide, 0, nullptr);
    const bool good = PQresultStatus(prepared) == PGRES_COMMAND_OK;
    PQclear(prepared);
    if (!good) {
        std::fprintf(stderr, "%s", PQerrorMessage(connection));
        return 2;
    }
    int status = 0;
    try {
        Bench bench(argv[1], argv[2]);
        bench.load();
        bench.connect();
        bench.authorize(connection);
        bench.follow(std::atoi(argv[4]));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        status = 1;
    }
    PQfinish(connection);
    return status;
}
