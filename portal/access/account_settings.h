// The network interface of a client, by its account's config, and the settings of
// an account that are ignored because they are malformed.
#pragma once

#include <string>
#include <vector>

#include "portal/access/basics.h"
#include "portal/rows/portal.h"

namespace fatwal::access {

// {ipv4, ipv6} of the client, {search_domain, upstream_dns} of the account's config; null and []
// where that is missing or malformed.
[[nodiscard]] Json interface_of(const portal::Accounts* account, const portal::Clients& client);

// The settings in an account's config, features and limits that are malformed, each with its value,
// for the log: "config.upstream_dns: \"dns.example\" is no address". At most 20.
[[nodiscard]] std::vector<std::string> ignored_settings(const portal::Accounts& account);

}  // namespace fatwal::access
