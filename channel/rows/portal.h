// The portal's rows as structs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fatwal/client/typed.h"

namespace fatwal::portal {

using client::Timestamp;
using client::Uuid;

enum class ActorType : std::uint8_t { Unknown, AccountUser, AccountAdminUser, ServiceAccount };
enum class GroupType : std::uint8_t { Unknown, Static, Managed, Synced };
enum class TokenType : std::uint8_t { Unknown, Client, Gateway, Relay };
enum class Manager : std::uint8_t { Unknown, Account, System };
enum class ResourceType : std::uint8_t { Unknown, Dns, Cidr, Ip, Internet };
enum class IpStack : std::uint8_t { Unknown, Ipv4Only, Ipv6Only, Dual };

struct Accounts {
    Uuid id{};
    std::string name;
    std::string slug;
    nlohmann::json config{};
    nlohmann::json features{};
    nlohmann::json limits{};
    std::optional<Timestamp> disabled_at;
    friend bool operator==(const Accounts&, const Accounts&) = default;
};

struct Actors {
    Uuid id{};
    Uuid account_id{};
    ActorType type{};
    std::string name;
    std::optional<Timestamp> disabled_at;
    friend bool operator==(const Actors&, const Actors&) = default;
};

struct ActorGroups {
    Uuid id{};
    Uuid account_id{};
    std::string name;
    GroupType type{};
    friend bool operator==(const ActorGroups&, const ActorGroups&) = default;
};

struct ActorGroupMemberships {
    Uuid id{};
    Uuid account_id{};
    Uuid actor_id{};
    Uuid group_id{};
    friend bool operator==(const ActorGroupMemberships&, const ActorGroupMemberships&) = default;
};

struct AuthProviders {
    Uuid id{};
    Uuid account_id{};
    std::string adapter;
    std::optional<Timestamp> disabled_at;
    friend bool operator==(const AuthProviders&, const AuthProviders&) = default;
};

struct AuthIdentities {
    Uuid id{};
    Uuid account_id{};
    Uuid actor_id{};
    Uuid provider_id{};
    std::optional<std::string> email;
    friend bool operator==(const AuthIdentities&, const AuthIdentities&) = default;
};

struct Sites {
    Uuid id{};
    Uuid account_id{};
    std::string name;
    Manager managed_by{};
    friend bool operator==(const Sites&, const Sites&) = default;
};

struct Tokens {
    Uuid id{};
    std::optional<Uuid> account_id;
    TokenType type{};
    std::optional<Uuid> actor_id;
    std::optional<Uuid> identity_id;
    std::optional<Uuid> site_id;
    std::string secret_hash;
    std::optional<Timestamp> expires_at;
    std::optional<Timestamp> last_seen_at;
    std::optional<std::string> last_seen_remote_ip;
    std::optional<std::string> last_seen_user_agent;
    friend bool operator==(const Tokens&, const Tokens&) = default;
};

struct Clients {
    Uuid id{};
    Uuid account_id{};
    Uuid actor_id{};
    std::optional<Uuid> identity_id;
    std::string external_id;
    std::string name;
    std::string public_key;
    std::string ipv4;
    std::string ipv6;
    std::optional<Timestamp> verified_at;
    std::optional<Uuid> last_used_token_id;
    std::optional<std::string> last_seen_version;
    std::optional<Timestamp> last_seen_at;
    std::optional<std::string> last_seen_remote_ip;
    std::optional<std::string> last_seen_remote_ip_location_region;
    std::optional<std::string> last_seen_remote_ip_location_city;
    std::optional<double> last_seen_remote_ip_location_lat;
    std::optional<double> last_seen_remote_ip_location_lon;
    friend bool operator==(const Clients&, const Clients&) = default;
};

struct Gateways {
    Uuid id{};
    Uuid account_id{};
    Uuid site_id{};
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
    friend bool operator==(const Gateways&, const Gateways&) = default;
};

struct Resources {
    Uuid id{};
    Uuid account_id{};
    std::string name;
    ResourceType type{};
    std::optional<std::string> address;
    std::optional<std::string> address_description;
    std::optional<IpStack> ip_stack;
    nlohmann::json filters{};
    friend bool operator==(const Resources&, const Resources&) = default;
};

struct ResourceConnections {
    Uuid account_id{};
    Uuid resource_id{};
    Uuid site_id{};
    friend bool operator==(const ResourceConnections&, const ResourceConnections&) = default;
};

struct Policies {
    Uuid id{};
    Uuid account_id{};
    std::optional<Uuid> actor_group_id;
    Uuid resource_id{};
    std::optional<std::string> description;
    std::vector<std::optional<nlohmann::json>> conditions;
    std::optional<Timestamp> disabled_at;
    friend bool operator==(const Policies&, const Policies&) = default;
};

struct Flows {
    Uuid id{};
    Uuid account_id{};
    Uuid policy_id{};
    Uuid client_id{};
    Uuid gateway_id{};
    Uuid resource_id{};
    Uuid token_id{};
    Uuid membership_id{};
    std::optional<std::string> client_remote_ip;
    std::optional<std::string> gateway_remote_ip;
    std::optional<Timestamp> expires_at;
    Timestamp created_at{};
    friend bool operator==(const Flows&, const Flows&) = default;
};

using AnyRow = std::variant<Accounts, Actors, ActorGroups, ActorGroupMemberships, AuthProviders, AuthIdentities, Sites, Tokens, Clients,
                            Gateways, Resources, ResourceConnections, Policies, Flows>;

}  // namespace fatwal::portal
