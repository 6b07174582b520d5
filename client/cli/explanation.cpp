#include "client/cli/explanation.h"

#include <array>
#include <string_view>
#include <utility>

namespace fatwal::cli {

namespace {

using nlohmann::json;

constexpr std::size_t kMostNames = 20;  // in one line

struct Phrase {
    std::string_view code;
    std::string_view text;
};

template <std::size_t N>
std::string phrase_of(const std::array<Phrase, N>& phrases, const std::string& code) {
    for (const Phrase& one : phrases)
        if (one.code == code) return std::string(one.text);
    return code;
}

constexpr std::array kReasons{
    Phrase{"account_not_live",
           "The account's rows are not up to date in this process, so it grants nothing new. Its "
           "log says why."},
    Phrase{"session", "The client may not be connected"},
    Phrase{"no_resource", "There is no such resource: it was deleted, or the id is another's."},
    Phrase{"no_policy", "No policy in force grants the resource to a group of the client's actor."},
    Phrase{"not_shown", "The resource cannot be shown to the client"},
    Phrase{"not_conforming",
           "There are policies for the client's groups, but of none of them all "
           "conditions hold."},
    Phrase{"no_gateway_online", "No gateway of the resource's sites is online."},
    Phrase{"no_gateway_fits",
           "Gateways of the resource's sites are online, but none has a version that fits."},
};
constexpr std::array kDetails{
    Phrase{"invalid_token",
           "its token was deleted, is another client's, or it has never signed in. It has to sign "
           "in again"},
    Phrase{"token_expired", "its token has expired. It has to sign in again"},
    Phrase{"account_disabled", "the account is disabled"},
    Phrase{"client_not_found", "there is no such client: it was deleted"},
    Phrase{"actor_disabled", "its actor is disabled or was deleted"},
    Phrase{"identity_disabled", "the identity that it signed in by was deleted, or is another's"},
    Phrase{"provider_disabled", "its identity provider is disabled or was deleted"},
    Phrase{"feature_off",
           "the account's features do not include the internet as a resource, or "
           "filters"},
    Phrase{"no_site", "it is in no site, so no gateway can reach it"},
    Phrase{"client_too_old", "the client's version cannot express it. Update the client"},
    Phrase{"malformed_type", "its type is not understood"},
    Phrase{"malformed_address", "its address is not understood"},
    Phrase{"malformed_filters", "its filters are not understood"},
    Phrase{"malformed_ip_stack", "its ip_stack is not understood"},
};
constexpr std::array kPolicyStandings{
    Phrase{"grants", "grants"},
    Phrase{"not_conforming", "does not grant: a condition does not hold"},
    Phrase{"not_member", "does not count: the actor is not in its group"},
    Phrase{"no_group", "does not count: it names no group"},
    Phrase{"disabled", "does not count: it is disabled"},
    Phrase{"feature_off", "does not count: the account's features do not include conditions"},
};
constexpr std::array kGatewayStandings{
    Phrase{"chosen", "chosen"},
    Phrase{"alike", "as good as the chosen one; of those alike one is drawn"},
    Phrase{"farther", "not chosen: farther from the client"},
    Phrase{"older", "not chosen: an older version"},
    Phrase{"not_connected", "not chosen: the client is connected to another one already"},
    Phrase{"offline", "offline"},
    Phrase{"not_held", "online, but no process has its session yet"},
    Phrase{"incompatible", "its version and the client's do not understand each other"},
    Phrase{"inexpressive", "its version cannot express the resource"},
    Phrase{"other_site", "online, but in no site of the resource"},
};

// A value as text; `unknown` for what is null or absent. Names come from the account's people: what
// would steer a terminal is left out.
std::string text_of(const json& object, const char* key, const char* unknown = "unknown") {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return unknown;
    std::string out = found->is_string()
                          ? found->get<std::string>()
                          : found->dump(-1, ' ', false, json::error_handler_t::replace);
    std::erase_if(out, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; });
    return out;
}

bool has(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && !found->is_null();
}

bool is_true(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && *found == true;
}

const json& part_of(const json& object, const char* key) {
    static const json kNone = json::object();
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? kNone : *found;
}

// "Wiki" (ID).
std::string named(const json& object) {
    const std::string id = text_of(object, "id");
    return has(object, "name") ? '"' + text_of(object, "name") + "\" (" + id + ')' : id;
}

// "a, b and 3 more"; `none` when there are none.
template <class Text>
std::string listed(const json& entries, Text text, const char* none) {
    std::string out;
    std::size_t count = 0;
    for (const json& entry : entries) {
        if (++count > kMostNames) continue;
        if (!out.empty()) out += ", ";
        out += text(entry);
    }
    if (count > kMostNames) out += " and " + std::to_string(count - kMostNames) + " more";
    return out.empty() ? none : out;
}

// Of the entry of that id in a list.
std::string name_in(const json& entries, const std::string& id) {
    for (const json& entry : entries)
        if (text_of(entry, "id") == id) return named(entry);
    return id;
}

void left_out(const json& answer, const char* key, std::string& out) {
    if (has(answer, key)) out += "  " + text_of(answer, key) + " more are left out.\n";
}

std::string granted(const json& answer, const json& verdict) {
    const std::string policy = text_of(verdict, "policy_id");
    std::string name = policy;
    for (const json& one : part_of(answer, "policies"))
        if (text_of(one, "id") == policy && has(one, "description"))
            name = '"' + text_of(one, "description") + "\" (" + policy + ')';
    std::string out = "Granted by policy " + name + ", through gateway " +
                      name_in(part_of(answer, "gateways"), text_of(verdict, "gateway_id"));
    if (!has(verdict, "expires_at")) return out + ", without end as long as no row changes.\n";
    const std::string by = text_of(verdict, "ended_by");
    const std::array kEnds{
        Phrase{"policy", "when a condition of the policy stops holding"},
        Phrase{"token", "when the client's token expires"},
        Phrase{"flow_lifetime", "by flow_lifetime_s, after which the client asks again"},
    };
    return out + ", until " + text_of(verdict, "expires_at") + ": " + phrase_of(kEnds, by) + ".\n";
}

std::string refused(const json& verdict) {
    std::string out = "Refused. " + phrase_of(kReasons, text_of(verdict, "reason"));
    if (out.back() != '.') out += ": " + phrase_of(kDetails, text_of(verdict, "detail")) + '.';
    if (has(verdict, "violated_properties"))
        out += " What does not hold: " +
               listed(
                   verdict["violated_properties"],
                   [](const json& one) { return one.is_string() ? one.get<std::string>() : ""; },
                   "unknown") +
               '.';
    return out + " (The device gets: " + text_of(verdict, "device_reason") + ".)\n";
}

std::string client_line(const json& client) {
    std::string out =
        "Client " + named(client) + " of actor " + named(part_of(client, "actor")) + ": ";
    if (text_of(client, "source") == "session")
        out += "connected to this process";
    else if (is_true(client, "online"))
        out +=
            "connected to another process, which knows its session better; what follows is what "
            "its row says";
    else
        out += "not connected; what follows is where it was last seen";
    out += ". Version " + text_of(client, "version") + ", address " + text_of(client, "remote_ip") +
           ", region " + text_of(client, "region") + ", " +
           (is_true(client, "verified") ? "verified" : "not verified") + ", identity provider " +
           text_of(client, "provider_id", "none") + ". ";
    if (!has(client, "token_id")) return out + "It has no token.\n";
    return out + "Token " + text_of(client, "token_id") + ", " +
           (has(client, "token_expires_at") ? "until " + text_of(client, "token_expires_at")
                                            : std::string("without end")) +
           ".\n";
}

std::string group_text(const json& group) {
    return text_of(group, "name", "unnamed") + (has(group, "membership_id") ? "" : " (everyone's)");
}

std::string condition_lines(const json& condition) {
    const std::string property = text_of(condition, "property");
    if (!is_true(condition, "understood"))
        return "    " + property + ": not understood, so nobody meets it.\n";
    std::string out =
        "    " + property + ' ' + text_of(condition, "operator") + ' ' +
        listed(
            part_of(condition, "values"),
            [](const json& one) { return one.is_string() ? one.get<std::string>() : one.dump(); },
            "nothing");
    if (has(condition, "values_left_out"))
        out += " and " + text_of(condition, "values_left_out") + " more";
    out += ": the client has " + text_of(condition, "value", "nothing known") + ", which ";
    if (is_true(condition, "holds")) {
        out += "holds";
        if (has(condition, "holds_until")) out += " until " + text_of(condition, "holds_until");
    } else {
        out += "does not hold";
        if (has(condition, "changes_at"))
            out += "; time can change that at " + text_of(condition, "changes_at");
    }
    return out + ".\n";
}

std::string policy_lines(const json& policy) {
    std::string out = "  " + text_of(policy, "id");
    if (has(policy, "description")) out += " \"" + text_of(policy, "description") + '"';
    if (has(policy, "group_id"))
        out += ", of group " + text_of(policy, "group", "that was deleted");
    out += ": " + phrase_of(kPolicyStandings, text_of(policy, "standing"));
    if (has(policy, "holds_until")) out += ", until " + text_of(policy, "holds_until");
    out += ".\n";
    for (const json& one : part_of(policy, "conditions")) out += condition_lines(one);
    return out;
}

std::string gateway_line(const json& gateway) {
    std::string out = "  " + named(gateway);
    if (has(gateway, "version")) out += ", " + text_of(gateway, "version");
    if (has(gateway, "distance_km")) out += ", " + text_of(gateway, "distance_km") + " km away";
    return out + ": " + phrase_of(kGatewayStandings, text_of(gateway, "standing")) + ".\n";
}

std::string resource_line(const json& resource) {
    std::string out = "Resource " + named(resource) + ": " + text_of(resource, "type");
    if (has(resource, "address")) out += ' ' + text_of(resource, "address");
    out += ", in " +
           listed(
               part_of(resource, "sites"), [](const json& site) { return named(site); }, "no site");
    const json& filters = part_of(resource, "filters");
    return out + (filters.empty() ? ", without filters.\n"
                                  : ", with filters " + text_of(resource, "filters") + ".\n");
}

}  // namespace

