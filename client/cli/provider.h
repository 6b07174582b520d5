// Who runs the server, and how what a superuser would do is done there.
#pragma once

#include <string>
#include <vector>

namespace fatwal::cli {

struct Provider {
    const char* name;              // of --provider
    const char* replication_role;  // whose members may replicate; empty: the attribute REPLICATION
    const char* admin;             // who may make roles that replicate
    const char* role;              // how such a role is made, where no SQL does it; else empty
    const char* wal_level;         // how wal_level is set to logical
    const char* idle_timeout;      // how idle_replication_slot_timeout is turned off
    const char* address;           // of Postgres itself, not of a pooler
};

[[nodiscard]] std::vector<std::string> provider_names();

// Of a name of provider_names().
[[nodiscard]] const Provider& provider(const std::string& name);

}  // namespace fatwal::cli
