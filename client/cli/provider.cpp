#include "client/cli/provider.h"

#include <algorithm>
#include <array>

namespace fatwal::cli {

namespace {

// docs/managed.md has the same, with the rest that a provider asks for.
constexpr std::array<Provider, 7> kProviders = {{
    {"self", "", "a superuser", "", "ALTER SYSTEM SET wal_level = logical; then restart the server",
     "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
     "the address of Postgres itself"},
    {"cloudsql", "", "the user postgres, or another member of cloudsqlsuperuser", "",
     "gcloud sql instances patch INSTANCE --database-flags=cloudsql.logical_decoding=on (name the "
     "other flags of the instance too, or they are reset); it restarts",
     "gcloud sql instances patch INSTANCE --database-flags=idle_replication_slot_timeout=0 (name "
     "the other flags of the instance too, or they are reset)",
     "the instance's own address or the Cloud SQL Auth Proxy, not its managed pooler (port 6432)"},
    {"rds", "rds_replication", "the master user, or another member of rds_superuser", "",
     "aws rds modify-db-parameter-group --db-parameter-group-name GROUP --parameters "
     "ParameterName=rds.logical_replication,ParameterValue=1,ApplyMethod=pending-reboot; then aws "
     "rds reboot-db-instance --db-instance-identifier INSTANCE",
     "aws rds modify-db-parameter-group --db-parameter-group-name GROUP --parameters "
     "ParameterName=idle_replication_slot_timeout,ParameterValue=0,ApplyMethod=immediate",
     "the endpoint of the instance, not of RDS Proxy"},
    {"aurora", "rds_replication", "the master user, or another member of rds_superuser", "",
     "aws rds modify-db-cluster-parameter-group --db-cluster-parameter-group-name GROUP "
     "--parameters "
     "ParameterName=rds.logical_replication,ParameterValue=1,ApplyMethod=pending-reboot; then aws "
     "rds reboot-db-instance --db-instance-identifier WRITER",
     "aws rds modify-db-cluster-parameter-group --db-cluster-parameter-group-name GROUP "
     "--parameters "
     "ParameterName=idle_replication_slot_timeout,ParameterValue=0,ApplyMethod=immediate",
     "the cluster (writer) endpoint, not RDS Proxy's"},
    {"azure", "", "the server's administrator (a member of azure_pg_admin)", "",
     "az postgres flexible-server parameter set --resource-group GROUP --server-name SERVER --name "
     "wal_level --value logical; then az postgres flexible-server restart --resource-group GROUP "
     "--name SERVER",
     "az postgres flexible-server parameter set --resource-group GROUP --server-name SERVER --name "
     "idle_replication_slot_timeout --value 0",
     "port 5432, not the built-in PgBouncer's 6432"},
    {"supabase", "", "the user postgres", "",
     "it is logical in every project of Supabase: this is another server", "ask Supabase's support",
     "the direct connection db.REF.supabase.co:5432, not the pooler's"},
    {"neon", "", "a role that the console made",
     "make it in the console, or: neonctl roles create --name ROLE. A role that SQL makes cannot "
     "replicate on Neon",
     "turn on Logical Replication in the project's settings (it cannot be turned off again); the "
     "computes restart",
     "ask Neon's support", "the host without -pooler in its name"},
}};

}  // namespace

std::vector<std::string> provider_names() {
    std::vector<std::string> names;
    names.reserve(kProviders.size());
    for (const Provider& each : kProviders) names.emplace_back(each.name);
    return names;
}

const Provider& provider(const std::string& name) {
    const auto* found = std::find_if(kProviders.begin(), kProviders.end(),
                                     [&](const Provider& each) { return each.name == name; });
    return found == kProviders.end() ? kProviders.front() : *found;
}

}  // namespace fatwal::cli
