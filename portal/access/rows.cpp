#include "portal/access/rows.h"

#include <utility>

namespace fatwal::access {

void Indexes::link_membership(const portal::ActorGroupMemberships& row, bool there) {
    const std::pair key(row.actor_id, row.group_id);
    const auto found = membership_of.find(key);
    const auto others = other_memberships.find(key);
    if (there && found != membership_of.end()) {
        if (found->second == row.id) return;
        other_memberships[key].insert(std::exchange(found->second, row.id));
    } else if (there) {
        membership_of.emplace(key, row.id);
        groups_of_actor.add(row.actor_id, row.group_id);
        actors_of_group.add(row.group_id, row.actor_id);
    } else if (others != other_memberships.end()) {
        if (others->second.erase(row.id) == 0 && found->second == row.id)
            found->second = others->second.extract(others->second.begin()).value();
        if (others->second.empty()) other_memberships.erase(others);
    } else if (found != membership_of.end() && found->second == row.id) {
        membership_of.erase(found);
        groups_of_actor.remove(row.actor_id, row.group_id);
        actors_of_group.remove(row.group_id, row.actor_id);
    }
}

void Rows::clear() {
    tables_ = decltype(tables_)();
    indexes_ = Indexes();
    unread_memberships_.clear();
    has_nameless_membership_ = false;
}

void Rows::keep_unread(const BadRow& membership, Touched& touched) {
    if (unread_memberships_.empty()) note_all_everyones(touched);
    if (membership.id)
        unread_memberships_.insert(*membership.id);
    else
        has_nameless_membership_ = true;
}

void Rows::forget_unread(const Uuid& membership_id, Touched& touched) {
    if (!unread_memberships_.contains(membership_id)) return;
    if (unread_memberships_.size() == 1) note_all_everyones(touched);
    unread_memberships_.erase(membership_id);
}

void Rows::note_everyones(const Uuid& group_id, Touched& touched) const {
    touched.were_everyones.try_emplace(group_id, is_everyones(group_id));
}

void Rows::note_all_everyones(Touched& touched) const {
    for (const Uuid& id : indexes_.managed_groups) note_everyones(id, touched);
}

const Uuid* Rows::membership(const Uuid& actor_id, const Uuid& group_id) const {
    const auto found = indexes_.membership_of.find(std::pair(actor_id, group_id));
    if (found != indexes_.membership_of.end() && find<portal::ActorGroups>(group_id) != nullptr)
        return &found->second;
    return is_everyones(group_id) && actor(actor_id) != nullptr ? &kEveryone : nullptr;
}

bool Rows::is_everyones(const Uuid& group_id) const {
    return indexes_.managed_groups.contains(group_id) &&
           indexes_.actors_of_group.of(group_id).empty() && unread_memberships_.empty() &&
           !has_nameless_membership_;
}

bool Rows::has_feature(std::string_view name) const {
    const auto* row = account();
    if (row == nullptr || !row->features.is_object()) return false;
    const auto found = row->features.find(name);
    return found == row->features.end() || *found == Json(true);
}

bool Rows::offers(const portal::Resources& resource) const {
    if (resource.type == portal::ResourceType::Internet && !has_feature("internet_resource"))
        return false;
    return resource.filters == Json::array() || has_feature("traffic_filters");
}

bool Rows::in_force(const Policy& policy) const {
    if (policy.row.disabled_at) return false;
    return policy.row.conditions.empty() || has_feature("policy_conditions");
}

}  // namespace fatwal::access
