#include "portal/process/measures.h"

namespace fatwal::process {

void Measures::pushed(access::Device device, const access::Push& push) {
    ++(device == access::Device::Client ? pushes_to_clients : pushes_to_gateways);
    if (push.event == "flow_created") return count(Outcome::Granted);
    if (push.event == "reject_access") return count(Outcome::Revoked);
    if (push.event != "flow_creation_failed") return;
    const std::string reason = push.payload.value("reason", "");
    if (reason == "forbidden") return count(Outcome::Forbidden);
    if (reason == "not_found") return count(Outcome::NotFound);
    count(reason == "offline" ? Outcome::Offline : Outcome::Other);
}

}  // namespace fatwal::process
