// The server's side of one connected gateway.
//
// It translates. What the gateway lets through, and what becomes of it, is decided by
// Authorizations; how a session begins and ends, by Channel. Here their decisions become messages,
// and messages their events.
//
// `init` is authoritative: the device drops whatever it does not list. So while a session joins,
// the reviews of what is taken in from rows push nothing, and `init` follows behind them.
//
// A gateway can hold 100,000 pairs, and one row can concern them all. start(), on_snapshot(),
// on_transaction() and reject_all() therefore do a first part and give its actions: a millisecond's
// work or two. While has_more(), call go_on() and nothing else, and leave the state as it is.
//
// Rule of threads: one thread at a time, as all of an account (basics.h).
//
// Invariants: decisions become actions in their order, so allow and reject of one pair leave in the
// order decided; the pages of an `init` list each pair that is held, and nothing comes in between.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "portal/access/authorizations.h"
#include "portal/access/channel.h"
#include "portal/access/init_pages.h"

namespace fatwal::access {

struct GatewayJoin {
    Uuid gateway_id;
    Uuid token_id;
    std::string version;
    std::optional<IpAddress> remote_ip;
    std::optional<Location> location;
    Generation generation = 0;
};

class GatewayChannel final : public Channel {
public:
    GatewayChannel(const ChannelContext& context, const GatewayJoin& join);

    // The state has applied a transaction that has this gateway among its Affected::gateways.
    [[nodiscard]] Actions on_transaction(GatewayImpact impact, Instant now);
    // An administrator takes the pair away, whatever justifies it. The client may ask for it again.
    [[nodiscard]] Actions reject(const Pair& pair);
    [[nodiscard]] Actions reject_all();
    // For a session that is over: closes the channel and drops a part of what it holds (the
    // destructor drops all at once). False when nothing is left; until then no other channel of the
    // gateway may exist.
    bool let_go();
    [[nodiscard]] bool has_more() const { return rest_.has_value(); }
    [[nodiscard]] Actions go_on(Instant now);

    [[nodiscard]] const Uuid& gateway_id() const { return gateway_id_; }
    [[nodiscard]] std::size_t pair_count() const { return authorizations_.size(); }
    [[nodiscard]] bool holds(const Pair& pair) const { return authorizations_.holds(pair); }

private:
    // What a call has left to do, behind the job of the authorizations.
    struct Rest {
        bool is_join = false;                 // the device learns of it by init alone
        bool is_of_itself = false;            // init is due if it differs
        std::optional<Refusal> refusal = {};  // then it ends
        std::optional<InitPages> pages = {};
        std::vector<Pair> listed = {};  // the entries of the pages
    };

    [[nodiscard]] std::optional<Refusal> refusal(Instant now) const override;
    void enter(Instant now, Actions& out) override;
    void renew(Instant now, Actions& out) override;
    void reconsider(Instant now, Actions& out) override;
    void pass(Instant now, Actions& out) override;
    [[nodiscard]] std::optional<Instant> own_deadline() const override;
    [[nodiscard]] std::vector<Address> reachable(const std::set<Uuid>& peers) const override;
    [[nodiscard]] bool knows(const Uuid& peer) const override;
    void answer(const FlowAnswer& message, Instant now, Actions& out) override;
    void take_peer(const PeerMessage& message, Instant now, Actions& out) override;

    void begin(Authorizations::Job job, Rest rest, Instant now, Actions& out);
    // A job that may concern the gateway itself: reads its own token and refusal again.
    void begin_of_itself(Authorizations::Job job, Instant now, Actions& out);
    void work_off(Instant now, Actions& out);
    void begin_init(Instant now);
    void authorize(const Authorize& message, Instant now, Actions& out);
    [[nodiscard]] Json authorization(const Pair& pair) const;
    // Of init: the account's slug and the own addresses.
    [[nodiscard]] Json own_parts() const;

    Uuid gateway_id_;
    Authorizations authorizations_;
    std::optional<Rest> rest_;
    Json shown_;  // own_parts(), as the device was sent them
};

}  // namespace fatwal::access
