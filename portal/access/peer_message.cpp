#include "portal/access/peer_message.h"

#include <stdexcept>
#include <type_traits>

namespace fatwal::access {
namespace {

// The readers throw, and peer_message_from_json() catches: what another process sends is ours, so a
// failure is rare and whole.
//
// The other process can have another version. Fields that are not known are skipped. A field may be
// missing if it then counts as unknown and nothing is granted by that; each other one is required.
Uuid uuid_of(const Json& json) {
    const auto id = Uuid::from_text(json.get_ref<const std::string&>());
    if (!id) throw std::invalid_argument("not a uuid");
    return *id;
}

Json ids_to_json(const std::vector<Uuid>& ids) {
    Json out = Json::array();
    for (const Uuid& id : ids) out.push_back(id.to_text());
    return out;
}

std::vector<Uuid> ids_of(const Json& json) {
    std::vector<Uuid> out;
    for (const Json& id : json) out.push_back(uuid_of(id));
    return out;
}

Json ice_to_json(const IceCredentials& ice) {
    return {{"username", ice.username}, {"password", ice.password}};
}
IceCredentials ice_of(const Json& json) {
    return {json.at("username").get<std::string>(), json.at("password").get<std::string>()};
}

Device device_of(const Json& json) {
    if (json == "client") return Device::Client;
    if (json == "gateway") return Device::Gateway;
    throw std::invalid_argument("not a kind of device");
}

Address address_of(const Json& json) {
    return {device_of(json.at("device")), uuid_of(json.at("id")),
            json.at("generation").get<Generation>(), json.at("process").get<ProcessId>()};
}

Json context_to_json(const ClientContext& context) {
    return {{"remote_ip", context.remote_ip ? Json(context.remote_ip->to_text()) : Json()},
            {"region", context.region ? Json(*context.region) : Json()},
            {"provider_id", context.provider_id ? Json(context.provider_id->to_text()) : Json()},
            {"verified", context.verified}};
}

// An unknown address or region fails each condition about it. "No provider" can be what a condition
// asks for, so the provider is required.
ClientContext context_of(const Json& json) {
    ClientContext out;
    if (const Json ip = json.value("remote_ip", Json()); ip.is_string())
        out.remote_ip = IpAddress::parse(ip.get_ref<const std::string&>());
    if (const Json region = json.value("region", Json()); region.is_string())
        out.region = region.get<std::string>();
    if (const auto& id = json.at("provider_id"); !id.is_null()) out.provider_id = uuid_of(id);
    out.verified = json.value("verified", Json()) == true;
    return out;
}

Json message_to_json(const Authorize& m) {
    return {
        {"type", "authorize"},
        {"flow_id", m.flow_id.to_text()},
        {"known", m.known},
        {"client_id", m.client_id.to_text()},
        {"resource_id", m.resource_id.to_text()},
        {"policy_id", m.by.policy_id.to_text()},
        {"membership_id", m.by.membership_id.to_text()},
        {"token_id", m.by.token_id.to_text()},
        {"expires_at_us", m.expires_at ? Json(m.expires_at->time_since_epoch().count()) : Json()},
        {"ref", m.ref},
        {"decided_at", m.decided_at.lsn},
        {"history",
         {{"system_identifier", m.decided_at.history.system_identifier},
          {"timeline", m.decided_at.history.timeline}}},
        {"client", context_to_json(m.client)},
        {"from", to_json(m.from)},
        {"public_key", m.public_key},
        {"ipv4", m.ipv4},
        {"ipv6", m.ipv6},
        {"preshared_key", m.preshared_key},
        {"client_ice", ice_to_json(m.client_ice)},
        {"gateway_ice", ice_to_json(m.gateway_ice)}};
}
Json message_to_json(const FlowAuthorized& m) {
    return {{"type", "flow_authorized"},
            {"flow_id", m.flow_id.to_text()},
            {"resource_id", m.resource_id.to_text()},
            {"gateway_id", m.gateway_id.to_text()}};
}
Json message_to_json(const FlowRefused& m) {
    return {{"type", "flow_refused"},
            {"flow_id", m.flow_id.to_text()},
            {"resource_id", m.resource_id.to_text()}};
}
Json message_to_json(const IceCandidates& m) {
    return {{"type", "ice_candidates"},
            {"from", m.from.to_text()},
            {"candidates", m.candidates},
            {"invalidated", m.invalidated}};
}
Json message_to_json(const FlowsDurable& m) {
    return {{"type", "flows_durable"}, {"flow_ids", ids_to_json(m.flow_ids)}};
}
Json message_to_json(const FlowsLost& m) {
    return {{"type", "flows_lost"}, {"flow_ids", ids_to_json(m.flow_ids)}};
}

Authorize authorize_of(const Json& json) {
    Authorize out;
    out.flow_id = uuid_of(json.at("flow_id"));
    out.known = json.value("known", false);
    out.client_id = uuid_of(json.at("client_id"));
    out.resource_id = uuid_of(json.at("resource_id"));
    out.by = {uuid_of(json.at("policy_id")), uuid_of(json.at("membership_id")),
              uuid_of(json.at("token_id"))};
    if (const auto& at = json.at("expires_at_us"); !at.is_null())
        out.expires_at = Instant(Instant::duration(at.get<std::int64_t>()));
    out.ref = json.at("ref").get<std::string>();
    // Of a process that names no position, or no history, the decision is judged at once.
    out.decided_at.lsn = json.value("decided_at", std::uint64_t{0});
    if (const auto history = json.find("history"); history != json.end())
        out.decided_at.history = {history->at("system_identifier").get<std::uint64_t>(),
                                  history->at("timeline").get<std::uint32_t>()};
    out.client = context_of(json.at("client"));
    out.from = address_of(json.at("from"));
    out.public_key = json.at("public_key").get<std::string>();
    out.ipv4 = json.at("ipv4").get<std::string>();
    out.ipv6 = json.at("ipv6").get<std::string>();
    out.preshared_key = json.at("preshared_key").get<std::string>();
    out.client_ice = ice_of(json.at("client_ice"));
    out.gateway_ice = ice_of(json.at("gateway_ice"));
    return out;
}

}  // namespace

Json to_json(const Address& address) {
    return {{"device", address.device == Device::Client ? "client" : "gateway"},
            {"id", address.id.to_text()},
            {"generation", address.generation},
            {"process", address.process}};
}

std::optional<Address> address_from_json(const Json& json) {
    try {
        return address_of(json);
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

Json to_json(const PeerMessage& message) {
    return std::visit([](const auto& m) { return message_to_json(m); }, message);
}

std::optional<PeerMessage> peer_message_from_json(const Json& json) {
    try {
        const auto& type = json.at("type").get_ref<const std::string&>();
        if (type == "authorize") return authorize_of(json);
        if (type == "flow_authorized")
            return FlowAuthorized{uuid_of(json.at("flow_id")), uuid_of(json.at("resource_id")),
                                  uuid_of(json.at("gateway_id"))};
        if (type == "flow_refused")
            return FlowRefused{uuid_of(json.at("flow_id")), uuid_of(json.at("resource_id"))};
        if (type == "ice_candidates")
            return IceCandidates{uuid_of(json.at("from")),
                                 json.at("candidates").get<std::vector<std::string>>(),
                                 json.value("invalidated", false)};
        if (type == "flows_durable") return FlowsDurable{ids_of(json.at("flow_ids"))};
        if (type == "flows_lost") return FlowsLost{ids_of(json.at("flow_ids"))};
    } catch (const std::exception&) {
        return std::nullopt;
    }
    return std::nullopt;
}

}  // namespace fatwal::access
