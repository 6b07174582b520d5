// The server's side of one connected gateway.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fatwal/channel/access.h"
#include "fatwal/channel/action.h"
#include "fatwal/channel/channel_context.h"
#include "fatwal/channel/version.h"

namespace fatwal::channel {

struct GatewayJoin {
    Uuid gateway_id;
    Uuid token_id;
    std::string version;
    std::optional<IpAddress> remote_ip;
    std::optional<Location> location;
    Generation generation = 0;
};

// Events in, actions out. After each call ask next_deadline(), which may have moved. When closed() it takes nothing more; destroy it.
class GatewayChannel {
public:
    GatewayChannel(ChannelContext context, GatewayJoin join);
    ~GatewayChannel();
    GatewayChannel(const GatewayChannel&) = delete;
    GatewayChannel& operator=(const GatewayChannel&) = delete;

    // First. With a live state: init, or Refuse. Without, nothing: the answer comes from on_snapshot().
    [[nodiscard]] Actions start(Time now);
    // The state has ended a snapshot: init for whoever waits for it; the others lose what is not justified any more.
    [[nodiscard]] Actions on_snapshot(Time now);
    // The state has applied a transaction that has this gateway among its Affected::gateways.
    [[nodiscard]] Actions on_transaction(const GatewayImpact& impact, Time now);
    [[nodiscard]] Actions on_relays(Time now);
    [[nodiscard]] Actions on_time(Time now);
    // A message from the device: flow_authorized, broadcast_ice_candidates, broadcast_invalidated_ice_candidates.
    [[nodiscard]] Actions on_message(std::string_view event, const Json& payload, Time now);
    // From a client's channel or the writer of flows, for this session.
    [[nodiscard]] Actions on_peer(const PeerMessage& message, Time now);

    [[nodiscard]] std::optional<Time> next_deadline() const;

    [[nodiscard]] bool closed() const { return phase_ == Phase::Closed; }
    [[nodiscard]] const Uuid& gateway_id() const { return join_.gateway_id; }
    [[nodiscard]] std::size_t pair_count() const { return pairs_.size(); }

private:
    enum class Phase : std::uint8_t { Created, Waiting, Joined, Closed };
    struct Flow {
        Justification by;
        std::optional<Time> expires_at;
        std::uint64_t decided_at = 0;    // not judged by a state that is behind it
        std::optional<Time> durable_by;  // nothing: its row is written
        bool written = false;            // its row may be in the database
    };
    struct Held {
        std::unordered_map<Uuid, Flow> flows;  // never empty
        ClientContext client;
        std::optional<Address> address;  // of the client's session, once it was told
        Json resource;                   // as the device was given it
        portal::Resources row;
    };
    // The latest of the flows; outer nothing: no flow. Inner nothing: no end.
    using Expiry = std::optional<std::optional<Time>>;

    void join(Time now, Actions& out);
    void push_init(Time now, Actions& out);
    void load(Time now, Actions& out);
    void disconnect(std::string reason, Actions& out);
    void review_itself(Time now, Actions& out);
    void review(const Pair& pair, const Ids& deleted, Time now, Actions& out);
    void review_all(Time now, Actions& out);
    void review_resource(const Pair& pair, Held& held, Actions& out, bool& rejected);
    [[nodiscard]] std::optional<Grant> replacement(const Pair& pair, const Held& held, const std::vector<Justification>& lost,
                                                   Time now) const;
    void settle(const Pair& pair, const Expiry& before, Actions& out);
    void reject(const Pair& pair, Actions& out);
    void drop(std::map<Pair, Held>::iterator held);
    void authorize(const Authorize& message, Time now, Actions& out);
    void confirm(const FlowsDurable& message);
    void lose(const FlowsLost& message, Time now, Actions& out);
    void prune(Time now);
    void broadcast(const Json& payload, bool invalidated, Actions& out);
    [[nodiscard]] std::optional<ClientContext> context_of(const Pair& pair, const Held& held) const;
    [[nodiscard]] static Expiry expiry_of(const Held& held);
    [[nodiscard]] bool may(const Pair& pair, const Flow& flow, const ClientContext& client, Time now, std::optional<Time>* until) const;

    ChannelContext context_;
    GatewayJoin join_;
    Phase phase_ = Phase::Created;
    Version version_;
    std::optional<Time> token_expires_at_;
    std::map<Pair, Held> pairs_;
    std::unordered_map<Uuid, Pair> pair_of_flow_;
    Ids unsettled_;  // flows that were decided by a state ahead of ours
    RelaySelection relays_;
    Json shown_;  // of init: account_slug and interface
};

}  // namespace fatwal::channel
