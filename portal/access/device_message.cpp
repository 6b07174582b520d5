#include "portal/access/device_message.h"

#include "portal/access/channel_context.h"

namespace fatwal::access {
namespace {

// Null when the payload has no such field, or is no object.
const Json* field(const Json& payload, const char* key) {
    if (!payload.is_object()) return nullptr;
    const auto found = payload.find(key);
    return found == payload.end() ? nullptr : &*found;
}

std::optional<Uuid> id_of(const Json* text) {
    if (text == nullptr || !text->is_string()) return std::nullopt;
    return Uuid::from_text(text->get_ref<const std::string&>());
}

// A list of ids; nothing when it is none, or too long.
std::optional<std::vector<Uuid>> ids_of(const Json* list) {
    if (list == nullptr || !list->is_array() || list->size() > kMaxPeers) return std::nullopt;
    std::vector<Uuid> out;
    for (const Json& text : *list) {
        const auto id = id_of(&text);
        if (!id) return std::nullopt;
        out.push_back(*id);
    }
    return out;
}

std::optional<std::vector<std::string>> candidates_of(const Json* list) {
    if (list == nullptr || !list->is_array() || list->size() > kMaxIceCandidates)
        return std::nullopt;
    std::vector<std::string> out;
    for (const Json& text : *list) {
        if (!text.is_string() || text.get_ref<const std::string&>().size() > kMaxIceCandidateBytes)
            return std::nullopt;
        out.push_back(text.get<std::string>());
    }
    return out;
}

DeviceMessage read_create_flow(const Json& payload) {
    const auto resource_id = id_of(field(payload, "resource_id"));
    const Json* list = field(payload, "connected_gateway_ids");
    auto connected = list != nullptr ? ids_of(list) : std::vector<Uuid>();
    if (!resource_id || !connected) return Unreadable{"invalid_message"};
    return CreateFlow{*resource_id, std::move(*connected)};
}

DeviceMessage read_answer(const Json& payload) {
    const Json* ref = field(payload, "ref");
    if (ref == nullptr || !ref->is_string()) return Unreadable{"invalid_ref"};
    return FlowAnswer{ref->get<std::string>()};
}

DeviceMessage read_ice(Device from, const Json& payload, bool invalidated) {
    auto peers = ids_of(field(payload, from == Device::Client ? "gateway_ids" : "client_ids"));
    auto candidates = candidates_of(field(payload, "candidates"));
    if (!peers || !candidates) return Unreadable{"invalid_message"};
    return BroadcastIce{std::move(*peers), std::move(*candidates), invalidated};
}

Json pair_payload(const Pair& pair) {
    return {{"client_id", pair.client_id.to_text()}, {"resource_id", pair.resource_id.to_text()}};
}
Json ice_payload(const IceCredentials& ice) {
    return {{"username", ice.username}, {"password", ice.password}};
}
Json time_payload(const std::optional<Instant>& time) {
    return time ? Json(unix_seconds(*time)) : Json();
}

}  // namespace

DeviceMessage read_device_message(Device from, std::string_view event, const Json& payload) {
    if (event == "broadcast_ice_candidates") return read_ice(from, payload, false);
    if (event == "broadcast_invalidated_ice_candidates") return read_ice(from, payload, true);
    if (from == Device::Client && event == "create_flow") return read_create_flow(payload);
    if (from == Device::Gateway && event == "flow_authorized") return read_answer(payload);
    return Unreadable{"unknown_message"};
}

Push to_push(FlowFailed message) {
    Push out{"flow_creation_failed",
             {{"resource_id", message.resource_id.to_text()}, {"reason", message.reason}}};
    if (message.violated_properties)
        out.payload["violated_properties"] = std::move(*message.violated_properties);
    return out;
}

Push to_push(const FlowCreated& message) {
    const portal::Gateways& gateway = message.gateway;
    return {"flow_created",
            {{"resource_id", message.resource_id.to_text()},
             {"gateway_id", gateway.id.to_text()},
             {"gateway_group_id", gateway.site_id.to_text()},
             {"gateway_public_key", gateway.public_key},
             {"gateway_ipv4", host_of_inet(gateway.ipv4)},
             {"gateway_ipv6", host_of_inet(gateway.ipv6)},
             {"preshared_key", message.preshared_key},
             {"client_ice_credentials", ice_payload(message.client_ice)},
             {"gateway_ice_credentials", ice_payload(message.gateway_ice)}}};
}

Push to_push(const AuthorizeFlow& message) {
    const Authorize& flow = message.flow;
    return {"authorize_flow",
            {{"ref", flow.ref},
             {"resource", message.resource},
             {"client",
              {{"id", flow.client_id.to_text()},
               {"public_key", flow.public_key},
               {"ipv4", flow.ipv4},
               {"ipv6", flow.ipv6},
               {"preshared_key", flow.preshared_key}}},
             {"expires_at", time_payload(flow.expires_at)},
             {"client_ice_credentials", ice_payload(flow.client_ice)},
             {"gateway_ice_credentials", ice_payload(flow.gateway_ice)}}};
}

Push to_push(const RejectAccess& message) { return {"reject_access", pair_payload(message.pair)}; }

Push to_push(const ExpiryUpdated& message) {
    Push out{"access_authorization_expiry_updated", pair_payload(message.pair)};
    out.payload["expires_at"] = time_payload(message.expires_at);
    return out;
}

Push to_push(ResourceUpdated message) { return {"resource_updated", std::move(message.resource)}; }
Push to_push(const ConfigChanged& message) {
    return {"config_changed", {{"interface", message.interface}}};
}
Push to_push(const ResourceDeleted& message) {
    return {"resource_deleted", {{"id", message.id.to_text()}}};
}
Push to_push(const ResourceCreatedOrUpdated& message) {
    return {"resource_created_or_updated", message.view.payload};
}
Push to_push(RelaysPresence message) { return {"relays_presence", std::move(message.payload)}; }

Push to_push(const IceArrived& message) {
    return {
        message.ice.invalidated ? "invalidate_ice_candidates" : "ice_candidates",
        {{message.from == Device::Client ? "client_id" : "gateway_id", message.ice.from.to_text()},
         {"candidates", message.ice.candidates}}};
}

Json to_json(const AuthorizationEntry& entry) {
    Json out = pair_payload(entry.pair);
    out["expires_at"] = time_payload(entry.expires_at);
    out["client"] = {{"public_key", entry.public_key}, {"ipv4", entry.ipv4}, {"ipv6", entry.ipv6}};
    return out;
}

}  // namespace fatwal::access
