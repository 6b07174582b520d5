#include "portal/access/conditions.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "portal/access/region.h"
#include "portal/access/time_windows.h"

namespace fatwal::access {
namespace {

using Values = std::vector<std::string>;
using Verdict = Conditions::Verdict;

// The language
// ------------------------------------------------------------------------------------
// Each type of a condition has
//     kForm                   its property and operator
//     parse(values)           nothing when any value is malformed
//     evaluate(client, now)   whether it holds, and how long if no row changes
//     value(client, now)      what it looks at, as text; empty when that is unknown
//     next_change(now)        the first instant after `now` at which evaluate() can differ by time
//                             alone; without it nothing is revoked when its time comes
// None has a default: a type without one of them does not compile. Known is the list.

// Time changes nothing of it.
struct Timeless {
    [[nodiscard]] static std::optional<Instant> next_change(Instant now) {
        (void)now;
        return std::nullopt;
    }
};

// All values by `parse_one`; nothing when it gives nothing for one of them.
template <class Value, class ParseOne>
std::optional<std::vector<Value>> parse_each(const Values& values, ParseOne parse_one) {
    std::vector<Value> out;
    out.reserve(values.size());
    for (const std::string& value : values) {
        std::optional<Value> parsed = parse_one(value);
        if (!parsed) return std::nullopt;
        out.push_back(std::move(*parsed));
    }
    return out;
}

template <bool kIsIn>
struct Region : Timeless {
    static constexpr ConditionForm kForm{"remote_ip_location_region",
                                         kIsIn ? "is_in" : "is_not_in"};
    std::vector<std::string> regions;

    [[nodiscard]] static std::optional<Region> parse(const Values& values) {
        if (!std::all_of(values.begin(), values.end(), is_region)) return std::nullopt;
        return Region{{}, values};
    }
    [[nodiscard]] static std::string value(const ClientContext& client, Instant now) {
        (void)now;
        return client.region.value_or("");
    }
    // What an IP database writes for an address that it cannot place is no region, and an unknown
    // region meets neither operator.
    [[nodiscard]] Verdict evaluate(const ClientContext& client, Instant now) const {
        (void)now;
        if (!client.region || !is_region(*client.region)) return {};
        const bool is_in =
            std::find(regions.begin(), regions.end(), *client.region) != regions.end();
        return {is_in == kIsIn, {}};
    }
};

template <bool kIsIn>
struct Network : Timeless {
    static constexpr ConditionForm kForm{"remote_ip", kIsIn ? "is_in_cidr" : "is_not_in_cidr"};
    std::vector<Cidr> networks;

    [[nodiscard]] static std::optional<Network> parse(const Values& values) {
        auto networks =
            parse_each<Cidr>(values, [](const auto& text) { return Cidr::parse(text); });
        if (!networks) return std::nullopt;
        return Network{{}, std::move(*networks)};
    }
    [[nodiscard]] static std::string value(const ClientContext& client, Instant now) {
        (void)now;
        return client.remote_ip ? client.remote_ip->to_text() : std::string();
    }
    // An unknown address meets neither operator.
    [[nodiscard]] Verdict evaluate(const ClientContext& client, Instant now) const {
        (void)now;
        if (!client.remote_ip) return {};
        const bool is_in = std::any_of(networks.begin(), networks.end(), [&](const Cidr& network) {
            return network.contains(*client.remote_ip);
        });
        return {is_in == kIsIn, {}};
    }
};

template <bool kIsIn>
struct Provider : Timeless {
    static constexpr ConditionForm kForm{"provider_id", kIsIn ? "is_in" : "is_not_in"};
    std::vector<Uuid> providers;

    [[nodiscard]] static std::optional<Provider> parse(const Values& values) {
        auto ids = parse_each<Uuid>(values, [](const auto& text) { return Uuid::from_text(text); });
        if (!ids) return std::nullopt;
        return Provider{{}, std::move(*ids)};
    }
    [[nodiscard]] static std::string value(const ClientContext& client, Instant now) {
        (void)now;
        return client.provider_id ? client.provider_id->to_text() : std::string();
    }
    // A service account has no provider, which is in no list.
    [[nodiscard]] Verdict evaluate(const ClientContext& client, Instant now) const {
        (void)now;
        const bool is_in = client.provider_id && std::find(providers.begin(), providers.end(),
                                                           *client.provider_id) != providers.end();
        return {is_in == kIsIn, {}};
    }
};

struct ClientVerified : Timeless {
    static constexpr ConditionForm kForm{"client_verified", "is"};
    bool is_needed = true;

    [[nodiscard]] static std::optional<ClientVerified> parse(const Values& values) {
        if (values.size() != 1 || (values[0] != "true" && values[0] != "false"))
            return std::nullopt;
        return ClientVerified{{}, values[0] == "true"};
    }
    [[nodiscard]] static std::string value(const ClientContext& client, Instant now) {
        (void)now;
        return client.verified ? "true" : "false";
    }
    // "false" asks for nothing: a verified client meets it too.
    [[nodiscard]] Verdict evaluate(const ClientContext& client, Instant now) const {
        (void)now;
        return {client.verified || !is_needed, {}};
    }
};

struct Hours {
    static constexpr ConditionForm kForm{"current_utc_datetime", "is_in_day_of_week_time_ranges"};
    std::shared_ptr<const TimeWindows> windows;

