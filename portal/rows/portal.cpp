// Written by `fatwal codegen` from the tables of publication "portal". Not to be edited: run it again.
#include "portal.h"

#include <utility>

namespace fatwal::portal {

namespace {

namespace typed = fatwal::client::typed;
using fatwal::client::DecodeError;
using fatwal::client::Row;
using fatwal::client::Schema;
using fatwal::wire::TypeCode;

// clang-format off
constexpr std::string_view kActorTypeLabels[] = {
    "account_user",
    "account_admin_user",
    "service_account",
};
// clang-format on

// clang-format off
constexpr std::string_view kGroupTypeLabels[] = {
    "static",
    "managed",
    "synced",
};
// clang-format on

// clang-format off
constexpr std::string_view kIpStackLabels[] = {
    "ipv4_only",
    "ipv6_only",
    "dual",
};
// clang-format on

// clang-format off
constexpr std::string_view kManagerLabels[] = {
    "account",
    "system",
};
// clang-format on

// clang-format off
constexpr std::string_view kResourceTypeLabels[] = {
    "dns",
    "cidr",
    "ip",
    "internet",
};
// clang-format on

// clang-format off
constexpr std::string_view kTokenTypeLabels[] = {
    "client",
    "gateway",
    "relay",
};
// clang-format on

// clang-format off
constexpr typed::ColumnSpec kAccountsColumns[] = {
    {"id", TypeCode::Uuid},
    {"name", TypeCode::Text},
    {"slug", TypeCode::Text},
    {"config", TypeCode::Jsonb},
    {"features", TypeCode::Jsonb},
    {"limits", TypeCode::Jsonb},
    {"disabled_at", TypeCode::TimestampTz},
    {"ipv4_range", TypeCode::Cidr},
    {"ipv6_range", TypeCode::Cidr},
};
// clang-format on
constexpr typed::TableSpec kAccountsTable{Accounts::kSchema, Accounts::kTable, kAccountsColumns};

// clang-format off
constexpr typed::ColumnSpec kActorGroupMembershipsColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"actor_id", TypeCode::Uuid},
    {"group_id", TypeCode::Uuid},
};
// clang-format on
constexpr typed::TableSpec kActorGroupMembershipsTable{ActorGroupMemberships::kSchema, ActorGroupMemberships::kTable,
                                                       kActorGroupMembershipsColumns};

// clang-format off
constexpr typed::ColumnSpec kActorGroupsColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"name", TypeCode::Text},
    {"type", TypeCode::Enum, TypeCode::Other, kGroupTypeLabels},
};
// clang-format on
constexpr typed::TableSpec kActorGroupsTable{ActorGroups::kSchema, ActorGroups::kTable, kActorGroupsColumns};

// clang-format off
constexpr typed::ColumnSpec kActorsColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"type", TypeCode::Enum, TypeCode::Other, kActorTypeLabels},
    {"name", TypeCode::Text},
    {"disabled_at", TypeCode::TimestampTz},
};
// clang-format on
constexpr typed::TableSpec kActorsTable{Actors::kSchema, Actors::kTable, kActorsColumns};

// clang-format off
constexpr typed::ColumnSpec kAuthIdentitiesColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"actor_id", TypeCode::Uuid},
    {"provider_id", TypeCode::Uuid},
    {"email", TypeCode::Text},
};
// clang-format on
constexpr typed::TableSpec kAuthIdentitiesTable{AuthIdentities::kSchema, AuthIdentities::kTable, kAuthIdentitiesColumns};

// clang-format off
constexpr typed::ColumnSpec kAuthProvidersColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"adapter", TypeCode::Text},
    {"disabled_at", TypeCode::TimestampTz},
};
// clang-format on
constexpr typed::TableSpec kAuthProvidersTable{AuthProviders::kSchema, AuthProviders::kTable, kAuthProvidersColumns};

