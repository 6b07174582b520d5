// The server's side of one connected client.
//
// What the device is shown is a view, a pure function of the account's state, the session and now.
// Each event makes the view again, and the difference is pushed. No event has a push of its own.
//
// A flow that the device asks for is decided in memory (decide_flow()), and waits for its gateway's
// answer:
//
//     create_flow ─► connectable? ─► holds, until when? ─► gateway ─► Authorize to its channel
//                      not_found       forbidden            offline, version_mismatch
//     Authorize ─► FlowAuthorized: flow_created     FlowRefused, or no answer in 15 s: offline
//
// The device may ask again while it waits: one answer, to any of the flows, answers all. A flow
// that the client has already is asked for again with its own id ("known"), and no second row is
// written.
//
// Rule of threads: one thread at a time, as all of an account (basics.h).
//
// Invariants:
// - The view is that of the state as this channel was last told of it; `next_change` is a deadline.
// - What waits has at least one flow, the latest last, and fails at its deadline at the latest.
// - The row of a flow that was not established before is deleted if nothing comes of it.
// - Nothing is granted by a state that is not live, nor to a session that may not be.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "portal/access/channel.h"
#include "portal/access/client_view.h"
#include "portal/access/flow_decision.h"

namespace fatwal::access {

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

class ClientChannel final : public Channel {
public:
    ClientChannel(const ChannelContext& context, ClientJoin join);

    // The state has applied a transaction that has this client among its Affected::clients.
    [[nodiscard]] Actions on_transaction(Instant now);
    // A Send of this channel's could not be delivered: the session or its process is gone.
    [[nodiscard]] Actions undeliverable(const PeerMessage& message, Instant now);

    [[nodiscard]] const Uuid& client_id() const { return join_.client_id; }
    [[nodiscard]] const ClientView& view() const { return view_; }
    // By what it is decided when the device asks for a flow.
    [[nodiscard]] FlowAsker asker() const;

private:
    struct Pending {
        Tick deadline = {};
        std::vector<Uuid> flows = {};  // asked for and unanswered, the latest last
        Ids established = {};  // those that were there before: their rows stay whatever comes
    };
    // The last flow of a resource that this session has asked for.
    struct Asked {
        Uuid flow_id;
        Uuid gateway_id;
        Justification by;
        std::optional<Instant> expires_at;
        bool known = false;  // it was there before
    };
    // Derived once for the keys.
    struct Derived {
        std::string client_key;
        std::string gateway_key;
        PairCredentials credentials;
    };

    [[nodiscard]] std::optional<Refusal> refusal(Instant now) const override;
    void enter(Instant now, Actions& out) override;
    void renew(Instant now, Actions& out) override;
    void reconsider(Instant now, Actions& out) override { renew(now, out); }
    void pass(Instant now, Actions& out) override;
    [[nodiscard]] std::optional<Instant> own_deadline() const override;
    void disconnected() override { pending_.clear(); }
    [[nodiscard]] std::vector<Address> reachable(const std::set<Uuid>& peers) const override;
    [[nodiscard]] bool knows(const Uuid& peer) const override;
    void create_flow(const CreateFlow& message, Instant now, Actions& out) override;
    void take_peer(const PeerMessage& message, Instant now, Actions& out) override;

    [[nodiscard]] ClientContext session() const;
    void push_init(Instant now, Actions& out);
    // A known flow is asked for again unless that is what has just failed.
    void ask(const Uuid& resource_id, const std::vector<Uuid>& connected, bool may_be_known,
             Instant now, Actions& out);
    void authorize(const FlowDecision& decision, bool may_be_known, Instant now, Actions& out);
    // Notes that the flow waits for an answer.
    void await_answer(const Authorize& message, const Uuid& gateway_id, Instant now);
    // The flow by which this client has already what it would be given.
    struct KnownFlow {
        Uuid id;
        std::optional<Instant> expires_at;
    };
    [[nodiscard]] std::optional<KnownFlow> known_flow(const Uuid& resource_id,
                                                      const Uuid& gateway_id,
                                                      const Authorize& wanted, Instant now) const;
    void answered(const FlowAuthorized& answer, Instant now, Actions& out);
    // The gateway did not take the flow, or cannot be reached.
    void failed(const Uuid& resource_id, const Uuid& flow_id, Instant now, Actions& out);
    void fail_pending(const Uuid& resource_id, Actions& out);
    // Takes back what has had no answer and was not there before.
    static void withdraw(const Pending& pending, const Uuid& flow_id, Actions& out);
    const PairCredentials& credentials(const portal::Clients& client,
                                       const portal::Gateways& gateway);

    ClientJoin join_;
    ClientView view_;
    std::map<Uuid, Pending> pending_;      // by resource
    std::map<Uuid, Asked> asked_;          // by resource
    std::map<Uuid, Derived> credentials_;  // by gateway; at most kMaxPeers
};

}  // namespace fatwal::access
