#include "relay_desk.h"

#include <spdlog/spdlog.h>

#include <cmath>

#include "fatwal/channel/json_text.h"
#include "process.h"
#include "token_row.h"

namespace fatwal::worker {
namespace {

constexpr auto kLookEvery = std::chrono::seconds(1);
constexpr std::size_t kMostWaiting = 1000;

void say(Link& link, const char* event, Json payload) {
    link.send(text_of({{"event", event}, {"payload", std::move(payload)}}));
}

std::optional<std::string> address_of(const Json& payload, const char* key, bool v6) {
    const auto found = payload.find(key);
    if (found == payload.end() || !found->is_string()) return std::nullopt;
    const auto address = channel::IpAddress::parse(found->get_ref<const std::string&>());
    return address && address->v6 == v6 ? std::optional(address->to_text()) : std::nullopt;
}

std::optional<channel::Relay> relay_of(const channel::RelayId& id, const Json& payload) {
    if (!payload.is_object()) return std::nullopt;
    channel::Relay out;
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
        const channel::Location location{*lat, *lon};
        if (std::abs(location.lat) <= 90 && std::abs(location.lon) <= 180) out.location = location;
    }
    return out;
}

}  // namespace

RelayDesk::RelayDesk(boost::asio::io_context& io, Feeds& feeds, const Settings& settings,
                     Handlers handlers)
    : io_(io), feeds_(feeds), settings_(settings), handlers_(std::move(handlers)), timer_(io) {}

RelayDesk::~RelayDesk() {
    close_all();
    if (feed_) feed_->stop();
}

void RelayDesk::join(JoinRequest request, std::shared_ptr<Link> link) {
    if (waiting_.size() >= kMostWaiting) return disconnect_link(*link, "full");
    std::shared_ptr<void> follows;
    if (request.token.account_id) {
        follows = handlers_.follow(*request.token.account_id);
    } else if (!feed_) {
        feed_ = std::make_shared<Feed>(
            io_, feeds_, settings_, std::nullopt,
            Feed::Handlers{[this] { review(); },
                           [this](const channel::Affected&, channel::Time) { review(); }});
        feed_->start();
    }
    if (!std::exchange(looks_, true)) look_later();
    link->closed = [this, which = link.get()] {
        std::erase_if(waiting_,
                      [&](const Waiting& waiting) { return waiting.link.get() == which; });
    };
    waiting_.push_back(
        {std::move(request), std::move(link), std::move(follows),
         std::chrono::steady_clock::now() + std::chrono::seconds(settings_.join_timeout_s)});
    review();
}

const channel::AccountState* RelayDesk::state_of(const JoinRequest& request) const {
    if (request.token.account_id) return handlers_.state(*request.token.account_id);
    return feed_ ? &feed_->state() : nullptr;
}

bool RelayDesk::valid(const JoinRequest& request, const channel::AccountState& state) {
    const auto* token = state.token(request.token.token_id);
    if (token == nullptr) return false;
    if (request.token.account_id && (state.account() == nullptr || state.account()->disabled_at))
        return false;
    const TokenRow row = token_row(*token);
    return !token_refusal(request.token, Role::Relay, request.device_id, &row, wall_clock());
}

// Judged already, so that whoever may not in puts nobody out.
void RelayDesk::admit(Waiting waiting) {
    const channel::RelayId id{waiting.request.device_id, waiting.request.token.account_id};
    end(id, "replaced");
    const auto& link = waiting.link;
    link->received = [this, id, which = link.get()](std::string_view text) {
        received(id, which, text);
    };
    link->closed = [this, id, which = link.get()] { gone(id, which); };
    handlers_.admitted(waiting.request);
    say(*link, "init", Json::object());
    relays_[id] = {std::move(waiting.request), std::move(waiting.link), std::move(waiting.follows),
                   false};
}

void RelayDesk::review() {
    const auto now = std::chrono::steady_clock::now();
    std::map<channel::RelayId, std::string> over;
    for (const auto& [id, relay] : relays_) {
        const auto* state = state_of(relay.request);
        if (state == nullptr)
            over.emplace(id, "going_away");
        else if (state->live() && !valid(relay.request, *state))
            over.emplace(id, "token_expired");
    }
    for (const auto& [id, reason] : over) end(id, reason);
    for (Waiting& waiting : std::exchange(waiting_, {})) {
        if (!waiting.request.token.account_id && feed_->waits_for_turn())
            waiting.until = now + std::chrono::seconds(settings_.join_timeout_s);
        const auto* state = state_of(waiting.request);
        const bool live = state != nullptr && state->live();
        if (live && valid(waiting.request, *state))
            admit(std::move(waiting));
        else if (waiting.until <= now || state == nullptr)
            disconnect_link(*waiting.link, live ? "invalid_token" : "try_again");
        else
            waiting_.push_back(std::move(waiting));
    }
}

void RelayDesk::publication_changed(wire::Lsn at) {
    if (feed_) feed_->publication_changed(at);
}

// Tokens expire though no row changes.
void RelayDesk::look_later() {
    timer_.expires_after(kLookEvery);
    timer_.async_wait([this](boost::system::error_code error) {
        if (error) return;
        review();
        look_later();
    });
}

void RelayDesk::received(const channel::RelayId& id, const Link* link, std::string_view text) {
    const auto found = relays_.find(id);
    if (found == relays_.end() || found->second.link.get() != link) return;
    const Json message = channel::parse_json(text).value_or(Json());
    const auto relay = message.is_object() && message.value("event", Json()) == "announce"
                           ? relay_of(id, message.value("payload", Json()))
                           : std::nullopt;
    if (!relay)
        return say(*found->second.link, "reply",
                   {{"status", "error"}, {"reason", "invalid_message"}});
    found->second.announced = true;
    handlers_.online(*relay);
}

void RelayDesk::gone(const channel::RelayId& id, const Link* link) {
    const auto found = relays_.find(id);
    if (found == relays_.end() || found->second.link.get() != link) return;
    const bool announced = found->second.announced;
    relays_.erase(found);
    if (announced) handlers_.offline(id);
}

void RelayDesk::end(const channel::RelayId& id, const std::string& reason) {
    const auto found = relays_.find(id);
    if (found == relays_.end()) return;
    const auto link = found->second.link;
    disconnect_link(*link, reason);
    gone(id, link.get());
}

void RelayDesk::close_all() {
    for (const Waiting& waiting : std::exchange(waiting_, {}))
        disconnect_link(*waiting.link, "going_away");
    while (!relays_.empty()) end(relays_.begin()->first, "going_away");
}

}  // namespace fatwal::worker