// clang-format off
constexpr typed::ColumnSpec kClientsColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"actor_id", TypeCode::Uuid},
    {"identity_id", TypeCode::Uuid},
    {"external_id", TypeCode::Text},
    {"name", TypeCode::Text},
    {"public_key", TypeCode::Text},
    {"ipv4", TypeCode::Inet},
    {"ipv6", TypeCode::Inet},
    {"device_serial", TypeCode::Text},
    {"device_uuid", TypeCode::Text},
    {"identifier_for_vendor", TypeCode::Text},
    {"verified_at", TypeCode::TimestampTz},
    {"last_used_token_id", TypeCode::Uuid},
    {"last_seen_version", TypeCode::Text},
    {"last_seen_at", TypeCode::TimestampTz},
    {"last_seen_remote_ip", TypeCode::Inet},
    {"last_seen_remote_ip_location_region", TypeCode::Text},
    {"last_seen_remote_ip_location_city", TypeCode::Text},
    {"last_seen_remote_ip_location_lat", TypeCode::Float8},
    {"last_seen_remote_ip_location_lon", TypeCode::Float8},
};
// clang-format on
constexpr typed::TableSpec kClientsTable{Clients::kSchema, Clients::kTable, kClientsColumns};

// clang-format off
constexpr typed::ColumnSpec kFlowsColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"policy_id", TypeCode::Uuid},
    {"client_id", TypeCode::Uuid},
    {"gateway_id", TypeCode::Uuid},
    {"resource_id", TypeCode::Uuid},
    {"token_id", TypeCode::Uuid},
    {"membership_id", TypeCode::Uuid},
    {"client_remote_ip", TypeCode::Inet},
    {"gateway_remote_ip", TypeCode::Inet},
    {"expires_at", TypeCode::TimestampTz},
    {"created_at", TypeCode::TimestampTz},
};
// clang-format on
constexpr typed::TableSpec kFlowsTable{Flows::kSchema, Flows::kTable, kFlowsColumns};

// clang-format off
constexpr typed::ColumnSpec kGatewaysColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"site_id", TypeCode::Uuid},
    {"external_id", TypeCode::Text},
    {"name", TypeCode::Text},
    {"public_key", TypeCode::Text},
    {"ipv4", TypeCode::Inet},
    {"ipv6", TypeCode::Inet},
    {"last_used_token_id", TypeCode::Uuid},
    {"last_seen_version", TypeCode::Text},
    {"last_seen_at", TypeCode::TimestampTz},
    {"last_seen_remote_ip", TypeCode::Inet},
    {"last_seen_remote_ip_location_region", TypeCode::Text},
    {"last_seen_remote_ip_location_city", TypeCode::Text},
    {"last_seen_remote_ip_location_lat", TypeCode::Float8},
    {"last_seen_remote_ip_location_lon", TypeCode::Float8},
};
// clang-format on
constexpr typed::TableSpec kGatewaysTable{Gateways::kSchema, Gateways::kTable, kGatewaysColumns};

// clang-format off
constexpr typed::ColumnSpec kPoliciesColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"actor_group_id", TypeCode::Uuid},
    {"resource_id", TypeCode::Uuid},
    {"description", TypeCode::Text},
    {"conditions", TypeCode::Array, TypeCode::Jsonb},
    {"disabled_at", TypeCode::TimestampTz},
};
// clang-format on
constexpr typed::TableSpec kPoliciesTable{Policies::kSchema, Policies::kTable, kPoliciesColumns};

// clang-format off
constexpr typed::ColumnSpec kResourceConnectionsColumns[] = {
    {"account_id", TypeCode::Uuid},
    {"resource_id", TypeCode::Uuid},
    {"site_id", TypeCode::Uuid},
};
// clang-format on
constexpr typed::TableSpec kResourceConnectionsTable{ResourceConnections::kSchema, ResourceConnections::kTable,
                                                     kResourceConnectionsColumns};

// clang-format off
constexpr typed::ColumnSpec kResourcesColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"name", TypeCode::Text},
    {"type", TypeCode::Enum, TypeCode::Other, kResourceTypeLabels},
    {"address", TypeCode::Text},
    {"address_description", TypeCode::Text},
    {"ip_stack", TypeCode::Enum, TypeCode::Other, kIpStackLabels},
    {"filters", TypeCode::Jsonb},
};
// clang-format on
constexpr typed::TableSpec kResourcesTable{Resources::kSchema, Resources::kTable, kResourcesColumns};

// clang-format off
constexpr typed::ColumnSpec kSitesColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"name", TypeCode::Text},
    {"managed_by", TypeCode::Enum, TypeCode::Other, kManagerLabels},
};
// clang-format on
constexpr typed::TableSpec kSitesTable{Sites::kSchema, Sites::kTable, kSitesColumns};

