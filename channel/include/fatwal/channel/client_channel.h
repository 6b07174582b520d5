// The server's side of one connected client.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fatwal/channel/action.h"
#include "fatwal/channel/channel_context.h"
#include "fatwal/channel/client_view.h"
#include "fatwal/channel/gateway_choice.h"
#include "fatwal/channel/version.h"

namespace fatwal::channel {

// What the connection says of itself. The process has checked the token's secret; the channel
// checks all else.
struct ClientJoin {
    Uuid client_id;
    Uuid token_id;
    std::string version;
    std::optional<IpAddress> remote_ip;
    std::optional<std::string> region;
    std::optional<Location> location;
    Generation generation = 0;
};

// Events in, actions out. After each call ask next_deadline(), which may have moved. When closed()
// it takes nothing more; destroy it.
class ClientChannel {
public:
    ClientChannel(ChannelContext context, ClientJoin join);
    ~ClientChannel();
    ClientChannel(const ClientChannel&) = delete;
    ClientChannel& operator=(const ClientChannel&) = delete;

    // First. With a live state: init, or Refuse. Without, nothing: the answer comes from
    // on_snapshot().
    [[nodiscard]] Actions start(Time now);
    // The state has ended a snapshot: init for whoever waits for it, the difference for the others.
    [[nodiscard]] Actions on_snapshot(Time now);
    // The state has applied a transaction that has this client among its Affected::clients.
    [[nodiscard]] Actions on_transaction(Time now);
    // Relays said that channels are to be told.
    [[nodiscard]] Actions on_relays(Time now);
    // next_deadline() has come.
    [[nodiscard]] Actions on_time(Time now);
    // The clock that `now` is of was set by this much: `now` is what it says since.
    [[nodiscard]] Actions clock_was_set(Time::duration moved, Time now);
    // A message from the device: create_flow, broadcast_ice_candidates,
    // broadcast_invalidated_ice_candidates.
    [[nodiscard]] Actions on_message(std::string_view event, const Json& payload, Time now);
    // From a gateway's channel, for this session.
    [[nodiscard]] Actions on_peer(const PeerMessage& message, Time now);
    // A Send of this channel's could not be delivered: the session or its process is gone.
    [[nodiscard]] Actions undeliverable(const PeerMessage& message, Time now);

    // When on_time() is to be called at the latest; nothing: never. Not before it is there any need
    // to.
    [[nodiscard]] std::optional<Time> next_deadline() const;

    [[nodiscard]] bool closed() const { return phase_ == Phase::Closed; }
    [[nodiscard]] const Uuid& client_id() const { return join_.client_id; }
    [[nodiscard]] const ClientView& view() const { return view_; }

private:
    enum class Phase : std::uint8_t { Created, Waiting, Joined, Closed };
    struct Pending {
        Time deadline;
        std::vector<Uuid> flows;  // asked for and unanswered, the latest last
        Ids established;          // those that were there before: their rows stay whatever comes
    };

    void join(Time now, Actions& out);
    void recompute(Time now, Actions& out);
    void push_init(Time now, Actions& out);
    [[nodiscard]] RelayUser relay_user() const;
    void tell_relays(Time now, Actions& out);
    void disconnect(std::string reason, Actions& out);
    void create_flow(const Json& payload, Time now, Actions& out);
    // A known flow is asked for again unless that is what has just failed.
    void ask(const Uuid& resource_id, const std::vector<Uuid>& connected, bool may_be_known,
             Time now, Actions& out);
    // Takes back what has had no answer and was not there before.
    static void withdraw(const Pending& pending, const Uuid& flow_id, Actions& out);
    // The flow by which this client has already what it would be given.
    struct KnownFlow {
        Uuid id;
        std::optional<Time> expires_at;
    };
    [[nodiscard]] std::optional<KnownFlow> known_flow(const Uuid& resource_id,
                                                      const Uuid& gateway_id,
                                                      const Authorize& wanted, Time now) const;
    void authorize(const portal::Resources& resource, const OnlineGateway& gateway,
                   const Grant& grant, bool may_be_known, Time now, Actions& out);
    [[nodiscard]] Ids gateways_with_flows() const;
    void broadcast(const Json& payload, bool invalidated, Actions& out);
    void fail_pending(const Uuid& resource_id, Actions& out);
    [[nodiscard]] ClientContext session() const;
    const PairCredentials& credentials(const portal::Clients& client,
                                       const portal::Gateways& gateway);

    ChannelContext context_;
    ClientJoin join_;
    Phase phase_ = Phase::Created;
    Version version_;
    ClientView view_;
    std::optional<Time> token_expires_at_;
    std::map<Uuid, Pending> pending_;  // by resource
    // The last flow of each resource that this session has asked for.
    struct Asked {
        Uuid flow_id;
        Uuid gateway_id;
        Justification by;
        std::optional<Time> expires_at;
        bool known = false;  // it was there before
    };
    std::map<Uuid, Asked> asked_;
    RelaySelection relays_;
    struct Kept {
        std::string client_key;
        std::string gateway_key;
        PairCredentials credentials;
    };
    std::map<Uuid, Kept> credentials_;  // by gateway; derived once, at most kMaxPeers
};

}  // namespace fatwal::channel
