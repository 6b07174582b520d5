#include "portal/access/views.h"

#include <algorithm>

namespace fatwal::access {

std::shared_ptr<const ResourceView> Views::of(const Rows& rows, const Uuid& resource_id,
                                              const Version& version) {
    const bool double_star = knows_double_star(version);
    const bool internet = knows_internet(version);
    auto& views =
        views_.at(static_cast<std::size_t>(double_star) + static_cast<std::size_t>(internet));
    const auto kept = views.find(resource_id);
    if (kept != views.end()) return kept->second;
    std::shared_ptr<const ResourceView> out;
    if (const auto* row = rows.resource(resource_id); row != nullptr && rows.offers(*row)) {
        std::vector<SiteName> names;
        for (const Uuid& id : rows.sites_of_resource(resource_id))
            if (const auto* found = rows.site(id)) names.push_back({id, found->name});
        std::sort(names.begin(), names.end(),
                  [](const SiteName& a, const SiteName& b) { return a.id < b.id; });
        if (auto rendered = render_for_client(*row, names, double_star, internet))
            out = std::make_shared<ResourceView>(std::move(*rendered));
    }
    views.emplace(resource_id, out);
    return out;
}

void Views::forget(const Touched& touched) {
    // The account's features decide which resources there are.
    if (touched.account) return clear();
    for (const Ids* ids : {&touched.resources, &touched.shown_resources})
        for (const Uuid& id : *ids)
            for (auto& views : views_) views.erase(id);
}

void Views::clear() {
    for (auto& views : views_) views.clear();
}

}  // namespace fatwal::access
