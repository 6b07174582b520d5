#include "portal/process/health.h"

namespace fatwal::process {

access::Json to_json(const Health& health) {
    return {{"status", health.is_draining ? "draining" : "ok"},
            {"clients", health.clients},
            {"gateways", health.gateways},
            {"gateways_online", health.gateways_online},
            {"relays", health.relays},
            {"accounts", health.accounts},
            {"accounts_live", health.accounts_live},
            {"registrations_waiting", health.registrations_waiting},
            {"flows_waiting", health.flows_waiting},
            {"fleet", health.fleet},
            {"fleet_not_understood", health.fleet_not_understood}};
}

}  // namespace fatwal::process
