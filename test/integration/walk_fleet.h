// All devices of an account in one process: their channels, and what each device knows by its
// pushes alone.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "portal/access/client_channel.h"
#include "portal/access/flow_batch.h"
#include "portal/access/gateway_channel.h"

namespace fatwal::access::walk {

// The walk has one clock, which both of the domain's times follow.
[[nodiscard]] inline Tick tick_of(Instant now) { return Tick(now.time_since_epoch()); }

struct Client {
    std::unique_ptr<ClientChannel> channel;
    Generation generation = 0;
    std::string version;
    Uuid token_id;
    // The device.
    bool initialized = false;
    Json interface;
    std::map<Uuid, Json> resources;
};

struct Gateway {
    std::unique_ptr<GatewayChannel> channel;
    Generation generation = 0;
    // The device: until when it lets a pair through, in seconds since 1970; nothing: no end.
    std::map<Pair, std::optional<std::int64_t>> pairs;
    std::set<Pair> ended;  // by the device itself, at its end; the process rejects it too
    void prune(std::int64_t now);
};

// The same policy by the same membership.
using Right = std::pair<Uuid, Uuid>;

// A gateway's device got a reject.
struct Rejection {
    Instant at;
    Uuid gateway_id;
    Pair pair;
};

struct Counts {
    std::uint64_t transactions = 0;
    std::uint64_t changes = 0;
    std::uint64_t pushes = 0;
    std::uint64_t asked = 0;       // create_flow
    std::uint64_t authorized = 0;  // flow_created
    std::uint64_t failed = 0;      // flow_creation_failed
    std::uint64_t rejected = 0;
    std::uint64_t replaced = 0;  // rows that gateways have decided
    std::uint64_t lost = 0;      // rows that could not be written
    std::uint64_t refused = 0;   // joins
    std::uint64_t ended = 0;     // sessions
};

class Fleet {
public:
    Fleet(AccountState& state, std::uint64_t seed);

    // Rows as they come, before the state takes them: who there is, and with which tokens.
    void note(const RowChange& change);
    void apply(std::uint64_t lsn, const std::vector<RowChange>& changes, Instant now);
    // Every device that is not connected tries to connect.
    void connect_all(Instant now);
    void reconnect_gateway(const Uuid& id, Instant now);
    // Some clients ask for some of their resources.
    void create_flows(std::size_t count, Instant now);
    [[nodiscard]] std::optional<Instant> next_deadline() const;
    // Of all channels whose deadline has come.
    void on_time(Instant now);
    // From the writer of flows.
    void deliver(const FlowBatch::Notice& notice, Instant now);
    // Its row could not be written.
    void lose(const portal::Flows& row);

    [[nodiscard]] std::uint64_t draw(std::uint64_t bound) { return generator_() % bound; }

    std::map<Uuid, Client> clients;  // the connected ones
    std::map<Uuid, Gateway> gateways;
    std::set<Uuid> known_clients;  // of which there are rows
    std::set<Uuid> known_gateways;
    FlowBatch batch{{.after = std::chrono::milliseconds(0)}};
    Counts counts;

    // Since whoever looks at them has emptied them.
    std::set<Uuid> dirty_clients;
    std::set<Uuid> dirty_gateways;
    std::vector<std::string> wrong;  // what no device may be sent
    std::vector<Rejection> rejections;
    std::map<std::pair<Uuid, Pair>, std::set<Right>>
        deleted;  // by gateway: by what flows were allowed whose rows are gone, or never came
    Ids moved_resources;  // with another address, type or ip stack

private:
    void connect_client(const Uuid& id, Instant now);
    void connect_gateway(const Uuid& id, Instant now);
    void carry_out(const Address& from, const Actions& actions, Instant now);
    void push(Client& client, const Uuid& id, const Push& push);
    void push(Gateway& gateway, const Uuid& id, const Push& push, Instant now);
    // Messages between channels, and the answers of gateways' devices, until there are none.
    void pump(Instant now);
    void sweep();
    [[nodiscard]] ChannelContext context();

    struct Mail {
        Address from;
        Address to;
        PeerMessage message;
    };

    AccountState& state_;
    std::mt19937_64 generator_;
    Presence presence_;
    Relays relays_;
    Signer signer_{std::string(32, 'w')};
    Generation generation_count_ = 0;
    std::map<Uuid, Uuid> token_of_site_;
    std::deque<Mail> mail_;
    std::deque<std::pair<Uuid, std::string>> refs_;  // gateway, ref
    bool turn_ = false;
};

}  // namespace fatwal::access::walk
