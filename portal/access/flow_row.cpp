#include "portal/access/flow_row.h"

namespace fatwal::access {

portal::Flows row_of_flow(const FlowTerms& terms) {
    portal::Flows row;
    row.id = terms.flow_id;
    row.account_id = terms.account_id;
    row.policy_id = terms.by.policy_id;
    row.client_id = terms.pair.client_id;
    row.gateway_id = terms.gateway_id;
    row.resource_id = terms.pair.resource_id;
    row.token_id = terms.by.token_id;
    row.membership_id = membership_column(terms.by.membership_id);
    if (terms.client_ip) row.client_remote_ip = terms.client_ip->to_text();
    if (terms.gateway_ip) row.gateway_remote_ip = terms.gateway_ip->to_text();
    row.expires_at = terms.expires_at;
    row.created_at = terms.decided_at;
    return row;
}

Justification justification_of(const portal::Flows& row) {
    return {row.policy_id, row.membership_id.value_or(kEveryone), row.token_id};
}

}  // namespace fatwal::access
