#include "portal/process/privileges.h"

#include <spdlog/spdlog.h>

#include "portal/process/connection.h"
#include "service/failure.h"

namespace fatwal::process {
namespace {

constexpr Connection::Limits kPrivilegesLimits{std::chrono::seconds(30), std::chrono::seconds(30)};

// Of a table that has rows locked, and no column written, one column is enough. What registration
// needs is asked for where the database has its functions.
constexpr const char* kLacking = R"(
WITH registration(function) AS (VALUES ('public.register_client'), ('public.register_gateway'),
    ('public.free_tunnel_address'), ('public.is_below_limit')),
needed(relation, privilege, columns) AS (VALUES
    ('accounts', 'SELECT', 'id'), ('accounts', 'UPDATE', 'id'),
    ('policies', 'SELECT', 'id'), ('policies', 'UPDATE', 'id'),
    ('resources', 'SELECT', 'id'), ('resources', 'UPDATE', 'id'),
    ('actor_group_memberships', 'SELECT', 'id'), ('actor_group_memberships', 'UPDATE', 'id'),
    ('clients', 'SELECT', 'id'), ('gateways', 'SELECT', 'id'),
    ('clients', 'UPDATE',
        'last_used_token_id, last_seen_version, last_seen_at, last_seen_remote_ip, '
        'last_seen_remote_ip_location_region, last_seen_remote_ip_location_city, '
        'last_seen_remote_ip_location_lat, last_seen_remote_ip_location_lon'),
    ('gateways', 'UPDATE',
        'last_used_token_id, last_seen_version, last_seen_at, last_seen_remote_ip, '
        'last_seen_remote_ip_location_region, last_seen_remote_ip_location_city, '
        'last_seen_remote_ip_location_lat, last_seen_remote_ip_location_lon'),
    ('tokens', 'SELECT', 'id, account_id, type, secret_hash, expires_at, device_id'),
    ('tokens', 'UPDATE', 'last_seen_at, last_seen_remote_ip, last_seen_user_agent, device_id'),
    ('flows', 'SELECT', ''), ('flows', 'INSERT', ''), ('flows', 'DELETE', ''),
    ('flows', 'UPDATE', 'id')
    UNION ALL SELECT * FROM (VALUES
    ('accounts', 'SELECT', 'id, limits, disabled_at, ipv4_range, ipv6_range'),
    ('tunnel_addresses', 'SELECT', 'account_id, address'),
    ('actors', 'SELECT', 'id, disabled_at'), ('auth_providers', 'SELECT', 'id, disabled_at'),
    ('auth_identities', 'SELECT', 'id, actor_id, provider_id'),
    ('tokens', 'SELECT', 'actor_id, identity_id, site_id'),
    ('clients', 'SELECT', 'account_id, actor_id, identity_id, external_id, name, public_key, ipv4, '
        'ipv6, device_serial, device_uuid, identifier_for_vendor'),
    ('clients', 'INSERT', 'account_id, actor_id, identity_id, external_id, name, public_key, ipv4, '
        'ipv6, device_serial, device_uuid, identifier_for_vendor'),
    ('clients', 'UPDATE', 'identity_id, name, public_key, device_serial, device_uuid, '
        'identifier_for_vendor'),
    ('gateways', 'SELECT', 'account_id, site_id, external_id, name, public_key, ipv4, ipv6'),
    ('gateways', 'INSERT', 'account_id, site_id, external_id, name, public_key, ipv4, ipv6'),
    ('gateways', 'UPDATE', 'name, public_key')) AS of_registration
    WHERE (SELECT bool_and(to_regproc(function) IS NOT NULL) FROM registration)),
lacking AS (
    SELECT * FROM needed
    WHERE CASE WHEN to_regclass('public.' || relation) IS NULL THEN false
               WHEN columns = '' THEN NOT has_table_privilege('public.' || relation, privilege)
               WHEN columns = 'id' AND privilege = 'UPDATE'
                   THEN NOT has_any_column_privilege('public.' || relation, privilege)
               ELSE NOT (
                   SELECT bool_and(has_column_privilege('public.' || relation, name, privilege))
                   FROM unnest(string_to_array(columns, ', ')) AS name) END)
SELECT concat_ws(' ',
    (SELECT string_agg(format('GRANT %s%s ON %I TO %I;', privilege,
            nullif(' (' || columns || ')', ' ()'), relation, current_user),
        ' ' ORDER BY relation, privilege)
     FROM lacking),
    (SELECT string_agg(format('GRANT EXECUTE ON FUNCTION %s TO %I;',
        to_regproc(function)::regprocedure, current_user), ' ')
     FROM registration WHERE NOT has_function_privilege(to_regproc(function), 'EXECUTE')),
    (SELECT format('GRANT TEMPORARY ON DATABASE %I TO %I;', current_database(), current_user)
     WHERE NOT has_database_privilege(current_database(), 'TEMPORARY'))))";

}  // namespace

void check_privileges(const std::string& database) {
    Connection::Result found;
    try {
        found = Connection(database, kPrivilegesLimits).run(kLacking);
    } catch (const SqlError& error) {
        spdlog::warn("cannot look whether the role has the privileges that are needed: {}",
                     error.what());
        return;
    }
    const std::string grants = PQgetvalue(found.get(), 0, 0);
    if (!grants.empty()) throw service::Failure("the role lacks privileges", {}, grants);
}

}  // namespace fatwal::process
