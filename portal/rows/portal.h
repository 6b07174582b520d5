// Written by `fatwal codegen` from the tables of publication "portal". Not to be edited: run it again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "fatwal/client/typed.h"

namespace fatwal::portal {

using fatwal::client::Timestamp;
using fatwal::client::Uuid;

// public.actor_type. Unknown: a label that was added later.
enum class ActorType : std::uint16_t {
    Unknown,
    AccountUser,
    AccountAdminUser,
    ServiceAccount,
};
// The label; empty for Unknown.
[[nodiscard]] std::string_view to_text(ActorType value);

// public.group_type. Unknown: a label that was added later.
enum class GroupType : std::uint16_t {
    Unknown,
    Static,
    Managed,
    Synced,
};
// The label; empty for Unknown.
[[nodiscard]] std::string_view to_text(GroupType value);

// public.ip_stack. Unknown: a label that was added later.
enum class IpStack : std::uint16_t {
    Unknown,
    Ipv4Only,
    Ipv6Only,
    Dual,
};
// The label; empty for Unknown.
[[nodiscard]] std::string_view to_text(IpStack value);

// public.manager. Unknown: a label that was added later.
enum class Manager : std::uint16_t {
    Unknown,
    Account,
    System,
};
// The label; empty for Unknown.
[[nodiscard]] std::string_view to_text(Manager value);

// public.resource_type. Unknown: a label that was added later.
enum class ResourceType : std::uint16_t {
    Unknown,
    Dns,
    Cidr,
    Ip,
    Internet,
};
// The label; empty for Unknown.
[[nodiscard]] std::string_view to_text(ResourceType value);

// public.token_type. Unknown: a label that was added later.
enum class TokenType : std::uint16_t {
    Unknown,
    Client,
    Gateway,
    Relay,
};
// The label; empty for Unknown.
[[nodiscard]] std::string_view to_text(TokenType value);

struct Accounts {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "accounts";

    Uuid id;
    std::string name;
    std::string slug;
    nlohmann::json config;
    nlohmann::json features;
    nlohmann::json limits;
    std::optional<Timestamp> disabled_at;
    std::string ipv4_range;
    std::string ipv6_range;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Accounts> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Accounts&) const = default;
};

struct ActorGroupMemberships {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "actor_group_memberships";

    Uuid id;
    Uuid account_id;
    Uuid actor_id;
    Uuid group_id;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<ActorGroupMemberships> decode(const fatwal::client::Row& row,
                                                                     fatwal::client::DecodeError* error = nullptr);
    bool operator==(const ActorGroupMemberships&) const = default;
};

struct ActorGroups {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "actor_groups";

    Uuid id;
    Uuid account_id;
    std::string name;
    GroupType type = GroupType::Unknown;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<ActorGroups> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const ActorGroups&) const = default;
};

struct Actors {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "actors";

    Uuid id;
    Uuid account_id;
    ActorType type = ActorType::Unknown;
    std::string name;
    std::optional<Timestamp> disabled_at;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Actors> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Actors&) const = default;
};

struct AuthIdentities {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "auth_identities";

    Uuid id;
    Uuid account_id;
    Uuid actor_id;
    Uuid provider_id;
    std::optional<std::string> email;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<AuthIdentities> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const AuthIdentities&) const = default;
};

struct AuthProviders {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "auth_providers";

    Uuid id;
    Uuid account_id;
    std::string adapter;
    std::optional<Timestamp> disabled_at;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<AuthProviders> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const AuthProviders&) const = default;
};

struct Clients {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "clients";

    Uuid id;
    Uuid account_id;
    Uuid actor_id;
    std::optional<Uuid> identity_id;
    std::string external_id;
    std::string name;
    std::string public_key;
    std::string ipv4;
    std::string ipv6;
    std::optional<std::string> device_serial;
    std::optional<std::string> device_uuid;
    std::optional<std::string> identifier_for_vendor;
    std::optional<Timestamp> verified_at;
    std::optional<Uuid> last_used_token_id;
    std::optional<std::string> last_seen_version;
    std::optional<Timestamp> last_seen_at;
    std::optional<std::string> last_seen_remote_ip;
    std::optional<std::string> last_seen_remote_ip_location_region;
    std::optional<std::string> last_seen_remote_ip_location_city;
    std::optional<double> last_seen_remote_ip_location_lat;
    std::optional<double> last_seen_remote_ip_location_lon;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Clients> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Clients&) const = default;
};

