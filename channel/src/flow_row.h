// A flow as a row of the database.
#pragma once

#include <optional>

#include "fatwal/channel/affected.h"
#include "fatwal/channel/ip.h"
#include "fatwal/channel/peer_message.h"
#include "fatwal/channel/rows.h"

namespace fatwal::channel {

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

}  // namespace fatwal::channel
