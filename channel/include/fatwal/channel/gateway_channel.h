// The server's side of one connected gateway.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fatwal/channel/access.h"
#include "fatwal/channel/action.h"
#include "fatwal/channel/channel_context.h"
#include "fatwal/channel/init_pages.h"
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

// Events in, actions out. After each call ask next_deadline(), which may have moved. When closed()
// it takes nothing more; destroy it.
//
// A gateway can hold 100,000 pairs, and one row can concern them all. start(), on_snapshot(),
// on_transaction() and reject_all() therefore do a first part and give its actions: a millisecond's
// work or two. While has_more(), call go_on() and nothing else, and leave the state as it is.
class GatewayChannel {
public:
    GatewayChannel(ChannelContext context, GatewayJoin join);
    ~GatewayChannel();
    GatewayChannel(const GatewayChannel&) = delete;
    GatewayChannel& operator=(const GatewayChannel&) = delete;

    // First. With a live state: init, or Refuse. Without, nothing: the answer comes from
    // on_snapshot().
    [[nodiscard]] Actions start(Time now);
    // The state has ended a snapshot: init for whoever waits for it; the others lose what is not
    // justified any more.
    [[nodiscard]] Actions on_snapshot(Time now);
    // The state has applied a transaction that has this gateway among its Affected::gateways.
    [[nodiscard]] Actions on_transaction(GatewayImpact impact, Time now);
    [[nodiscard]] Actions on_relays(Time now);
    [[nodiscard]] Actions on_time(Time now);
    // The clock that `now` is of was set by this much: `now` is what it says since.
    [[nodiscard]] Actions clock_was_set(Time::duration moved, Time now);
    // A message from the device: flow_authorized, broadcast_ice_candidates,
    // broadcast_invalidated_ice_candidates.
    [[nodiscard]] Actions on_message(std::string_view event, const Json& payload, Time now);
    // An administrator takes the pair away, whatever justifies it. The client may ask for it again.
    [[nodiscard]] Actions reject(const Pair& pair);
    [[nodiscard]] Actions reject_all();
    // For a session that is over: gives up a part of what it holds, as the destructor does at once
    // with all; false when nothing is left. No other channel of the gateway may be there yet.
    bool let_go();
    [[nodiscard]] bool has_more() const { return rest_.has_value(); }
    [[nodiscard]] Actions go_on(Time now);
    // From a client's channel or the writer of flows, for this session.
    [[nodiscard]] Actions on_peer(const PeerMessage& message, Time now);

    [[nodiscard]] std::optional<Time> next_deadline() const;

    [[nodiscard]] bool closed() const { return phase_ == Phase::Closed; }
    [[nodiscard]] const Uuid& gateway_id() const { return join_.gateway_id; }
    [[nodiscard]] std::size_t pair_count() const { return pairs_.size(); }
    [[nodiscard]] bool holds(const Pair& pair) const { return pairs_.contains(pair); }

private:
    enum class Phase : std::uint8_t { Created, Waiting, Joined, Closed };
    struct Flow {
        Justification by;
        std::optional<Time> expires_at;
        Position decided_at;             // a state that is behind does not judge it
        std::optional<Time> durable_by;  // nothing: its row is written
        bool seen = false;               // the state has held its row
        bool missed = false;     // a snapshot has come without its row, which was not written yet
        bool shortened = false;  // it ends before its row says
    };
    // What a gateway is told of a client: with another key or another address it is another peer of
    // the tunnel.
    struct Tunnel {
        std::string public_key;
        std::string ipv4;
        std::string ipv6;
        friend bool operator==(const Tunnel&, const Tunnel&) = default;
    };
    struct Held {
        std::unordered_map<Uuid, Flow> flows;  // never empty between two calls
        std::optional<ClientContext>
            client;        // where the client is connected from; nothing: by its row
        Tunnel tunnel;     // as the device was told,
        Position told_at;  // by a state at this position
    };
    using Pairs = std::map<Pair, Held>;
    // The resource as the device was given it, while any pair has it.
    struct Shown {
        portal::Resources row;
        std::size_t pairs = 0;
    };
    // The latest of the flows; nothing: no end.
    using Expiry = std::optional<Time>;
    template <class T>
    struct Remaining {
        std::vector<T> all = {};
        std::size_t next = 0;
        [[nodiscard]] bool empty() const { return next == all.size(); }
        const T& take() { return all[next++]; }
    };
    // What a call has left to do, in this order.
    struct Rest {
        Remaining<Uuid> flows = {};                  // whose rows are to be taken in
        Ids deleted = {};                            // flows whose rows are gone:
        Ids::const_iterator unread = deleted.end();  // from here on it is not known which pairs
        std::vector<Pair> also = {};                 // they are of, but for those of `pairs`
        bool is_gathered = false;
        Remaining<Pair> pairs = {};  // to be reviewed, or rejected
        std::optional<InitPages> pages = {};
        std::vector<Pair> shown = {};  // the entries of the pages