std::string explained(const json& answer) {
    const json& verdict = part_of(answer, "verdict");
    std::string out = is_true(verdict, "granted") ? granted(answer, verdict) : refused(verdict);
    out += "As of " + text_of(answer, "at") + ".\n";
    if (!has(answer, "client")) return out;
    out += '\n' + client_line(answer["client"]);
    out += "Its groups: " + listed(part_of(answer, "groups"), group_text, "none") + ".\n";
    left_out(answer, "groups_left_out", out);
    if (!has(answer, "resource")) return out;
    out += resource_line(answer["resource"]);
    const json& policies = part_of(answer, "policies");
    out += policies.empty() ? "No policy names it.\n" : "Policies:\n";
    for (const json& one : policies) out += policy_lines(one);
    left_out(answer, "policies_left_out", out);
    const json& gateways = part_of(answer, "gateways");
    out += gateways.empty() ? "It has no gateways.\n" : "Gateways:\n";
    for (const json& one : gateways) out += gateway_line(one);
    left_out(answer, "gateways_left_out", out);
    for (const json& one : part_of(answer, "flows"))
        out += "It has a flow now, " + text_of(one, "id") + ", through gateway " +
               name_in(gateways, text_of(one, "gateway_id")) +
               (has(one, "expires_at") ? ", until " + text_of(one, "expires_at") : "") + ".\n";
    return out;
}

}  // namespace fatwal::cli
