// How a process is, in numbers: what GET /stats of the admin socket and `fatwal channel` show.
// docs/operations.md says what each is, and what is normal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "portal/access/basics.h"

namespace fatwal::process {

struct Health {
    bool is_draining = false;
    std::size_t clients = 0;
    std::size_t gateways = 0;
    std::size_t gateways_online = 0;  // in the whole fleet
    std::size_t relays = 0;
    std::size_t accounts = 0;
    std::size_t accounts_live = 0;
    std::size_t registrations_waiting = 0;
    std::size_t flows_waiting = 0;
    std::size_t fleet = 0;  // other processes
    std::uint64_t fleet_not_understood = 0;
};

[[nodiscard]] access::Json to_json(const Health& health);

}  // namespace fatwal::process