        Ids moved_clients = {};
        bool is_join = false;       // the device learns of it by init alone
        bool is_of_itself = false;  // init is due if it differs
        bool rejects = false;
        std::optional<Refusal> refusal = {};  // then it ends
    };

    void join(Time now, Actions& out);
    void begin(Rest rest, Time now, Actions& out);
    void work_off(Time now, Actions& out);
    void take_in(const Uuid& flow_id, Time now, Actions& out);
    // Which pairs are to be reviewed.
    void gather(Time now);
    void begin_init(Time now);
    [[nodiscard]] Json authorization(const Pair& pair) const;
    [[nodiscard]] std::vector<Pair> all_pairs() const;
    [[nodiscard]] RelayUser relay_user() const;
    void tell_relays(Time now, Actions& out);
    void disconnect(std::string reason, Actions& out);
    // Compares the flows with the rows of a new snapshot: those of them whose rows are gone.
    [[nodiscard]] Ids missing_rows(Time now);
    [[nodiscard]] static Tunnel tunnel_of(const portal::Clients& client);
    // Whether the client's row has another key or address than the device was told.
    [[nodiscard]] bool is_another_peer(const Pair& pair, const Held& held) const;
    // What the device was told of the pair's resource may not hold any more.
    void review_resource(const Pair& pair, const Ids& deleted, Actions& out);
    // Judges the flows of a pair; `deleted` are those whose rows are gone.
    void review(const Pair& pair, const Ids& deleted, Time now, Actions& out);
    // Another policy in place of `lost`, which did not do.
    bool replace(const Pair& pair, Held& held, const std::vector<Justification>& lost, Time now,
                 Actions& out);
    void reject(Pairs::iterator pair, const Ids& deleted, Actions& out);
    Held& add(const Pair& pair, const portal::Resources& resource, const Uuid& flow_id,
              const Flow& flow);
    void drop(Pairs::iterator pair);
    void remove_flow(Held& held, const Uuid& flow_id);
    // Of a flow whose end has come. Its row is left to the prune of rows, unless that says later.
    void remove_expired(Held& held, const Uuid& flow_id, Actions& out);
    void authorize(const Authorize& message, Time now, Actions& out);
    // The writer's word: the row was committed, or cannot be.
    void written(const Uuid& flow_id, Time now);
    void lose(const Uuid& flow_id, Time now, Actions& out);
    // Takes the flow away; nothing takes its place.
    void end_flow(const Uuid& flow_id, Actions& out);
    void await_row(const Uuid& flow_id, Flow& flow, Time now);
    // The row was written after its flow had been rejected here, as by a process that was paused:
    // it says that something is let through which is not.
    void await_request(const Uuid& flow_id, Time until);
    void answer(const Json& payload, Actions& out);
    void broadcast(const Json& payload, bool invalidated, Actions& out);
    [[nodiscard]] Json shown() const;
    [[nodiscard]] ClientContext context_of(const portal::Clients& client, const Held& held) const;
    [[nodiscard]] static Expiry expiry_of(const Held& held);
    [[nodiscard]] std::optional<Grant> judge(const Pair& pair, const Held& held,
                                             const Justification& by, Time now) const;

    ChannelContext context_;
    GatewayJoin join_;
    Phase phase_ = Phase::Created;
    Version version_;
    std::optional<Time> token_expires_at_;
    Pairs pairs_;
    std::unordered_map<Uuid, Pair> pair_of_flow_;
    std::unordered_map<Uuid, Shown> resources_;
    std::set<std::pair<Time, Uuid>>
        due_;  // when to look at a flow: it is overdue or expired, unless that has changed
    // Rows of this gateway whose flows nobody has asked it for: until when that may still come.
    std::unordered_map<Uuid, Time> unasked_;
    RelaySelection relays_;
    std::optional<Rest> rest_;
    Json shown_;  // of init: the account's slug and the own addresses
};

}  // namespace fatwal::channel