// clang-format off
constexpr typed::ColumnSpec kTokensColumns[] = {
    {"id", TypeCode::Uuid},
    {"account_id", TypeCode::Uuid},
    {"type", TypeCode::Enum, TypeCode::Other, kTokenTypeLabels},
    {"actor_id", TypeCode::Uuid},
    {"identity_id", TypeCode::Uuid},
    {"site_id", TypeCode::Uuid},
    {"secret_hash", TypeCode::Bytea},
    {"device_id", TypeCode::Uuid},
    {"expires_at", TypeCode::TimestampTz},
    {"last_seen_at", TypeCode::TimestampTz},
    {"last_seen_remote_ip", TypeCode::Inet},
    {"last_seen_user_agent", TypeCode::Text},
};
// clang-format on
constexpr typed::TableSpec kTokensTable{Tokens::kSchema, Tokens::kTable, kTokensColumns};

bool parse_json(std::string_view text, nlohmann::json& out) {
    out = nlohmann::json::parse(text, nullptr, false);
    return !out.is_discarded();
}

using Decoder = AnyRow (*)(const Row&, DecodeError*);

template <class T>
AnyRow decode_as(const Row& row, DecodeError* error) {
    auto decoded = T::decode(row, error);
    if (!decoded) return {};
    return *std::move(decoded);
}

AnyRow decode_none(const Row& row, DecodeError* error) {
    typed::other_table(row, error);
    return {};
}

Decoder decoder_of(const Schema& schema) {
    if (typed::describes(schema, kAccountsTable)) return decode_as<Accounts>;
    if (typed::describes(schema, kActorGroupMembershipsTable)) return decode_as<ActorGroupMemberships>;
    if (typed::describes(schema, kActorGroupsTable)) return decode_as<ActorGroups>;
    if (typed::describes(schema, kActorsTable)) return decode_as<Actors>;
    if (typed::describes(schema, kAuthIdentitiesTable)) return decode_as<AuthIdentities>;
    if (typed::describes(schema, kAuthProvidersTable)) return decode_as<AuthProviders>;
    if (typed::describes(schema, kClientsTable)) return decode_as<Clients>;
    if (typed::describes(schema, kFlowsTable)) return decode_as<Flows>;
    if (typed::describes(schema, kGatewaysTable)) return decode_as<Gateways>;
    if (typed::describes(schema, kPoliciesTable)) return decode_as<Policies>;
    if (typed::describes(schema, kResourceConnectionsTable)) return decode_as<ResourceConnections>;
    if (typed::describes(schema, kResourcesTable)) return decode_as<Resources>;
    if (typed::describes(schema, kSitesTable)) return decode_as<Sites>;
    if (typed::describes(schema, kTokensTable)) return decode_as<Tokens>;
    return decode_none;
}

}  // namespace

std::string_view to_text(ActorType value) { return typed::label_of(kActorTypeLabels, value); }

std::string_view to_text(GroupType value) { return typed::label_of(kGroupTypeLabels, value); }

std::string_view to_text(IpStack value) { return typed::label_of(kIpStackLabels, value); }

std::string_view to_text(Manager value) { return typed::label_of(kManagerLabels, value); }

std::string_view to_text(ResourceType value) { return typed::label_of(kResourceTypeLabels, value); }

std::string_view to_text(TokenType value) { return typed::label_of(kTokenTypeLabels, value); }

