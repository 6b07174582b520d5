// A resource as devices are shown it.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "portal/access/basics.h"
#include "portal/access/version.h"
#include "portal/rows/portal.h"

namespace fatwal::access {

// Immutable, shared by all channels that show it.
struct ResourceView {
    std::vector<Uuid> sites;  // sorted
    Json payload;             // of resource_created_or_updated
    friend bool operator==(const ResourceView&, const ResourceView&) = default;
};

struct SiteName {
    Uuid id;
    std::string name;
};

// What a device of the version can be shown of a resource in these sites (sorted by id); nothing
// when it cannot express it, when there is no site, or when the row makes no sense (an address that
// is none, filters that are none).
[[nodiscard]] std::optional<ResourceView> render_for_client(const portal::Resources& resource,
                                                            const std::vector<SiteName>& sites,
                                                            bool double_star, bool internet);

// The column by which the row makes no sense, whatever the version; empty: none.
[[nodiscard]] std::string_view malformed_column(const portal::Resources& resource);

// As gateways are given it: {id, type, name, address, filters}, of the internet {id, type}.
[[nodiscard]] std::optional<Json> render_for_gateway(const portal::Resources& resource,
                                                     const Version& version);

// The filters of a payload; nothing for what are none: then the resource is shown to nobody, as a
// filter left out would open more.
[[nodiscard]] std::optional<Json> render_filters(const Json& filters);

}  // namespace fatwal::access
