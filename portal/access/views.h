// Resources as clients are shown them: rendered when first asked for, by what a device's version
// can express, and kept until a transaction concerns them.
#pragma once

#include <array>
#include <memory>
#include <unordered_map>

#include "portal/access/resource_view.h"
#include "portal/access/rows.h"
#include "portal/access/touched.h"
#include "portal/access/version.h"

namespace fatwal::access {

class Views {
public:
    // Null when the version is not shown the resource. The same pointer until a change concerns it.
    [[nodiscard]] std::shared_ptr<const ResourceView> of(const Rows& rows, const Uuid& resource_id,
                                                         const Version& version);
    void forget(const Touched& touched);
    void clear();

private:
    // By how many of the two (`**`, the internet) the version knows: each that knows the internet
    // knows `**` too.
    std::array<std::unordered_map<Uuid, std::shared_ptr<const ResourceView>>, 3> views_;
};

}  // namespace fatwal::access
