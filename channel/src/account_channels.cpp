// Which channels are attached to an account's state, and which of them a change concerns.
#include <algorithm>

#include "fatwal/channel/account_state.h"

namespace fatwal::channel {

void AccountState::attach_client(const Uuid& client_id, const Uuid& token_id) {
    ++attached_clients_[client_id];
    attached_by_token_.add(token_id, client_id);
}

void AccountState::detach_client(const Uuid& client_id, const Uuid& token_id) {
    const auto found = attached_clients_.find(client_id);
    if (found == attached_clients_.end() || --found->second > 0) return;
    attached_clients_.erase(found);
    attached_by_token_.remove(token_id, client_id);
}

void AccountState::attach_gateway(const Uuid& gateway_id, const Uuid& token_id) {
    ++attached_gateways_[gateway_id];
    attached_by_token_.add(token_id, gateway_id);
}

void AccountState::detach_gateway(const Uuid& gateway_id, const Uuid& token_id) {
    const auto found = attached_gateways_.find(gateway_id);
    if (found == attached_gateways_.end() || --found->second > 0) return;
    attached_gateways_.erase(found);
    attached_by_token_.remove(token_id, gateway_id);
}

void AccountState::hold(const Uuid& gateway_id, const Pair& pair) {
    held_by_client_[pair.client_id].emplace(gateway_id, pair.resource_id);
    held_of_resource_[pair.resource_id].emplace(gateway_id, pair.client_id);
}

void AccountState::release(const Uuid& gateway_id, const Pair& pair) {
    const auto remove = [&](auto& index, const Uuid& key, const Uuid& other) {
        const auto found = index.find(key);
        if (found == index.end()) return;
        found->second.erase({gateway_id, other});
        if (found->second.empty()) index.erase(found);
    };
    remove(held_by_client_, pair.client_id, pair.resource_id);
    remove(held_of_resource_, pair.resource_id, pair.client_id);
}

void AccountState::resolve_client(const Uuid& client_id, Affected& affected) const {
    if (attached_clients_.contains(client_id)) affected.clients.insert(client_id);
    const auto held = held_by_client_.find(client_id);
    if (held == held_by_client_.end()) return;
    for (const auto& [gateway_id, resource_id] : held->second)
        affected.gateways[gateway_id].pairs.push_back({client_id, resource_id});
}

void AccountState::resolve(const Touched& touched, Affected& affected) const {
    Ids clients = touched.clients;
    for (const Uuid& actor_id : touched.actors) {
        const Ids& of_actor = clients_of_actor_.of(actor_id);
        clients.insert(of_actor.begin(), of_actor.end());
    }
    for (const Uuid& id : clients) resolve_client(id, affected);

    for (const Uuid& id : touched.moved_clients) {
        const auto held = held_by_client_.find(id);
        if (held == held_by_client_.end()) continue;
        for (const auto& [gateway_id, resource_id] : held->second) {
            affected.gateways[gateway_id].pairs.push_back({id, resource_id});
            affected.gateways[gateway_id].moved_clients.insert(id);
        }
    }

    // Whom a group or a resource concerns is asked from the smaller side: its members, or the
    // channels that are here. Gateways learn of a group's change by its policies' resources and its
    // memberships. A membership changes what its own actor has; what everyone has, only the first
    // one of a managed group and the last one that goes.
    Ids changed = touched.groups;
    for (const auto& [group_id, was] : touched.were_everyones)
        if (was != is_everyones(group_id)) changed.insert(group_id);
    Ids groups = changed;
    for (const Ids* resources : {&touched.resources, &touched.shown_resources})
        for (const Uuid& id : *resources)
            for (const Uuid& policy_id : policies_of_resource(id))
                if (const Policy* found = policy(policy_id);
                    found != nullptr && found->row.actor_group_id)
                    groups.insert(*found->row.actor_group_id);
    for (const Uuid& group_id : groups) {
        const Ids& members = actors_of_group_.of(group_id);
        const auto was = touched.were_everyones.find(group_id);
        if ((was != touched.were_everyones.end() && was->second) || is_everyones(group_id)) {
            for (const auto& [id, count] : attached_clients_) affected.clients.insert(id);
        } else if (members.size() <= attached_clients_.size()) {
            for (const Uuid& actor_id : members)
                for (const Uuid& id : clients_of_actor_.of(actor_id))
                    if (attached_clients_.contains(id)) affected.clients.insert(id);
        } else {
            for (const auto& [id, count] : attached_clients_) {
                const auto* row = client(id);
                if (row != nullptr && members.contains(row->actor_id)) affected.clients.insert(id);
            }
        }
    }
    Ids resources = touched.resources;
    for (const Uuid& group_id : changed)
        for (const Uuid& policy_id : policies_of_group(group_id))
            if (const Policy* found = policy(policy_id)) resources.insert(found->row.resource_id);
    for (const Uuid& resource_id : resources) {
        const auto held = held_of_resource_.find(resource_id);
        if (held == held_of_resource_.end()) continue;
        for (const auto& [gateway_id, client_id] : held->second)
            affected.gateways[gateway_id].pairs.push_back({client_id, resource_id});
    }

    for (const Uuid& token_id : touched.tokens)
        for (const Uuid& id : attached_by_token_.of(token_id)) {
            if (attached_clients_.contains(id)) affected.clients.insert(id);
            if (attached_gateways_.contains(id)) affected.gateways[id].itself = true;
        }
    for (const Uuid& id : touched.gateways)
        if (attached_gateways_.contains(id)) affected.gateways[id].itself = true;
    if (touched.account) {
        for (const auto& [id, count] : attached_clients_) affected.clients.insert(id);
        for (const auto& [id, count] : attached_gateways_) affected.gateways[id].itself = true;
    }

    for (auto& [id, impact] : affected.gateways) {
        std::sort(impact.pairs.begin(), impact.pairs.end());
        impact.pairs.erase(std::unique(impact.pairs.begin(), impact.pairs.end()),
                           impact.pairs.end());
    }
}

}  // namespace fatwal::channel
