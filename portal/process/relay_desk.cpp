#include "portal/process/relay_desk.h"

#include <spdlog/spdlog.h>

#include <cmath>

#include "portal/access/json_text.h"
#include "portal/process/clock.h"
#include "portal/process/envelope.h"
#include "portal/process/token_row.h"

namespace fatwal::process {
namespace {

using access::Json;

constexpr auto kRelaysEvery = std::chrono::seconds(1);

// What a device, or an account's devices together, may send; a relay never asks for flows.
Rates rates_of(int messages_per_second) {
    return {static_cast<double>(messages_per_second), 0, messages_per_second * kBytesOfMessage};
}

void reply_error(Link& link, const char* reason, const Json& ref = {}) {
    link.send(reply_envelope(false, {{"reason", reason}}, ref));
}

std::optional<std::string> address_of(const Json& payload, const char* key, bool v6) {
    const auto found = payload.find(key);
    if (found == payload.end() || !found->is_string()) return std::nullopt;
    const auto address = access::IpAddress::parse(found->get_ref<const std::string&>());
    return address && address->v6 == v6 ? std::optional(address->to_text()) : std::nullopt;
}

std::optional<access::Relay> relay_of(const access::RelayId& id, const Json& payload) {
    if (!payload.is_object()) return std::nullopt;
    access::Relay out;
    out.id = id;
    out.ipv4 = address_of(payload, "ipv4", false);
    out.ipv6 = address_of(payload, "ipv6", true);
    if (!out.ipv4 && !out.ipv6) return std::nullopt;
    const auto port = payload.find("port");
    if (port != payload.end()) {
        if (!port->is_number_unsigned() || *port == 0 || *port > 65'535) return std::nullopt;
        out.port = port->get<std::uint16_t>();
    }
    const auto secret = payload.find("secret");
    if (secret == payload.end() || !secret->is_string() ||
        secret->get_ref<const std::string&>().empty())
        return std::nullopt;
    out.secret = *secret;
    const auto lat = payload.find("lat");
    const auto lon = payload.find("lon");
    if (lat != payload.end() && lon != payload.end() && lat->is_number() && lon->is_number()) {
        const access::Location location{*lat, *lon};
        if (std::abs(location.lat) <= 90 && std::abs(location.lon) <= 180) out.location = location;
    }
    return out;
}

// The token of a relay that may be connected; null when it may not. `state`: its account's, ready.
const portal::Tokens* valid_token(const JoinRequest& request, const access::AccountState& state) {
    const auto* token = state.token(request.token.token_id);
    if (token == nullptr) return nullptr;
    if (request.token.account_id && (state.account() == nullptr || state.account()->disabled_at))
        return nullptr;
    const TokenRow row = token_row(*token);
    const bool is_refused =
        token_refusal(request.token, Role::Relay, request.device_id, &row, wall_clock())
            .has_value();
    return is_refused ? nullptr : token;
}

}  // namespace

RelayDesk::RelayDesk(boost::asio::io_context& io, Feeds& feeds, const Settings& settings,
                     Handlers handlers)
    : io_(io), feeds_(feeds), settings_(settings), handlers_(std::move(handlers)), timer_(io) {}

RelayDesk::~RelayDesk() {
    close_all();
    if (feed_) feed_->stop();
}

RelayDesk::Rows RelayDesk::rows_of(const Feed& feed) {
    return {&feed.state(), feed.state().live() && !feed.is_applying(), feed.waits_for_turn()};
}

RelayDesk::Rows RelayDesk::rows_of(const Group& group) const {
    return group.account ? handlers_.rows(*group.account) : rows_of(*feed_);
}

RelayDesk::Group& RelayDesk::group_of(const std::optional<Uuid>& account) {
    return groups_
        .try_emplace(account, Group{account,
                                    RateLimit(rates_of(settings_.account_messages_per_second)),
                                    Bucket(account ? kChangesOfAccount : kChangesOfOperators),
                                    {},
                                    {}})
        .first->second;
}

void RelayDesk::follow_operators() {
    feed_ = std::make_shared<Feed>(
        io_, feeds_, settings_, std::nullopt,
        Feed::Handlers{[this] { review(std::nullopt); },
                       [this](const access::Affected&, access::Instant) { review(std::nullopt); }});
    feed_->start();
}

void RelayDesk::join(JoinRequest request, std::shared_ptr<Link> link) {
    const auto account = request.token.account_id;
    Group& group = group_of(account);
    const std::size_t most = account ? kMostWaitingOfAccount : kMostWaitingOfOperators;
    if (group.waiting.size() >= most || (account && waiting_ >= kMostWaiting))
        return disconnect(*link, "full");
    if (!account && !feed_) follow_operators();
    if (!std::exchange(looks_, true)) look_later();
    Waiting waiting{
        std::move(link), std::move(request), account ? handlers_.follow(*account) : nullptr,
        std::chrono::steady_clock::now() + std::chrono::seconds(settings_.join_timeout_s)};
    if (settle(group, waiting, rows_of(group))) return;
    waiting.link->closed = [this, account, which = waiting.link.get()] {
        Group& of = group_of(account);
        for (Waiting& one : take_waiting(of))
            if (one.link.get() != which) keep_waiting(of, std::move(one));
    };
    keep_waiting(group, std::move(waiting));
}

void RelayDesk::keep_waiting(Group& group, Waiting waiting) {
    group.waiting.push_back(std::move(waiting));
    if (group.account) ++waiting_;
}

std::vector<RelayDesk::Waiting> RelayDesk::take_waiting(Group& group) {
    if (group.account) waiting_ -= group.waiting.size();
    return std::exchange(group.waiting, {});
}

bool RelayDesk::settle(Group& group, Waiting& waiting, const Rows& rows) {
    const auto now = std::chrono::steady_clock::now();
    if (rows.waits_for_turn) waiting.until = now + std::chrono::seconds(settings_.join_timeout_s);
    if (rows.is_ready)
        if (const auto* token = valid_token(waiting.request, *rows.state)) {
            admit(group, waiting, token->expires_at);
            return true;
        }
    if (waiting.until > now) return false;
    disconnect(*waiting.link, rows.is_ready ? "invalid_token" : "try_again");
    return true;
}

void RelayDesk::settle_waiting(Group& group, const Rows& rows) {
    for (Waiting& waiting : take_waiting(group))
        if (!settle(group, waiting, rows)) keep_waiting(group, std::move(waiting));
}

// Judged already, so that whoever may not in puts nobody out.
void RelayDesk::admit(Group& group, Waiting& waiting,
                      const std::optional<access::Instant>& token_ends) {
    const access::RelayId id{waiting.request.device_id, group.account};
    end(id, "replaced");
    Link& link = *waiting.link;
    link.received = [this, id, which = &link](std::string_view text) { received(id, which, text); };
    link.closed = [this, id, which = &link] { gone(id, which); };
    handlers_.admitted(waiting.request);
    link.send(envelope("init", Json::object()));
    group.connected.emplace(id.id,
                            Connected{std::move(waiting.link),
                                      std::move(waiting.request),
                                      std::move(waiting.follows),
                                      token_ends,
                                      {},
                                      RateLimit(rates_of(settings_.client_messages_per_second))});
}

void RelayDesk::review(const std::optional<Uuid>& account) {
    const auto found = groups_.find(account);
    if (found == groups_.end()) return;
    Group& group = found->second;
    // Between two parts of a transaction a token may be away that is there before and after it.
    const Rows rows = rows_of(group);
    if (!rows.is_ready) return;
    std::vector<Uuid> over;
    for (auto& [id, relay] : group.connected) {
        const auto* token = valid_token(relay.request, *rows.state);
        if (token == nullptr)
            over.push_back(id);
        else
            relay.token_ends = token->expires_at;
    }
    for (const Uuid& id : over) end({id, account}, "token_expired");
    settle_waiting(group, rows);
}

void RelayDesk::account_failed(const Uuid& account) {
    const auto found = groups_.find(account);
    if (found != groups_.end()) end_group(found->second);
}

void RelayDesk::publication_changed(wire::Lsn at) {
    if (feed_) feed_->publication_changed(at);
}

void RelayDesk::look() {
    const auto now = wall_clock();
    std::vector<access::RelayId> over;
    for (auto& [account, group] : groups_) {
        for (const auto& [id, relay] : group.connected)
            if (relay.token_ends && *relay.token_ends <= now) over.push_back({id, account});
        if (!group.waiting.empty()) settle_waiting(group, rows_of(group));
    }
    for (const auto& id : over) end(id, "token_expired");
    const auto tick = std::chrono::steady_clock::now();
    std::erase_if(groups_, [&](const auto& entry) {
        const Group& group = entry.second;
        return group.connected.empty() && group.waiting.empty() && group.limit.is_full(tick) &&
               group.changes.is_full(tick);
    });
}

void RelayDesk::look_later() {
    timer_.expires_after(kRelaysEvery);
    timer_.async_wait([this](boost::system::error_code error) {
        if (error) return;
        look();
        look_later();
    });
}

RelayDesk::Connected* RelayDesk::find(const access::RelayId& relay, const Link* link) {
    const auto group = groups_.find(relay.account_id);
    if (group == groups_.end()) return nullptr;
    const auto found = group->second.connected.find(relay.id);
    return found != group->second.connected.end() && found->second.link.get() == link
               ? &found->second
               : nullptr;
}

void RelayDesk::received(const access::RelayId& id, const Link* link, std::string_view text) {
    Connected* relay = find(id, link);
    if (relay == nullptr) return;
    Group& group = group_of(id.account_id);
    const auto now = std::chrono::steady_clock::now();
    // Before it is read: that costs most.
    if (!RateLimit::take_message(relay->limit, group.limit, text.size(), now))
        return reply_error(*relay->link, "rate_limited");
    const Json message = access::parse_json(text).value_or(Json());
    const Json ref = message.is_object() ? message.value("ref", Json()) : Json();
    auto announced = message.is_object() && message.value("event", Json()) == "announce"
                         ? relay_of(id, message.value("payload", Json()))
                         : std::nullopt;
    if (!announced) return reply_error(*relay->link, "invalid_message", ref);
    if (relay->announced == announced) return;
    if (!relay->changes.has(1, now) || !group.changes.has(1, now))
        return reply_error(*relay->link, "rate_limited", ref);
    relay->changes.take(1);
    group.changes.take(1);
    relay->announced = std::move(announced);
    handlers_.online(*relay->announced);
}

void RelayDesk::gone(const access::RelayId& id, const Link* link) {
    const Connected* relay = find(id, link);
    if (relay == nullptr) return;
    const bool was_announced = relay->announced.has_value();
    group_of(id.account_id).connected.erase(id.id);
    if (was_announced) handlers_.offline(id);
}

void RelayDesk::end(const access::RelayId& id, const std::string& reason) {
    Group& group = group_of(id.account_id);
    const auto found = group.connected.find(id.id);
    if (found == group.connected.end()) return;
    const auto link = found->second.link;
    disconnect(*link, reason);
    gone(id, link.get());
}

void RelayDesk::end_group(Group& group) {
    for (const Waiting& waiting : take_waiting(group)) disconnect(*waiting.link, "going_away");
    while (!group.connected.empty())
        end({group.connected.begin()->first, group.account}, "going_away");
}

void RelayDesk::close_all() {
    for (auto& [account, group] : groups_) end_group(group);
}

std::size_t RelayDesk::size() const {
    std::size_t out = 0;
    for (const auto& [account, group] : groups_) out += group.connected.size();
    return out;
}

}  // namespace fatwal::process
