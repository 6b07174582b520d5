// What an account's config, features and limits say, and what of it says nothing.
#pragma once

#include <string>
#include <vector>

#include "portal/access/basics.h"
#include "portal/rows/portal.h"

namespace fatwal::access {

// {search_domain, upstream_dns} of an account's config; null and [] for what it does not say well.
[[nodiscard]] Json interface_of(const portal::Accounts* account, const portal::Clients& client);

// The values of an account's config, features and limits that say nothing that is understood, each
// with its value, for the log: "config.upstream_dns: \"dns.example\" is no address". At most 20.
[[nodiscard]] std::vector<std::string> ignored_settings(const portal::Accounts& account);

}  // namespace fatwal::access