std::optional<Accounts> Accounts::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kAccountsTable, bindings, error);
    Accounts out;
    read(out.id);
    read(out.name);
    read(out.slug);
    read(out.config, parse_json);
    read(out.features, parse_json);
    read(out.limits, parse_json);
    read(out.disabled_at);
    read(out.ipv4_range);
    read(out.ipv6_range);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<ActorGroupMemberships> ActorGroupMemberships::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kActorGroupMembershipsTable, bindings, error);
    ActorGroupMemberships out;
    read(out.id);
    read(out.account_id);
    read(out.actor_id);
    read(out.group_id);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<ActorGroups> ActorGroups::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kActorGroupsTable, bindings, error);
    ActorGroups out;
    read(out.id);
    read(out.account_id);
    read(out.name);
    read(out.type);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<Actors> Actors::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kActorsTable, bindings, error);
    Actors out;
    read(out.id);
    read(out.account_id);
    read(out.type);
    read(out.name);
    read(out.disabled_at);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<AuthIdentities> AuthIdentities::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kAuthIdentitiesTable, bindings, error);
    AuthIdentities out;
    read(out.id);
    read(out.account_id);
    read(out.actor_id);
    read(out.provider_id);
    read(out.email);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<AuthProviders> AuthProviders::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kAuthProvidersTable, bindings, error);
    AuthProviders out;
    read(out.id);
    read(out.account_id);
    read(out.adapter);
    read(out.disabled_at);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<Clients> Clients::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kClientsTable, bindings, error);
    Clients out;
    read(out.id);
    read(out.account_id);
    read(out.actor_id);
    read(out.identity_id);
    read(out.external_id);
    read(out.name);
    read(out.public_key);
    read(out.ipv4);
    read(out.ipv6);
    read(out.device_serial);
    read(out.device_uuid);
    read(out.identifier_for_vendor);
    read(out.verified_at);
    read(out.last_used_token_id);
    read(out.last_seen_version);
    read(out.last_seen_at);
    read(out.last_seen_remote_ip);
    read(out.last_seen_remote_ip_location_region);
    read(out.last_seen_remote_ip_location_city);
    read(out.last_seen_remote_ip_location_lat);
    read(out.last_seen_remote_ip_location_lon);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<Flows> Flows::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kFlowsTable, bindings, error);
    Flows out;
    read(out.id);
    read(out.account_id);
    read(out.policy_id);
    read(out.client_id);
    read(out.gateway_id);
    read(out.resource_id);
    read(out.token_id);
    read(out.membership_id);
    read(out.client_remote_ip);
    read(out.gateway_remote_ip);
    read(out.expires_at);
    read(out.created_at);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<Gateways> Gateways::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kGatewaysTable, bindings, error);
    Gateways out;
    read(out.id);
    read(out.account_id);
    read(out.site_id);
    read(out.external_id);
    read(out.name);
    read(out.public_key);
    read(out.ipv4);
    read(out.ipv6);
    read(out.last_used_token_id);
    read(out.last_seen_version);
    read(out.last_seen_at);
    read(out.last_seen_remote_ip);
    read(out.last_seen_remote_ip_location_region);
    read(out.last_seen_remote_ip_location_city);
    read(out.last_seen_remote_ip_location_lat);
    read(out.last_seen_remote_ip_location_lon);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<Policies> Policies::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kPoliciesTable, bindings, error);
    Policies out;
    read(out.id);
    read(out.account_id);
    read(out.actor_group_id);
    read(out.resource_id);
    read(out.description);
    read(out.conditions, parse_json);
    read(out.disabled_at);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<ResourceConnections> ResourceConnections::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kResourceConnectionsTable, bindings, error);
    ResourceConnections out;
    read(out.account_id);
    read(out.resource_id);
    read(out.site_id);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<Resources> Resources::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kResourcesTable, bindings, error);
    Resources out;
    read(out.id);
    read(out.account_id);
    read(out.name);
    read(out.type);
    read(out.address);
    read(out.address_description);
    read(out.ip_stack);
    read(out.filters, parse_json);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<Sites> Sites::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kSitesTable, bindings, error);
    Sites out;
    read(out.id);
    read(out.account_id);
    read(out.name);
    read(out.managed_by);
    if (!read.ok()) return std::nullopt;
    return out;
}

std::optional<Tokens> Tokens::decode(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<typed::Binding> bindings;
    typed::Reader read(row, kTokensTable, bindings, error);
    Tokens out;
    read(out.id);
    read(out.account_id);
    read(out.type);
    read(out.actor_id);
    read(out.identity_id);
    read(out.site_id);
    read(out.secret_hash);
    read(out.device_id);
    read(out.expires_at);
    read(out.last_seen_at);
    read(out.last_seen_remote_ip);
    read(out.last_seen_user_agent);
    if (!read.ok()) return std::nullopt;
    return out;
}

AnyRow decode_any(const Row& row, DecodeError* error) {
    thread_local typed::ByDescriptor<Decoder> decoders;
    return decoders.of(row.schema(), decoder_of)(row, error);
}

}  // namespace fatwal::portal
