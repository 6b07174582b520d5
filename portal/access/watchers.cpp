#include "portal/access/watchers.h"

#include <algorithm>

#include "fatwal/wire/invariant.h"

namespace fatwal::access {

void Watchers::attach(Attached& attached, const Uuid& id, const Uuid& token_id) {
    ++attached[id];
    by_token_.add(token_id, id);
}

void Watchers::detach(Attached& attached, const Uuid& id, const Uuid& token_id) {
    const auto found = attached.find(id);
    if (found == attached.end() || --found->second > 0) return;
    attached.erase(found);
    by_token_.remove(token_id, id);
}

void Watchers::attach_client(const Uuid& client_id, const Uuid& token_id) {
    attach(clients_, client_id, token_id);
}
void Watchers::detach_client(const Uuid& client_id, const Uuid& token_id) {
    detach(clients_, client_id, token_id);
}
void Watchers::attach_gateway(const Uuid& gateway_id, const Uuid& token_id) {
    attach(gateways_, gateway_id, token_id);
}
void Watchers::detach_gateway(const Uuid& gateway_id, const Uuid& token_id) {
    detach(gateways_, gateway_id, token_id);
}

void Watchers::hold(const Uuid& gateway_id, const Pair& pair) {
    const bool by_client =
        held_by_client_[pair.client_id].emplace(gateway_id, pair.resource_id).second;
    const bool of_resource =
        held_of_resource_[pair.resource_id].emplace(gateway_id, pair.client_id).second;
    FATWAL_INVARIANT(by_client == of_resource, "what is held is indexed both ways");
}

void Watchers::release(const Uuid& gateway_id, const Pair& pair) {
    const auto remove = [&](Held& index, const Uuid& key, const Uuid& other) {
        const auto found = index.find(key);
        if (found == index.end()) return;
        found->second.erase({gateway_id, other});
        if (found->second.empty()) index.erase(found);
    };
    remove(held_by_client_, pair.client_id, pair.resource_id);
    remove(held_of_resource_, pair.resource_id, pair.client_id);
}

void Watchers::resolve_client(const Uuid& client_id, Affected& affected) const {
    if (clients_.contains(client_id)) affected.clients.insert(client_id);
    const auto held = held_by_client_.find(client_id);
    if (held == held_by_client_.end()) return;
    for (const auto& [gateway_id, resource_id] : held->second)
        affected.gateways[gateway_id].pairs.push_back({client_id, resource_id});
}

void Watchers::resolve_moved(const Uuid& client_id, Affected& affected) const {
    const auto held = held_by_client_.find(client_id);
    if (held == held_by_client_.end()) return;
    for (const auto& [gateway_id, resource_id] : held->second) {
        affected.gateways[gateway_id].pairs.push_back({client_id, resource_id});
        affected.gateways[gateway_id].moved_clients.insert(client_id);
    }
}

void Watchers::resolve_group(const Rows& rows, const Uuid& group_id, bool is_everyones,
                             Affected& affected) const {
    const Ids& members = rows.indexes().actors_of_group.of(group_id);
    if (is_everyones) {
        for (const auto& [id, count] : clients_) affected.clients.insert(id);
    } else if (members.size() <= clients_.size()) {
        for (const Uuid& actor_id : members)
            for (const Uuid& id : rows.indexes().clients_of_actor.of(actor_id))
                if (clients_.contains(id)) affected.clients.insert(id);
    } else {
        for (const auto& [id, count] : clients_) {
            const auto* row = rows.client(id);
            if (row != nullptr && members.contains(row->actor_id)) affected.clients.insert(id);
        }
    }
}

void Watchers::resolve_resource(const Uuid& resource_id, Affected& affected) const {
    const auto held = held_of_resource_.find(resource_id);
    if (held == held_of_resource_.end()) return;
    for (const auto& [gateway_id, client_id] : held->second)
        affected.gateways[gateway_id].pairs.push_back({client_id, resource_id});
}

void Watchers::resolve_token(const Uuid& token_id, Affected& affected) const {
    for (const Uuid& id : by_token_.of(token_id)) {
        if (clients_.contains(id)) affected.clients.insert(id);
        if (gateways_.contains(id)) affected.gateways[id].itself = true;
    }
}

void Watchers::resolve_all(Affected& affected) const {
    for (const auto& [id, count] : clients_) affected.clients.insert(id);
    for (const auto& [id, count] : gateways_) affected.gateways[id].itself = true;
}

void Watchers::resolve(const Rows& rows, const Touched& touched, Affected& affected) const {
    Ids clients = touched.clients;
    for (const Uuid& actor_id : touched.actors) {
        const Ids& of_actor = rows.indexes().clients_of_actor.of(actor_id);
        clients.insert(of_actor.begin(), of_actor.end());
    }
    for (const Uuid& id : clients) resolve_client(id, affected);
    for (const Uuid& id : touched.moved_clients) resolve_moved(id, affected);

    // A membership changes what its own actor has; what everyone has, only the first one of a
    // managed group and the last one that goes.
    Ids changed = touched.groups;
    for (const auto& [group_id, was] : touched.were_everyones)
        if (was != rows.is_everyones(group_id)) changed.insert(group_id);
    Ids groups = changed;
    for (const Ids* resources : {&touched.resources, &touched.shown_resources})
        for (const Uuid& id : *resources)
            for (const Uuid& policy_id : rows.policies_of_resource(id))
                if (const Policy* policy = rows.policy(policy_id);
                    policy != nullptr && policy->row.actor_group_id)
                    groups.insert(*policy->row.actor_group_id);
    for (const Uuid& id : groups) {
        const auto was = touched.were_everyones.find(id);
        const bool was_everyones = was != touched.were_everyones.end() && was->second;
        resolve_group(rows, id, was_everyones || rows.is_everyones(id), affected);
    }
    // Gateways learn of a group's change by its policies' resources, and by its memberships.
    Ids resources = touched.resources;
    for (const Uuid& group_id : changed)
        for (const Uuid& policy_id : rows.policies_of_group(group_id))
            if (const Policy* policy = rows.policy(policy_id))
                resources.insert(policy->row.resource_id);
    for (const Uuid& id : resources) resolve_resource(id, affected);

    for (const Uuid& id : touched.tokens) resolve_token(id, affected);
    for (const Uuid& id : touched.gateways)
        if (gateways_.contains(id)) affected.gateways[id].itself = true;
    if (touched.account) resolve_all(affected);

    for (auto& [id, impact] : affected.gateways) {
        std::sort(impact.pairs.begin(), impact.pairs.end());
        impact.pairs.erase(std::unique(impact.pairs.begin(), impact.pairs.end()),
                           impact.pairs.end());
    }
    // Flows of gateways that are connected elsewhere.
    std::erase_if(affected.gateways,
                  [this](const auto& entry) { return !gateways_.contains(entry.first); });
}

}  // namespace fatwal::access
