#include "portal/access/channel.h"

#include <utility>

#include "fatwal/wire/invariant.h"
#include "portal/access/device_message.h"

namespace fatwal::access {

Channel::Channel(ChannelContext context, Session session)
    : context_(std::move(context)), session_(std::move(session)) {}

Channel::~Channel() {
    if (phase_ == Phase::Created) return;
    Watchers& watchers = context_.state.watchers();
    if (session_.device == Device::Client)
        watchers.detach_client(session_.id, session_.token_id);
    else
        watchers.detach_gateway(session_.id, session_.token_id);
}

Actions Channel::start(Instant now) {
    Actions out;
    if (phase_ != Phase::Created) return out;
    Watchers& watchers = context_.state.watchers();
    if (session_.device == Device::Client)
        watchers.attach_client(session_.id, session_.token_id);
    else
        watchers.attach_gateway(session_.id, session_.token_id);
    phase_ = Phase::Waiting;
    if (state().live()) join(now, out);
    return out;
}

void Channel::join(Instant now, Actions& out) {
    FATWAL_INVARIANT(phase_ == Phase::Waiting, "a session joins once");
    const auto version = Version::parse(session_.version);
    auto reason = version ? refusal(now) : Refusal("invalid_version");
    if (reason) {
        phase_ = Phase::Closed;
        out.emplace_back(Refuse{std::move(*reason)});
        return;
    }
    version_ = *version;
    phase_ = Phase::Joined;
    read_token();
    enter(now, out);
}

void Channel::read_token() {
    if (const auto* token = state().token(session_.token_id)) token_expires_at_ = token->expires_at;
}

void Channel::end_if(const std::optional<Refusal>& refusal, Actions& out) {
    if (!refusal) return;
    // To the device a token that is gone is one that has expired: it signs in again.
    disconnect(*refusal == "invalid_token" ? "token_expired" : *refusal, out);
}

void Channel::disconnect(std::string reason, Actions& out) {
    phase_ = Phase::Closed;
    disconnected();
    out.emplace_back(Disconnect{std::move(reason)});
}

Actions Channel::on_snapshot(Instant now) {
    Actions out;
    if (!state().live()) return out;
    if (phase_ == Phase::Waiting)
        join(now, out);
    else if (phase_ == Phase::Joined)
        renew(now, out);
    return out;
}

RelayUser Channel::relay_user() const {
    return {state().account_id(), session_.id, session_.location, token_expires_at_};
}

Json Channel::relays_of_init(Instant now) {
    return relays_.init(context_.relays, relay_user(), now, context_.random);
}

void Channel::push_relays(Instant now, Actions& out) {
    if (auto payload = relays_.update(context_.relays, relay_user(), now, context_.random))
        out.emplace_back(to_push(RelaysPresence{std::move(*payload)}));
}

Actions Channel::on_relays(Instant now) {
    Actions out;
    if (phase_ == Phase::Joined) push_relays(now, out);
    return out;
}

Actions Channel::on_time(Instant now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (token_expires_at_ && *token_expires_at_ <= now) {
        disconnect("token_expired", out);
        return out;
    }
    if (relays_.next_deadline() && *relays_.next_deadline() <= now) push_relays(now, out);
    pass(now, out);
    return out;
}

Actions Channel::clock_was_set(Instant::duration moved, Instant now) {
    set_by_ += moved;
    Actions out = on_time(now);
    if (phase_ == Phase::Joined && state().live()) reconsider(now, out);
    return out;
}

std::optional<Instant> Channel::next_deadline() const {
    if (phase_ != Phase::Joined) return std::nullopt;
    return earlier(earlier(token_expires_at_, relays_.next_deadline()), own_deadline());
}

Actions Channel::on_message(std::string_view event, const Json& payload, Instant now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    const DeviceMessage message = read_device_message(session_.device, event, payload);
    if (const auto* unreadable = std::get_if<Unreadable>(&message))
        out.emplace_back(Reply{false, {{"reason", unreadable->reason}}});
    else if (const auto* ice = std::get_if<BroadcastIce>(&message))
        broadcast(*ice, out);
    else if (const auto* request = std::get_if<CreateFlow>(&message))
        create_flow(*request, now, out);
    else if (const auto* from_gateway = std::get_if<FlowAnswer>(&message))
        answer(*from_gateway, now, out);
    return out;
}

void Channel::broadcast(const BroadcastIce& message, Actions& out) const {
    const std::set<Uuid> peers(message.peers.begin(), message.peers.end());
    for (const Address& to : reachable(peers))
        out.emplace_back(
            Send{to, IceCandidates{session_.id, message.candidates, message.invalidated}});
}

// read_device_message() reads no message of the other kind of device.
void Channel::create_flow(const CreateFlow& message, Instant now, Actions& out) {
    (void)message, (void)now, (void)out;
    FATWAL_INVARIANT(false, "only clients ask for flows");
}
void Channel::answer(const FlowAnswer& message, Instant now, Actions& out) {
    (void)message, (void)now, (void)out;
    FATWAL_INVARIANT(false, "only gateways answer authorizations");
}

Actions Channel::on_peer(const PeerMessage& message, Instant now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (const auto* ice = std::get_if<IceCandidates>(&message)) {
        const Device other = session_.device == Device::Client ? Device::Gateway : Device::Client;
        if (knows(ice->from)) out.emplace_back(to_push(IceArrived{other, *ice}));
    } else {
        take_peer(message, now, out);
    }
    return out;
}

}  // namespace fatwal::access
