#include "fatwal/channel/rows.h"

#include <algorithm>

#include "channel/src/table_traits.h"
#include "fatwal/channel/account_settings.h"

namespace fatwal::channel {
namespace {

// The key of a row that cannot be read, as far as it can.
template <class Row>
std::optional<typename Storage<Row>::Key> key_of(const BadRow& bad) {
    if (!bad.id) return std::nullopt;
    if constexpr (std::is_same_v<typename Storage<Row>::Key, Uuid>) {
        return bad.id;
    } else {
        if (!bad.site) return std::nullopt;
        return std::pair(*bad.id, *bad.site);
    }
}

}  // namespace

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

template <class Row>
bool Rows::is_ours(const Key<Row>& key) const {
    if constexpr (std::is_same_v<Row, portal::Accounts>)
        return key == account_id_;
    else
        return true;
}

template <class Row>
void Rows::put(const Row& row, Touched& touched) {
    using OfRow = Traits<Row>;
    const Key<Row> key = Storage<Row>::key(row);
    if (!is_ours<Row>(key)) return;
    const auto& stored = Storage<Row>::stored(row);
    if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>) forget_unread(key, touched);
    if constexpr (std::is_same_v<Row, portal::Accounts>) issues_.settings(ignored_settings(row));
    if constexpr (std::is_same_v<Key<Row>, Uuid>)
        issues_.judge(Row::kTable, key, OfRow::malformed(stored), touched.out->issues);
    auto& rows = table<Row>();
    const auto found = rows.find(key);
    if (found == rows.end()) {
        OfRow::touch(*this, stored, touched);
        OfRow::link(indexes_, stored, true);
        OfRow::came(stored, touched);
        rows.emplace(key, stored);
        return;
    }
    if (OfRow::differs(found->second, stored)) {
        OfRow::touch(*this, found->second, touched);
        OfRow::touch(*this, stored, touched);
    }
    OfRow::changed(found->second, stored, touched);
    OfRow::link(indexes_, found->second, false);
    OfRow::link(indexes_, stored, true);
    found->second = stored;
}

template <class Row>
void Rows::drop_key(const Key<Row>& key, Touched& touched) {
    using OfRow = Traits<Row>;
    if (!is_ours<Row>(key)) return;
    if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>) forget_unread(key, touched);
    auto& rows = table<Row>();
    const auto found = rows.find(key);
    if (found == rows.end()) return;
    if constexpr (std::is_same_v<Key<Row>, Uuid>) issues_.forget(Row::kTable, key);
    OfRow::touch(*this, found->second, touched);
    OfRow::link(indexes_, found->second, false);
    OfRow::went(found->second, touched);
    rows.erase(found);
}

template <class Row>
void Rows::drop(const Row& row, Touched& touched) {
    const Key<Row> key = Storage<Row>::key(row);
    if (find<Row>(key) == nullptr) Traits<Row>::went(Storage<Row>::stored(row), touched);
    drop_key<Row>(key, touched);
}

void Rows::apply(const RowChange& change, Touched& touched) {
    std::visit(
        [&](const auto& before) {
            using Row = std::decay_t<decltype(before)>;
            if constexpr (!std::is_same_v<Row, std::monostate>) {
                const Row* after = std::get_if<Row>(&change.after);
                if (after == nullptr || Storage<Row>::key(*after) != Storage<Row>::key(before))
                    drop(before, touched);
            }
        },
        change.before);
    std::visit(
        [&](const auto& after) {
            if constexpr (!std::is_same_v<std::decay_t<decltype(after)>, std::monostate>)
                put(after, touched);
        },
        change.after);
}

void Rows::apply_bad(const BadRow& bad, Touched& touched) {
    bool is_found = false;
    DomainRows::for_each([&]<class Row>(std::type_identity<Row>) {
        if (bad.table != Row::kTable) return;
        const auto key = key_of<Row>(bad);
        if (!key) return;
        is_found = true;
        drop_key<Row>(*key, touched);
        if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>)
            if (!bad.is_gone) keep_unread(bad, touched);
    });
    if (!is_found)
        touched.poisoned_by = "a change of " + bad.table + " cannot be read: " + bad.reason;
}

void Rows::leave_out(const BadRow& bad, Touched& touched) {
    if (bad.table == portal::ActorGroupMemberships::kTable) keep_unread(bad, touched);
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

void Rows::forget_issues_of_missing() {
    issues_.forget_missing([&](std::string_view name, const Uuid& id) {
        bool is_there = false;
        DomainRows::for_each([&]<class Row>(std::type_identity<Row>) {
            if constexpr (std::is_same_v<Key<Row>, Uuid>)
                if (name == Row::kTable) is_there = find<Row>(id) != nullptr;
        });
        return is_there;
    });
}

bool Rows::indexes_match() const {
    Indexes made;
    DomainRows::for_each([&]<class Row>(std::type_identity<Row>) {
        for (const auto& [key, stored] : table<Row>()) Traits<Row>::link(made, stored, true);
    });
    // Of several memberships of an actor in one group any may stand for all.
    for (auto& [pair, others] : made.other_memberships) {
        const auto kept = indexes_.membership_of.find(pair);
        if (kept == indexes_.membership_of.end()) return false;
        others.insert(std::exchange(made.membership_of[pair], kept->second));
        if (others.erase(kept->second) == 0) return false;
    }
    return made == indexes_;
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

}  // namespace fatwal::channel
