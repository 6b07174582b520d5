#include "portal/process/fleet_message.h"

#include <concepts>
#include <limits>
#include <utility>

#include "portal/access/json_text.h"

namespace fatwal::process {
namespace {

using access::Json;
using access::or_null;

// Each of these gives nothing for a field that is missing, null or of another type.
const Json* field(const Json& json, const char* key) {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(key);
    return found == json.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> text_in(const Json& json, const char* key) {
    const Json* value = field(json, key);
    return value != nullptr && value->is_string() ? std::optional(value->get<std::string>())
                                                  : std::nullopt;
}

std::optional<Uuid> id_in(const Json& json, const char* key) {
    const auto text = text_in(json, key);
    return text ? Uuid::from_text(*text) : std::nullopt;
}

// A number that the type can hold.
template <std::unsigned_integral Number>
std::optional<Number> number_in(const Json& json, const char* key) {
    const Json* value = field(json, key);
    if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
    const auto number = value->get<std::uint64_t>();
    return number <= std::numeric_limits<Number>::max() ? std::optional(static_cast<Number>(number))
                                                        : std::nullopt;
}

std::optional<bool> flag_in(const Json& json, const char* key) {
    const Json* value = field(json, key);
    return value != nullptr && value->is_boolean() ? std::optional(value->get<bool>())
                                                   : std::nullopt;
}

std::optional<access::Location> location_in(const Json& json) {
    const Json* pair = field(json, "location");
    if (pair == nullptr || !pair->is_array() || pair->size() != 2 || !(*pair)[0].is_number() ||
        !(*pair)[1].is_number())
        return std::nullopt;
    return access::Location{(*pair)[0].get<double>(), (*pair)[1].get<double>()};
}

Json location_json(const std::optional<access::Location>& location) {
    return location ? Json{location->lat, location->lon} : Json();
}

Json session_json(const char* event, const SessionEvent& session) {
    return {{"event", event},
            {"account", session.account.to_text()},
            {"id", session.id.to_text()},
            {"generation", session.generation}};
}

// The account is null of an operators' relay, and required: a relay that is taken for the
// operators' would be given to the devices of all accounts.
Json relay_json(const char* event, const access::RelayId& relay) {
    return {{"event", event},
            {"id", relay.id.to_text()},
            {"account", relay.account_id ? Json(relay.account_id->to_text()) : Json()}};
}

std::optional<access::RelayId> relay_id_in(const Json& json) {
    const auto id = id_in(json, "id");
    const auto account = id_in(json, "account");
    const auto stands = json.find("account");
    if (!id || stands == json.end() || stands->is_null() == account.has_value())
        return std::nullopt;
    return access::RelayId{*id, account};
}

// The writers.

Json written(const GatewayOnline& message) {
    const access::OnlineGateway& gateway = message.gateway;
    Json out = session_json("gateway_online", {message.account, gateway.id, gateway.generation});
    out["version"] = gateway.version.to_text();
    out["location"] = location_json(gateway.location);
    out["remote_ip"] = gateway.remote_ip ? Json(gateway.remote_ip->to_text()) : Json();
    return out;
}
Json written(const GatewayOffline& message) { return session_json("gateway_offline", message); }
Json written(const ClientEntered& message) { return session_json("client_entered", message); }
Json written(const ClientLeft& message) { return session_json("client_left", message); }
Json written(const GatewayWanted& message) { return session_json("gateway_wanted", message); }
Json written(const GatewayStays& message) { return session_json("gateway_stays", message); }

Json written(const RelayOnline& message) {
    const access::Relay& relay = message.relay;
    Json out = relay_json("relay_online", relay.id);
    out["ipv4"] = or_null(relay.ipv4);
    out["ipv6"] = or_null(relay.ipv6);
    out["port"] = relay.port;
    out["location"] = location_json(relay.location);
    out["secret"] = relay.secret;
    return out;
}
Json written(const RelayOffline& message) { return relay_json("relay_offline", message.id); }

Json written(const Delivery& message) {
    Json out = message.as_written.is_object() ? message.as_written : Json::object();
    out["event"] = message.is_back ? "undelivered" : "deliver";
    if (message.as_written.is_object()) return out;
    out["account"] = message.account.to_text();
    if (message.sender) out["sender"] = access::to_json(*message.sender);
    if (message.to) out["to"] = access::to_json(*message.to);
    if (message.content) out["message"] = access::to_json(*message.content);
    return out;
}

Json written(const EndSession& message) {
    return {{"event", "disconnect"},
            {"account", message.account.to_text()},
            {"gateway", message.device == access::Device::Gateway},
            {"id", message.id.to_text()}};
}
Json written(const RejectPair& message) {
    return {{"event", "reject"},
            {"account", message.account.to_text()},
            {"id", message.pair.client_id.to_text()},
            {"resource", message.pair.resource_id.to_text()}};
}

// The readers.

std::optional<SessionEvent> session_in(const Json& json) {
    const auto account = id_in(json, "account");
    const auto id = id_in(json, "id");
    if (!account || !id) return std::nullopt;
    return SessionEvent{*account, *id, generation_in(json)};
}

template <class Message>
std::optional<FleetMessage> as(const std::optional<SessionEvent>& session) {
    if (!session) return std::nullopt;
    return Message{*session};
}

// The version decides which client may use the gateway, so a gateway without one is not online.
std::optional<FleetMessage> gateway_online_in(access::ProcessId from, const Json& json) {
    const auto session = session_in(json);
    const auto version = access::Version::parse(text_in(json, "version").value_or(""));
    if (!session || !version) return std::nullopt;
    const auto ip = text_in(json, "remote_ip");
    return GatewayOnline{session->account,
                         {session->id, session->generation, from, *version, location_in(json),
                          ip ? access::IpAddress::parse(*ip) : std::nullopt}};
}

// Its secret is what a device's credentials are made with: without it they would be of no use.
std::optional<FleetMessage> relay_online_in(const Json& json) {
    const auto id = relay_id_in(json);
    auto secret = text_in(json, "secret");
    if (!id || !secret) return std::nullopt;
    access::Relay out;
    out.id = *id;
    out.ipv4 = text_in(json, "ipv4");
    out.ipv6 = text_in(json, "ipv6");
    out.port = number_in<std::uint16_t>(json, "port").value_or(out.port);
    out.location = location_in(json);
    out.secret = std::move(*secret);
    return RelayOnline{std::move(out)};
}

std::optional<FleetMessage> relay_offline_in(const Json& json) {
    const auto id = relay_id_in(json);
    if (!id) return std::nullopt;
    return RelayOffline{*id};
}

std::optional<FleetMessage> delivery_in(bool is_back, const Json& json) {
    const auto account = id_in(json, "account");
    if (!account) return std::nullopt;
    Delivery out;
    out.account = *account;
    out.is_back = is_back;
    if (const Json* sender = field(json, "sender")) out.sender = access::address_from_json(*sender);
    if (const Json* to = field(json, "to")) out.to = access::address_from_json(*to);
    if (const Json* content = field(json, "message"))
        out.content = access::peer_message_from_json(*content);
    out.as_written = json;
    return out;
}

std::optional<FleetMessage> end_session_in(const Json& json) {
    const auto session = session_in(json);
    const auto is_gateway = flag_in(json, "gateway");
    if (!session || !is_gateway) return std::nullopt;
    return EndSession{session->account,
                      *is_gateway ? access::Device::Gateway : access::Device::Client, session->id};
}

std::optional<FleetMessage> reject_pair_in(const Json& json) {
    const auto session = session_in(json);
    const auto resource = id_in(json, "resource");
    if (!session || !resource) return std::nullopt;
    return RejectPair{session->account, {session->id, *resource}};
}

}  // namespace

Json to_json(const FleetMessage& message) {
    return std::visit([](const auto& one) { return written(one); }, message);
}

std::optional<FleetMessage> read_fleet_message(access::ProcessId from, const Json& json) {
    const std::string event = text_in(json, "event").value_or("");
    if (event == "gateway_online") return gateway_online_in(from, json);
    if (event == "gateway_offline") return as<GatewayOffline>(session_in(json));
    if (event == "client_entered") return as<ClientEntered>(session_in(json));
    if (event == "client_left") return as<ClientLeft>(session_in(json));
    if (event == "gateway_wanted") return as<GatewayWanted>(session_in(json));
    if (event == "gateway_stays") return as<GatewayStays>(session_in(json));
    if (event == "relay_online") return relay_online_in(json);
    if (event == "relay_offline") return relay_offline_in(json);
    if (event == "deliver" || event == "undelivered")
        return delivery_in(event == "undelivered", json);
    if (event == "disconnect") return end_session_in(json);
    if (event == "reject") return reject_pair_in(json);
    return std::nullopt;
}

access::Generation generation_in(const Json& json) {
    return number_in<access::Generation>(json, "generation").value_or(0);
}

}  // namespace fatwal::process
