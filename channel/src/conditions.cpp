#include "fatwal/channel/conditions.h"

#include <algorithm>

#include "fatwal/channel/region.h"
#include "fatwal/channel/time_windows.h"

namespace fatwal::channel {
namespace {

bool contains(const std::vector<Cidr>& networks, const IpAddress& address) {
    return std::any_of(networks.begin(), networks.end(),
                       [&](const Cidr& network) { return network.contains(address); });
}

}  // namespace

Conditions::Condition Conditions::parse_one(const std::optional<Json>& json) {
    Condition out;
    out.property = "unknown";
    if (!json || !json->is_object()) return out;
    const auto text = [&](const char* key) {
        const auto found = json->find(key);
        return found != json->end() && found->is_string() ? found->get<std::string>()
                                                          : std::string();
    };
    const std::string property = text("property");
    const std::string op = text("operator");
    if (!property.empty()) out.property = property;
    const auto found = json->find("values");
    if (found == json->end() || !found->is_array()) return out;
    std::vector<std::string> values;
    for (const Json& value : *found) {
        if (!value.is_string()) return out;
        values.push_back(value.get<std::string>());
    }

    // The kind stays Never until every value is understood.
    using Kind = Condition::Kind;
    if (property == "remote_ip_location_region" && (op == "is_in" || op == "is_not_in")) {
        for (const std::string& value : values)
            if (!is_region(value)) return out;
        out.regions = std::move(values);
        out.kind = op == "is_in" ? Kind::RegionIn : Kind::RegionNotIn;
    } else if (property == "remote_ip" && (op == "is_in_cidr" || op == "is_not_in_cidr")) {
        for (const std::string& value : values) {
            const auto network = Cidr::parse(value);
            if (!network) return out;
            out.networks.push_back(*network);
        }
        out.kind = op == "is_in_cidr" ? Kind::IpIn : Kind::IpNotIn;
    } else if (property == "provider_id" && (op == "is_in" || op == "is_not_in")) {
        for (const std::string& value : values) {
            const auto id = Uuid::from_text(value);
            if (!id) return out;
            out.providers.push_back(*id);
        }
        out.kind = op == "is_in" ? Kind::ProviderIn : Kind::ProviderNotIn;
    } else if (property == "client_verified" && op == "is") {
        if (values.size() != 1) return out;
        if (values[0] == "true") out.kind = Kind::Verified;
        if (values[0] == "false") out.kind = Kind::Always;
    } else if (property == "current_utc_datetime" && op == "is_in_day_of_week_time_ranges") {
        out.windows = TimeWindows::parse(values);
        if (out.windows) out.kind = Kind::Windows;
    }
    return out;
}

Conditions Conditions::parse(const std::vector<std::optional<Json>>& conditions) {
    Conditions out;
    out.conditions_.reserve(conditions.size());
    for (const auto& condition : conditions) out.conditions_.push_back(parse_one(condition));
    return out;
}

std::size_t Conditions::malformed() const {
    const auto found = std::find_if(conditions_.begin(), conditions_.end(), [](const auto& one) {
        return one.kind == Condition::Kind::Never;
    });
    return found == conditions_.end() ? 0
                                      : static_cast<std::size_t>(found - conditions_.begin()) + 1;
}

Conditions::Verdict Conditions::evaluate_one(const Condition& condition,
                                             const ClientContext& client, Time now) {
    using Kind = Condition::Kind;
    // What an IP database writes for an address that it cannot place is no region.
    const bool region_known = client.region && is_region(*client.region);
    const auto region_is_in = [&] {
        return std::find(condition.regions.begin(), condition.regions.end(), *client.region) !=
               condition.regions.end();
    };
    const auto provider_is_in = [&] {
        return client.provider_id &&
               std::find(condition.providers.begin(), condition.providers.end(),
                         *client.provider_id) != condition.providers.end();
    };
    switch (condition.kind) {
        case Kind::Never: return {};
        case Kind::RegionIn: return {region_known && region_is_in(), {}};
        case Kind::RegionNotIn: return {region_known && !region_is_in(), {}};
        case Kind::IpIn:
            return {client.remote_ip && contains(condition.networks, *client.remote_ip), {}};
        case Kind::IpNotIn:
            return {client.remote_ip && !contains(condition.networks, *client.remote_ip), {}};
        case Kind::ProviderIn: return {provider_is_in(), {}};
        case Kind::ProviderNotIn: return {!provider_is_in(), {}};
        case Kind::Verified: return {client.verified, {}};
        case Kind::Always: return {true, {}};
        case Kind::Windows: {
            const TimeWindows::At& at = condition.windows->at(now);
            return {at.open, at.until};
        }
    }
    return {};
}

Conditions::Verdict Conditions::evaluate(const ClientContext& client, Time now) const {
    Verdict out{true, {}};
    for (const Condition& condition : conditions_) {
        const Verdict one = evaluate_one(condition, client, now);
        if (!one.holds) return {};
        if (one.until && (!out.until || *one.until < *out.until)) out.until = one.until;
    }
    return out;
}

std::vector<std::string> Conditions::violated(const ClientContext& client, Time now) const {
    std::vector<std::string> out;
    for (const Condition& condition : conditions_)
        if (!evaluate_one(condition, client, now).holds &&
            std::find(out.begin(), out.end(), condition.property) == out.end())
            out.push_back(condition.property);
    return out;
}

std::optional<Time> Conditions::next_change(Time now) const {
    std::optional<Time> out;
    for (const Condition& condition : conditions_) {
        // What nobody ever meets makes the whole of it fixed.
        if (condition.kind == Condition::Kind::Never) return std::nullopt;
        if (!condition.windows) continue;
        const auto next = condition.windows->at(now).next_change;
        if (next && (!out || *next < *out)) out = next;
    }
    return out;
}

}  // namespace fatwal::channel
