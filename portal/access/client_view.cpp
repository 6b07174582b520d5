#include "portal/access/client_view.h"

#include "portal/access/account_settings.h"
#include "portal/access/device_message.h"

namespace fatwal::access {
namespace {

bool moved(const ResourceView& before, const ResourceView& after) {
    return before.sites != after.sites;
}

}  // namespace

ClientView ClientView::of(const AccountState& state, const portal::Clients& client,
                          const Version& version, const ClientContext& session, Instant now) {
    ClientView out;
    out.interface = interface_of(state.account(), client);
    ClientContext context = session;
    complete_context(state, client, context);
    state.for_each_group_of(client.actor_id, [&](const Uuid& group_id) {
        for (const Uuid& policy_id : state.policies_of_group(group_id)) {
            const Policy* policy = state.policy(policy_id);
            if (policy == nullptr || !state.in_force(*policy)) continue;
            out.next_change = earlier(out.next_change, policy->conditions.next_change(now));
            if (out.resources.contains(policy->row.resource_id) ||
                !policy->conditions.evaluate(context, now).holds)
                continue;
            if (auto view = state.view_of(policy->row.resource_id, version))
                out.resources.emplace(policy->row.resource_id, std::move(view));
        }
    });
    return out;
}

void push_difference(const ClientView& before, const ClientView& after, Actions& out) {
    if (before.interface != after.interface)
        out.emplace_back(to_push(ConfigChanged{after.interface}));
    for (const auto& [id, view] : before.resources) {
        const auto found = after.resources.find(id);
        if (found == after.resources.end() ||
            (found->second != view && moved(*view, *found->second)))
            out.emplace_back(to_push(ResourceDeleted{id}));
    }
    for (const auto& [id, view] : after.resources) {
        const auto found = before.resources.find(id);
        if (found != before.resources.end() && (found->second == view || *found->second == *view))
            continue;
        out.emplace_back(to_push(ResourceCreatedOrUpdated{*view}));
    }
}

}  // namespace fatwal::access
