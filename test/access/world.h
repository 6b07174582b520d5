// An account in one process: its rows, its state, a client's and a gateway's channels, and what
// their devices are sent, as short text.
//
// The default state: actor A in group g1 by membership m1; policy p1 grants g1 the resource r1,
// which is in site s1; gateway w1 is in s1; client c1 is A's, version 1.5.0, by token t1; w1's
// token is tw1. Names are ids: id("r1").
#pragma once

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "portal/access/client_channel.h"
#include "portal/access/flow_batch.h"
#include "portal/access/gateway_channel.h"
#include "portal/access/sessions.h"

namespace fatwal::access::test {

using namespace std::chrono_literals;

// A Friday.
inline constexpr Instant kFriday =
    Instant(std::chrono::sys_days(std::chrono::year(2021) / 1 / 1)) + 10h;

[[nodiscard]] Uuid id(const std::string& name);
// The name that made the id.
[[nodiscard]] std::string name_of(const Uuid& id);
[[nodiscard]] std::string name_of(const Json& id);

[[nodiscard]] Json condition(const std::string& property, const std::string& op,
                             const std::vector<std::string>& values);
[[nodiscard]] inline Json during(const std::string& value) {
    return condition("current_utc_datetime", "is_in_day_of_week_time_ranges", {value});
}
[[nodiscard]] inline Json verified() { return condition("client_verified", "is", {"true"}); }

class World {
public:
    World();

    // Rows of the account, by what is named; each is put into the transaction that commit() ends.
    World& resource(const std::string& name, const std::string& address = "",
                    portal::ResourceType type = portal::ResourceType::Dns);
    World& connect(const std::string& resource, const std::string& site);
    World& disconnect(const std::string& resource, const std::string& site);
    World& site(const std::string& name);
    World& policy(const std::string& name, const std::string& group, const std::string& resource,
                  std::vector<Json> conditions = {});
    World& group(const std::string& name);
    World& actor(const std::string& name);
    World& member(const std::string& name, const std::string& actor, const std::string& group);
    World& client_row(const std::string& name, const std::string& actor);
    World& client_token(const std::string& name, const std::string& actor,
                        std::optional<Instant> expires_at = {});
    World& gateway_row(const std::string& name, const std::string& site);
    World& gateway_token(const std::string& name, const std::string& site);

    // A row as it is.
    template <class Row>
    [[nodiscard]] Row get(const std::string& name) const {
        return std::get<Row>(rows_.at({portal::AnyRow(Row{}).index(), id(name), {}}));
    }
    template <class Row, class Edit>
    World& edit(const std::string& name, Edit edit) {
        Row row = get<Row>(name);
        edit(row);
        return put(row);
    }
    template <class Row>
    World& erase(const std::string& name) {
        return erase_row(portal::AnyRow(get<Row>(name)));
    }
    World& put(const portal::AnyRow& row);
    World& erase_row(const portal::AnyRow& row);
    // Deletes the policy, client, ... and all that hangs on it, as foreign keys do: the parent
    // first.
    World& cascade(const std::string& name);

    // Ends the transaction; the state takes it, then the channels that it concerns.
    Affected commit();
    // The same transaction as changes, not applied.
    std::vector<RowChange> take_changes();
    Affected apply(std::uint64_t lsn, const std::vector<RowChange>& changes);
    // All rows into a state.
    void load(AccountState& state, const Position& position = {}) const;
    void snapshot();
    [[nodiscard]] const std::map<std::tuple<std::size_t, Uuid, Uuid>, portal::AnyRow>& rows()
        const {
        return rows_;
    }

    // Connects; what the device is sent is recorded.
    World& join_client(const std::string& name = "c1", const std::string& version = "1.5.0",
                       const std::string& token = "t1");
    World& join_gateway(const std::string& name = "w1", const std::string& version = "1.5.0",
                        const std::string& token = "tw1");
    World& leave(const std::string& name);
    World& say(const std::string& device, const std::string& event, const Json& payload);
    World& create_flow(const std::string& resource = "r1",
                       const std::vector<std::string>& connected = {});
    // The gateway's device answers all authorizations that it has not answered.
    World& answer();
    World& peer(const std::string& device, const PeerMessage& message);
    World& relays_changed();
    // The clock moves; every deadline on the way is kept.
    World& until(Instant time);
    World& after(Instant::duration duration) { return until(now + duration); }
    // Sets the clock; no time passes.
    World& set_clock(Instant::duration moved);
    // The flows decided so far get their rows, and their gateways learn it.
    World& write_flows();
    // The writer could not write them.
    World& lose_flows();
    // The rows of flows that channels wanted deleted are deleted.
    World& delete_flows();

    // What a device was sent since the last call, in order, with blanks between.
    [[nodiscard]] std::string sent(const std::string& device);
    // Flows that channels wanted deleted since the last call, how many.
    [[nodiscard]] std::size_t deletions();

    Instant now = kFriday;
    [[nodiscard]] Tick tick() const { return Tick(now.time_since_epoch()); }
    wire::History history;  // of the next snapshot
    AccountState state{id("account")};
    Presence presence;
    Relays relays{10s};
    std::chrono::seconds flow_lifetime{0};
    Signer signer{std::string(32, 'k')};
    std::mt19937_64 generator{7};
    std::map<std::string, std::unique_ptr<ClientChannel>> clients;
    std::map<std::string, std::unique_ptr<GatewayChannel>> gateways;
    std::optional<IpAddress> client_ip = IpAddress::parse("198.51.100.7");
    std::optional<std::string> client_region = "US";
    std::optional<Location> client_location;
    std::map<std::string, Location> locations;  // of gateways, before they join
    bool deliver = true;                        // sends arrive
    std::vector<Json> payloads;                 // of every push
    std::vector<portal::Flows> unwritten;
    std::vector<Uuid> unwanted;     // flows that channels wanted deleted
    std::vector<std::string> refs;  // that gateways' devices have not answered, "w1 ref"

    // What channels are given that join now.
    [[nodiscard]] ChannelContext context();
    // What the device's channel wants done.
    void carry_out(const std::string& device, const Actions& actions);

private:
    std::map<std::tuple<std::size_t, Uuid, Uuid>, portal::AnyRow> rows_;
    std::vector<RowChange> changes_;
    std::uint64_t lsn_ = 100;
    Generation generation_ = 0;
    std::map<std::string, std::string> sent_;
    std::size_t deletions_ = 0;
};

}  // namespace fatwal::access::test
