// What a client is shown: a pure function of the account's state, and the difference of two of them
// as pushes.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "portal/access/access.h"
#include "portal/access/account_state.h"
#include "portal/access/action.h"

namespace fatwal::access {

struct ClientView {
    std::map<Uuid, std::shared_ptr<const ResourceView>> resources;  // connectable now
    Json interface;  // {ipv4, ipv6, search_domain, upstream_dns}
    std::optional<Instant>
        next_change;  // the first instant at which time alone can change the resources

    // Of a session that may be (client_refusal() gives nothing). `session`: where the client is
    // connected from; what rows say is added.
    [[nodiscard]] static ClientView of(const AccountState& state, const portal::Clients& client,
                                       const Version& version, const ClientContext& session,
                                       Instant now);
};

// Appends the pushes that make `before` on the device into `after`: config_changed, then
// resource_deleted (also for resources whose set of sites differs), then
// resource_created_or_updated. Not for another tunnel address: that takes an init.
void push_difference(const ClientView& before, const ClientView& after, Actions& out);

}  // namespace fatwal::access
