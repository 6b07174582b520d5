// A flow as a row of the database.
#pragma once

#include <optional>

#include "portal/access/affected.h"
#include "portal/access/ip.h"
#include "portal/access/peer_message.h"
#include "portal/access/rows.h"

namespace fatwal::access {

struct FlowTerms {
    Uuid flow_id;
    Uuid account_id;
    Pair pair;
    Uuid gateway_id;
    Justification by;
    std::optional<IpAddress> client_ip;
    std::optional<IpAddress> gateway_ip;
    std::optional<Instant> expires_at;
    Instant decided_at;
};

[[nodiscard]] portal::Flows row_of_flow(const FlowTerms& terms);
// Why the flow of a row is allowed.
[[nodiscard]] Justification justification_of(const portal::Flows& row);

}  // namespace fatwal::access
