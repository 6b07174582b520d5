// What the channels of clients and of gateways have in common: how a session begins and ends, its
// token, its relays, and the ICE candidates that devices exchange. Written once, so that no check
// stands on one side only.
//
//            start()          on_snapshot() of a live state
//     Created ─────► Waiting ──────────────────────────────► Joined ──► Closed
//        │ start(), the state is live: Refuse, or what the device is shown    ▲
//        └─────────────────────────────────────────────────────┘ Disconnect ──┘
//
// Events in, actions out. After each call ask next_deadline(), which may have moved. When closed()
// it takes nothing more; destroy it. Every event of another phase than Joined does nothing, but for
// start() and on_snapshot(), which make the join.
//
// Two times. A token, a policy's window and a flow end at an instant of the wall clock. An answer
// or a row is waited for by a length of time, which stays as long when the wall clock is set: those
// are ticks, which the channel reckons from the instants that it is given and from what
// clock_was_set() said. Neither can be compared with the other: they are two types.
//
// Rule of threads: one thread at a time, as all of an account (basics.h).
//
// Invariants:
// - A channel is attached to the account's state from start() on until it is destroyed, so changes
//   find it also while it waits.
// - A joined channel has a token by which its session may be: each recomputation asks refusal()
//   again, and the token's end is a deadline.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "portal/access/access.h"
#include "portal/access/action.h"
#include "portal/access/channel_context.h"
#include "portal/access/version.h"

namespace fatwal::access {

struct BroadcastIce;
struct CreateFlow;
struct FlowAnswer;

class Channel {
public:
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    // First. With a live state: init, or Refuse. Without, nothing: the answer comes from
    // on_snapshot().
    [[nodiscard]] Actions start(Instant now);
    // The state has ended a snapshot: init for whoever waits for it, the difference for the others.
    [[nodiscard]] Actions on_snapshot(Instant now);
    // Relays said that channels must hear of it.
    [[nodiscard]] Actions on_relays(Instant now);
    // next_deadline() has come.
    [[nodiscard]] Actions on_time(Instant now);
    // The clock that `now` is of was set by this much: `now` is what it says since.
    [[nodiscard]] Actions clock_was_set(Instant::duration moved, Instant now);
    // A message from the device: create_flow of a client, flow_authorized of a gateway,
    // broadcast_ice_candidates and broadcast_invalidated_ice_candidates of either.
    [[nodiscard]] Actions on_message(std::string_view event, const Json& payload, Instant now);
    // From a channel of the other kind or the writer of flows, for this session.
    [[nodiscard]] Actions on_peer(const PeerMessage& message, Instant now);

    // When on_time() is to be called at the latest; nothing: never. Not before it is there any need
    // to.
    [[nodiscard]] std::optional<Instant> next_deadline() const;
    [[nodiscard]] bool closed() const { return phase_ == Phase::Closed; }

protected:
    // What the connection says of itself.
    struct Session {
        Device device = Device::Client;
        Uuid id;
        Uuid token_id;
        std::string version;
        std::optional<Location> location;
    };
    Channel(ChannelContext context, Session session);
    ~Channel();

    [[nodiscard]] bool joined() const { return phase_ == Phase::Joined; }
    [[nodiscard]] const ChannelContext& context() const { return context_; }
    [[nodiscard]] const AccountState& state() const { return context_.state; }
    [[nodiscard]] const Uuid& token_id() const { return session_.token_id; }
    // Of a channel that has joined.
    [[nodiscard]] const Version& version() const { return version_; }
    [[nodiscard]] const std::optional<Instant>& token_expires_at() const {
        return token_expires_at_;
    }
    // The instant as a tick, and back.
    [[nodiscard]] Tick tick(Instant now) const { return Tick((now - set_by_).time_since_epoch()); }
    [[nodiscard]] Instant instant(Tick tick) const {
        return Instant(tick.time_since_epoch()) + set_by_;
    }
    // The payload of init; from then on the device is sent what differs.
    [[nodiscard]] Json relays_of_init(Instant now);
    // The token's row may have another end.
    void read_token();
    // Nothing if the session may stay.
    void end_if(const std::optional<Refusal>& refusal, Actions& out);
    void close() { phase_ = Phase::Closed; }
    [[nodiscard]] bool was_started() const { return phase_ != Phase::Created; }

private:
    enum class Phase : std::uint8_t { Created, Waiting, Joined, Closed };

    // Why the session may not be.
    [[nodiscard]] virtual std::optional<Refusal> refusal(Instant now) const = 0;
    // It has joined: what the device is shown first.
    virtual void enter(Instant now, Actions& out) = 0;
    // A new snapshot, or another history.
    virtual void renew(Instant now, Actions& out) = 0;
    // The wall clock was set: windows that had begun may not have, and no deadline says so.
    virtual void reconsider(Instant now, Actions& out) = 0;
    // What else is due.
    virtual void pass(Instant now, Actions& out) = 0;
    [[nodiscard]] virtual std::optional<Instant> own_deadline() const = 0;
    virtual void disconnected() {}
    // Which of these devices it exchanges candidates with, and where they are.
    [[nodiscard]] virtual std::vector<Address> reachable(const std::set<Uuid>& peers) const = 0;
    [[nodiscard]] virtual bool knows(const Uuid& peer) const = 0;
    // A message of the device. Each kind of device has one of its own.
    virtual void create_flow(const CreateFlow& message, Instant now, Actions& out);
    virtual void answer(const FlowAnswer& message, Instant now, Actions& out);
    virtual void take_peer(const PeerMessage& message, Instant now, Actions& out) = 0;

    void join(Instant now, Actions& out);
    void disconnect(std::string reason, Actions& out);
    void push_relays(Instant now, Actions& out);
    void broadcast(const BroadcastIce& message, Actions& out) const;
    [[nodiscard]] RelayUser relay_user() const;

    ChannelContext context_;
    Session session_;
    Phase phase_ = Phase::Created;
    Version version_;
    std::optional<Instant> token_expires_at_;
    RelaySelection relays_;
    Instant::duration set_by_{0};
};

}  // namespace fatwal::access
