#include "relay_desk.h"

#include <spdlog/spdlog.h>

#include <cmath>

#include "process.h"

namespace fatwal::worker {
namespace {

constexpr auto kLookEvery = std::chrono::seconds(1);

void say(Link& link, const char* event, Json payload) {
    link.send(text_of({{"event", event}, {"payload", std::move(payload)}}));
}

std::optional<std::string> address_of(const Json& payload, const char* key, bool v6) {
    const auto found = payload.find(key);
    if (found == payload.end() || !found->is_string()) return std::nullopt;
    const auto address = channel::IpAddress::parse(found->get_ref<const std::string&>());
    return address && address->v6 == v6 ? std::optional(address->to_text()) : std::nullopt;
}

std::optional<channel::Relay> relay_of(const Uuid& id, const Json& payload) {
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
    if (!feed_) {
        feed_ = std::make_shared<Feed>(
            io_, feeds_, settings_, std::nullopt,
            Feed::Handlers{[this] { review(); },
                           [this](const channel::Affected&, channel::Time) { review(); }});
        feed_->start();
        look_later();
    }
    const Uuid id = request.device_id;
    end(id, "replaced");
    link->received = [this, id, which = link.get()](std::string_view text) {
        received(id, which, text);
    };
    link->closed = [this, id, which = link.get()] { gone(id, which); };
    relays_[id] = {
        std::move(request), std::move(link), false, false,
        std::chrono::steady_clock::now() + std::chrono::seconds(settings_.join_timeout_s)};
    review();
}

bool RelayDesk::valid(const Connected& relay) const {
    const auto* token = feed_->state().token(relay.request.token.token_id);
    return token != nullptr && token->type == portal::TokenType::Relay &&
           (!token->expires_at || *token->expires_at > wall_clock()) &&
           relay.request.token.matches(token->secret_hash);
}

void RelayDesk::review() {
    std::vector<std::pair<Uuid, std::string>> over;
    const auto now = std::chrono::steady_clock::now();
    for (auto& [id, relay] : relays_) {
        if (feed_->waits_for_turn())
            relay.until = now + std::chrono::seconds(settings_.join_timeout_s);
        if (!feed_->state().live()) {
            if (!relay.admitted && relay.until <= now) over.emplace_back(id, "try_again");
        } else if (!valid(relay)) {
            over.emplace_back(id, relay.admitted ? "token_expired" : "invalid_token");
        } else if (!std::exchange(relay.admitted, true)) {
            say(*relay.link, "init", Json::object());
        }
    }
    for (const auto& [id, reason] : over) end(id, reason);
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

void RelayDesk::received(const Uuid& id, const Link* link, std::string_view text) {
    const auto found = relays_.find(id);
    if (found == relays_.end() || found->second.link.get() != link || !found->second.admitted)
        return;
    const Json message = Json::parse(text, nullptr, false);
    const auto relay = message.is_object() && message.value("event", Json()) == "announce"
                           ? relay_of(id, message.value("payload", Json()))
                           : std::nullopt;
    if (!relay)
        return say(*found->second.link, "reply",
                   {{"status", "error"}, {"reason", "invalid_message"}});
    found->second.announced = true;
    handlers_.online(*relay);
}

void RelayDesk::gone(const Uuid& id, const Link* link) {
    const auto found = relays_.find(id);
    if (found == relays_.end() || found->second.link.get() != link) return;
    const bool announced = found->second.announced;
    relays_.erase(found);
    if (announced) handlers_.offline(id);
}

void RelayDesk::end(const Uuid& id, const std::string& reason) {
    const auto found = relays_.find(id);
    if (found == relays_.end()) return;
    const auto link = found->second.link;
    say(*link, "disconnect", {{"reason", reason}});
    link->close(reason);
    gone(id, link.get());
}

void RelayDesk::close_all() {
    while (!relays_.empty()) end(relays_.begin()->first, "going_away");
}

}  // namespace fatwal::worker
