#include "fatwal/channel/relays.h"

#include <algorithm>
#include <utility>

namespace fatwal::channel {
namespace {

// No credential of a device that was put out works longer, and none longer than its token. A device
// that stays is given new ones in the middle of their time.
constexpr auto kCredentialLifetime = std::chrono::hours(24);

bool is_for(const RelayId& relay, const Uuid& account_id) {
    return relay.account_id.value_or(account_id) == account_id;
}

}  // namespace

bool Relays::online(const Relay& relay) {
    const auto [found, is_new] = relays_.try_emplace(relay.id);
    const bool differs = is_new || found->second.relay != relay;
    found->second = {relay, {}};
    return differs;
}

void Relays::offline(const RelayId& id, Time now) {
    const auto found = relays_.find(id);
    if (found != relays_.end() && !found->second.gone_at) found->second.gone_at = now + debounce_;
}

bool Relays::on_time(Time now) {
    return std::erase_if(relays_, [&](const auto& entry) {
               return entry.second.gone_at && *entry.second.gone_at <= now;
           }) > 0;
}

std::optional<Time> Relays::next_deadline() const {
    std::optional<Time> out;
    for (const auto& [id, entry] : relays_)
        if (entry.gone_at && (!out || *entry.gone_at < *out)) out = entry.gone_at;
    return out;
}

std::size_t Relays::count_for(const Uuid& account_id) const {
    return static_cast<std::size_t>(
        std::count_if(relays_.begin(), relays_.end(),
                      [&](const auto& entry) { return is_for(entry.first, account_id); }));
}

const Relay* Relays::find(const RelayId& id) const {
    const auto found = relays_.find(id);
    return found == relays_.end() ? nullptr : &found->second.relay;
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
    for (const auto& [id, entry] : relays_) {
        if (!is_for(id, account_id)) continue;
        const Relay& relay = entry.relay;
        candidates.push_back(
            {&relay, entry.gone_at.has_value(), !id.account_id, device && !relay.location,
             device && relay.location ? distance_km(*device, *relay.location) : 0, random()});
    }
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

Json render_relays(const std::vector<Relay>& relays, const Uuid& device_id, Time end) {
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

Json RelaySelection::init(const Relays& relays, const RelayUser& user, Time now,
                          const Random& random) {
    chosen_ = relays.choose(user.account_id, user.location, random);
    return render(user, now);
}

Json RelaySelection::render(const RelayUser& user, Time now) {
    const Time longest = now + kCredentialLifetime;
    const Time end = std::min(user.token_expires_at.value_or(longest), longest);
    // A token that ends sooner ends the session, too: there is nothing to renew.
    renew_at_ = end == longest && !chosen_.empty() ? std::optional(now + kCredentialLifetime / 2)
                                                   : std::nullopt;
    return render_relays(chosen_, user.device_id, end);
}

std::optional<Json> RelaySelection::update(const Relays& relays, const RelayUser& user, Time now,
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

}  // namespace fatwal::channel