struct Flows {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "flows";

    Uuid id;
    Uuid account_id;
    Uuid policy_id;
    Uuid client_id;
    Uuid gateway_id;
    Uuid resource_id;
    Uuid token_id;
    std::optional<Uuid> membership_id;
    std::optional<std::string> client_remote_ip;
    std::optional<std::string> gateway_remote_ip;
    std::optional<Timestamp> expires_at;
    Timestamp created_at;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Flows> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Flows&) const = default;
};

struct Gateways {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "gateways";

    Uuid id;
    Uuid account_id;
    Uuid site_id;
    std::string external_id;
    std::string name;
    std::string public_key;
    std::string ipv4;
    std::string ipv6;
    std::optional<Uuid> last_used_token_id;
    std::optional<std::string> last_seen_version;
    std::optional<Timestamp> last_seen_at;
    std::optional<std::string> last_seen_remote_ip;
    std::optional<std::string> last_seen_remote_ip_location_region;
    std::optional<std::string> last_seen_remote_ip_location_city;
    std::optional<double> last_seen_remote_ip_location_lat;
    std::optional<double> last_seen_remote_ip_location_lon;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Gateways> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Gateways&) const = default;
};

struct Policies {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "policies";

    Uuid id;
    Uuid account_id;
    std::optional<Uuid> actor_group_id;
    Uuid resource_id;
    std::optional<std::string> description;
    std::vector<std::optional<nlohmann::json>> conditions;
    std::optional<Timestamp> disabled_at;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Policies> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Policies&) const = default;
};

struct ResourceConnections {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "resource_connections";

    Uuid account_id;
    Uuid resource_id;
    Uuid site_id;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<ResourceConnections> decode(const fatwal::client::Row& row,
                                                                   fatwal::client::DecodeError* error = nullptr);
    bool operator==(const ResourceConnections&) const = default;
};

struct Resources {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "resources";

    Uuid id;
    Uuid account_id;
    std::string name;
    ResourceType type = ResourceType::Unknown;
    std::optional<std::string> address;
    std::optional<std::string> address_description;
    std::optional<IpStack> ip_stack;
    nlohmann::json filters;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Resources> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Resources&) const = default;
};

struct Sites {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "sites";

    Uuid id;
    Uuid account_id;
    std::string name;
    Manager managed_by = Manager::Unknown;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Sites> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Sites&) const = default;
};

struct Tokens {
    static constexpr std::string_view kSchema = "public";
    static constexpr std::string_view kTable = "tokens";

    Uuid id;
    std::optional<Uuid> account_id;
    TokenType type = TokenType::Unknown;
    std::optional<Uuid> actor_id;
    std::optional<Uuid> identity_id;
    std::optional<Uuid> site_id;
    std::string secret_hash;
    std::optional<Uuid> device_id;
    std::optional<Timestamp> expires_at;
    std::optional<Timestamp> last_seen_at;
    std::optional<std::string> last_seen_remote_ip;
    std::optional<std::string> last_seen_user_agent;

    // Nothing, with the column and the reason in `error`, when a column is not as it was. From any thread.
    [[nodiscard]] static std::optional<Tokens> decode(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);
    bool operator==(const Tokens&) const = default;
};

using AnyRow = std::variant<std::monostate, Accounts, ActorGroupMemberships, ActorGroups, Actors, AuthIdentities, AuthProviders, Clients,
                            Flows, Gateways, Policies, ResourceConnections, Resources, Sites, Tokens>;

// The row as the struct of its table; std::monostate when it has none or cannot be decoded.
[[nodiscard]] AnyRow decode_any(const fatwal::client::Row& row, fatwal::client::DecodeError* error = nullptr);

}  // namespace fatwal::portal