    [[nodiscard]] static std::optional<Hours> parse(const Values& values) {
        auto windows = TimeWindows::parse(values);
        if (!windows) return std::nullopt;
        return Hours{std::move(windows)};
    }
    [[nodiscard]] static std::string value(const ClientContext& client, Instant now) {
        (void)client;
        return utc_text(now);
    }
    [[nodiscard]] Verdict evaluate(const ClientContext& client, Instant now) const {
        (void)client;
        const TimeWindows::At& at = windows->at(now);
        return {at.open, at.until};
    }
    [[nodiscard]] std::optional<Instant> next_change(Instant now) const {
        return windows->at(now).next_change;
    }
};

// What cannot be understood: nobody ever meets it.
struct Never : Timeless {
    [[nodiscard]] static std::string value(const ClientContext& client, Instant now) {
        (void)client, (void)now;
        return {};
    }
    [[nodiscard]] static Verdict evaluate(const ClientContext& client, Instant now) {
        (void)client, (void)now;
        return {};
    }
};

template <class... Forms>
struct Language {
    using AnyForm = std::variant<Never, Forms...>;
    static constexpr std::array kForms{Forms::kForm...};

    [[nodiscard]] static AnyForm parse(std::string_view property, std::string_view op,
                                       const Values& values) {
        AnyForm out;
        const auto try_one = [&]<class Form>(std::type_identity<Form>) {
            if (property != Form::kForm.property || op != Form::kForm.op) return;
            if (auto parsed = Form::parse(values)) out = std::move(*parsed);
        };
        (try_one(std::type_identity<Forms>()), ...);
        return out;
    }
};
using Known = Language<Region<true>, Region<false>, Network<true>, Network<false>, Provider<true>,
                       Provider<false>, ClientVerified, Hours>;

}  // namespace

struct Conditions::Condition {
    std::string property;
    Known::AnyForm form;

    [[nodiscard]] bool is_understood() const { return !std::holds_alternative<Never>(form); }
    [[nodiscard]] Verdict evaluate(const ClientContext& client, Instant now) const {
        return std::visit([&](const auto& one) { return one.evaluate(client, now); }, form);
    }
    [[nodiscard]] std::optional<Instant> next_change(Instant now) const {
        return std::visit([&](const auto& one) { return one.next_change(now); }, form);
    }
    [[nodiscard]] std::string value(const ClientContext& client, Instant now) const {
        return std::visit([&](const auto& one) { return one.value(client, now); }, form);
    }
    // Takes from `left` as many values as it lists. One that lists more is not understood.
    [[nodiscard]] static Condition parse(const std::optional<Json>& json, std::size_t& left);
};

Conditions::Condition Conditions::Condition::parse(const std::optional<Json>& json,
                                                   std::size_t& left) {
    Condition out{"unknown", Never{}};
    if (!json || !json->is_object()) return out;
    const auto text = [&](const char* key) {
        const auto found = json->find(key);
        return found != json->end() && found->is_string() ? found->get<std::string>()
                                                          : std::string();
    };
    const std::string property = text("property");
    if (!property.empty()) out.property = property;
    const auto found = json->find("values");
    if (found == json->end() || !found->is_array() || found->size() > left) return out;
    left -= found->size();
    Values values;
    for (const Json& value : *found) {
        if (!value.is_string()) return out;
        values.push_back(value.get<std::string>());
    }
    out.form = Known::parse(property, text("operator"), values);
    return out;
}

std::span<const ConditionForm> condition_forms() { return Known::kForms; }

Conditions Conditions::parse(const std::vector<std::optional<Json>>& conditions) {
    Conditions out;
    if (conditions.empty()) return out;
    std::vector<Condition> parsed;
    parsed.reserve(conditions.size());
    std::size_t left = kMostConditionValues;
    for (const auto& condition : conditions) parsed.push_back(Condition::parse(condition, left));
    out.conditions_ = std::make_shared<const std::vector<Condition>>(std::move(parsed));
    return out;
}

std::size_t Conditions::malformed() const {
    if (!conditions_) return 0;
    const auto found = std::find_if(conditions_->begin(), conditions_->end(),
                                    [](const auto& one) { return !one.is_understood(); });
    return found == conditions_->end() ? 0
                                       : static_cast<std::size_t>(found - conditions_->begin()) + 1;
}

Conditions::Verdict Conditions::evaluate(const ClientContext& client, Instant now) const {
    Verdict out{true, {}};
    if (!conditions_) return out;
    for (const Condition& condition : *conditions_) {
        const Verdict one = condition.evaluate(client, now);
        if (!one.holds) return {};
        if (one.until && (!out.until || *one.until < *out.until)) out.until = one.until;
    }
    return out;
}

std::vector<std::string> Conditions::violated(const ClientContext& client, Instant now) const {
    std::vector<std::string> out;
    if (!conditions_) return out;
    for (const Condition& condition : *conditions_)
        if (!condition.evaluate(client, now).holds &&
            std::find(out.begin(), out.end(), condition.property) == out.end())
            out.push_back(condition.property);
    return out;
}

std::vector<Conditions::Part> Conditions::parts(const ClientContext& client, Instant now) const {
    std::vector<Part> out;
    if (!conditions_) return out;
    out.reserve(conditions_->size());
    for (const Condition& one : *conditions_)
        out.push_back({one.property, one.is_understood(), one.value(client, now),
                       one.evaluate(client, now), one.next_change(now)});
    return out;
}

std::optional<Instant> Conditions::next_change(Instant now) const {
    std::optional<Instant> out;
    if (!conditions_) return out;
    for (const Condition& condition : *conditions_) {
        // What nobody ever meets makes the whole of it fixed.
        if (!condition.is_understood()) return std::nullopt;
        const auto next = condition.next_change(now);
        if (next && (!out || *next < *out)) out = next;
    }
    return out;
}

}  // namespace fatwal::access
