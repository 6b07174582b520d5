#include "portal/access/relays.h"

#include <algorithm>
#include <utility>

namespace fatwal::access {
namespace {

// No credential of a device that was put out works longer, and none longer than its token. A device
// that stays is given new ones in the middle of their time.
constexpr auto kCredentialLifetime = std::chrono::hours(24);

}  // namespace

bool Relays::online(const Relay& relay) {
    const auto [found, is_new] = relays_[relay.id.account_id].try_emplace(relay.id.id);
    Entry& entry = found->second;
    const bool differs = is_new || entry.relay != relay;
    if (entry.gone_at) leaving_.erase({*entry.gone_at, relay.id});
    entry = {relay, {}};
    return differs;
}

void Relays::offline(const RelayId& id, Tick now) {
    const auto by_id = relays_.find(id.account_id);
    if (by_id == relays_.end()) return;
    const auto found = by_id->second.find(id.id);
    if (found == by_id->second.end() || found->second.gone_at) return;
    found->second.gone_at = now + debounce_;
    leaving_.emplace(*found->second.gone_at, id);
}

std::set<std::optional<Uuid>> Relays::on_time(Tick now) {
    std::set<std::optional<Uuid>> out;
    while (!leaving_.empty() && leaving_.begin()->first <= now) {
        const RelayId id = leaving_.extract(leaving_.begin()).value().second;
        const auto by_id = relays_.find(id.account_id);
        by_id->second.erase(id.id);
        if (by_id->second.empty()) relays_.erase(by_id);
        out.insert(id.account_id);
    }
    return out;
}

std::optional<Tick> Relays::next_deadline() const {
    return leaving_.empty() ? std::nullopt : std::optional(leaving_.begin()->first);
}

const Relays::ById* Relays::of(const std::optional<Uuid>& account_id) const {
    const auto found = relays_.find(account_id);
    return found == relays_.end() ? nullptr : &found->second;
}

template <class Visit>
void Relays::for_each_for(const Uuid& account_id, Visit visit) const {
    for (const std::optional<Uuid>& whose : {std::optional(account_id), std::optional<Uuid>()})
        if (const ById* by_id = of(whose))
            for (const auto& [id, entry] : *by_id) visit(entry);
}

std::size_t Relays::count_for(const Uuid& account_id) const {
    const ById* own = of(account_id);
    const ById* shared = of(std::nullopt);
    return (own == nullptr ? 0 : own->size()) + (shared == nullptr ? 0 : shared->size());
}

const Relay* Relays::find(const RelayId& id) const {
    const ById* by_id = of(id.account_id);
    if (by_id == nullptr) return nullptr;
    const auto found = by_id->find(id.id);
    return found == by_id->end() ? nullptr : &found->second.relay;
}

std::vector<Relay> Relays::choose(const Uuid& account_id, const std::optional<Location>& device,
                                  const Random& random) const {
    struct Candidate {
        const Relay* relay;
        bool leaving;  // has gone, though not for long: taken when there is no other
        bool shared;   // the operators'
        bool placeless;
        double distance;
        std::uint64_t lot;
    };
    std::vector<Candidate> candidates;
    for_each_for(account_id, [&](const Entry& entry) {
        const Relay& relay = entry.relay;
        candidates.push_back(
            {&relay, entry.gone_at.has_value(), !relay.id.account_id, device && !relay.location,
             device && relay.location ? distance_km(*device, *relay.location) : 0, random()});
    });
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        return std::tie(a.leaving, a.shared, a.placeless, a.distance, a.lot) <
               std::tie(b.leaving, b.shared, b.placeless, b.distance, b.lot);
    });
    std::vector<Relay> out;
    // Of one place a second one only where there is no other place: what takes one down may take
    // both.
    for (const bool same_place : {false, true})
        for (const Candidate& candidate : candidates) {
            if (out.size() == kPerDevice) return out;
            if (std::any_of(out.begin(), out.end(),
                            [&](const Relay& relay) { return relay.id == candidate.relay->id; }))
                continue;
            const bool taken = candidate.relay->location &&
                               std::any_of(out.begin(), out.end(), [&](const Relay& relay) {
                                   return relay.location == candidate.relay->location;
                               });
            if (taken == same_place || same_place) out.push_back(*candidate.relay);
        }
    return out;
}

Json render_relays(const std::vector<Relay>& relays, const Uuid& device_id, Instant end) {
    Json out = Json::array();
    const std::int64_t expires_at = unix_seconds(end);
    for (const Relay& relay : relays) {
        const std::string username = std::to_string(expires_at) + ':' + device_id.to_text();
        std::string key = relay.secret;
        key.resize(std::max<std::size_t>(key.size(), 32),
                   '\0');  // HMAC pads a short key with zeros itself, so this is the same key
        const auto mac = Signer(key).mac(username);
        const std::string password =
            base64(std::string_view(reinterpret_cast<const char*>(mac.data()), mac.size()));
        const auto add = [&](const std::string& address) {
            out.push_back({{"id", relay.id.id.to_text()},
                           {"type", "turn"},
                           {"addr", address + ':' + std::to_string(relay.port)},
                           {"username", username},
                           {"password", password},
                           {"expires_at", expires_at}});
        };
        if (relay.ipv4) add(*relay.ipv4);
        if (relay.ipv6) add('[' + *relay.ipv6 + ']');
    }
    return out;
}

Json RelaySelection::init(const Relays& relays, const RelayUser& user, Instant now,
                          const Random& random) {
    chosen_ = relays.choose(user.account_id, user.location, random);
    return render(user, now);
}

Json RelaySelection::render(const RelayUser& user, Instant now) {
    const Instant longest = now + kCredentialLifetime;
    const Instant end = std::min(user.token_expires_at.value_or(longest), longest);
    // A token that ends sooner ends the session, too: there is nothing to renew.
    renew_at_ = end == longest && !chosen_.empty() ? std::optional(now + kCredentialLifetime / 2)
                                                   : std::nullopt;
    return render_relays(chosen_, user.device_id, end);
}

std::optional<Json> RelaySelection::update(const Relays& relays, const RelayUser& user, Instant now,
                                           const Random& random) {
    Json gone = Json::array();
    for (const Relay& relay : chosen_) {
        const Relay* present = relays.find(relay.id);
        if (present == nullptr || *present != relay) gone.push_back(relay.id.id.to_text());
    }
    const bool too_few =
        chosen_.size() < Relays::kPerDevice && relays.count_for(user.account_id) > chosen_.size();
    const bool to_renew = renew_at_ && *renew_at_ <= now;
    if (gone.empty() && !too_few && !to_renew) return std::nullopt;
    if (!gone.empty() || too_few) chosen_ = relays.choose(user.account_id, user.location, random);
    return Json{{"disconnected_ids", std::move(gone)}, {"connected", render(user, now)}};
}

}  // namespace fatwal::access
