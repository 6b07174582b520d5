#include "portal/access/choices.h"

#include <algorithm>
#include <vector>

namespace fatwal::access {
namespace {

// The first ones by name, then id, so that two answers agree. `more`: there are others.
template <class Row>
std::vector<const Row*> first_by_name(const Rows& rows, bool& more) {
    std::vector<const Row*> out;
    rows.for_each<Row>([&](const Row& row) { out.push_back(&row); });
    const std::size_t count = std::min(out.size(), kMostChoices);
    std::partial_sort(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), out.end(),
                      [](const Row* a, const Row* b) {
                          return a->name != b->name ? a->name < b->name : a->id < b->id;
                      });
    if (count < out.size()) more = true;
    out.resize(count);
    return out;
}

}  // namespace

Json choices(const AccountState& state) {
    bool more = false;
    Json clients = Json::array();
    for (const auto* row : first_by_name<portal::Clients>(state.rows(), more)) {
        const auto* actor = state.actor(row->actor_id);
        clients.push_back({{"id", row->id.to_text()},
                           {"name", row->name},
                           {"actor", actor ? Json(actor->name) : Json()}});
    }
    Json resources = Json::array();
    for (const auto* row : first_by_name<portal::Resources>(state.rows(), more))
        resources.push_back({{"id", row->id.to_text()},
                             {"name", row->name},
                             {"type", to_text(row->type)},
                             {"address", row->address ? Json(*row->address) : Json()}});
    return {{"clients", std::move(clients)}, {"resources", std::move(resources)}, {"more", more}};
}

}  // namespace fatwal::access
