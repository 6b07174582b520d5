#include "fatwal/channel/account_state.h"

#include <algorithm>
#include <type_traits>

#include "channel/src/account_tables.h"
#include "fatwal/channel/client_view.h"

namespace fatwal::channel {
namespace {

void add_issue(std::size_t& count, std::vector<Issue>& issues, const BadRow& bad) {
    ++count;
    if (issues.size() >= Affected::kMaxIssues) return;
    std::string key = bad.id ? bad.id->to_text() : "?";
    if (bad.site) key += ',' + bad.site->to_text();
    issues.push_back({bad.table, std::move(key), bad.reason});
}

std::string other_columns(const TableShape& shape) {
    return "the columns of table " + shape.table + " were changed";
}

}  // namespace

template <>
AccountState::Table<portal::Actors>& AccountState::table() {
    return actors_;
}
template <>
AccountState::Table<portal::ActorGroups>& AccountState::table() {
    return groups_;
}
template <>
AccountState::Table<portal::ActorGroupMemberships>& AccountState::table() {
    return memberships_;
}
template <>
AccountState::Table<portal::AuthProviders>& AccountState::table() {
    return providers_;
}
template <>
AccountState::Table<portal::AuthIdentities>& AccountState::table() {
    return identities_;
}
template <>
AccountState::Table<portal::Sites>& AccountState::table() {
    return sites_;
}
template <>
AccountState::Table<portal::Tokens>& AccountState::table() {
    return tokens_;
}
template <>
AccountState::Table<portal::Clients>& AccountState::table() {
    return clients_;
}
template <>
AccountState::Table<portal::Gateways>& AccountState::table() {
    return gateways_;
}
template <>
AccountState::Table<portal::Resources>& AccountState::table() {
    return resources_;
}
template <>
AccountState::Table<Policy>& AccountState::table() {
    return policies_;
}
template <>
AccountState::Table<portal::Flows>& AccountState::table() {
    return flows_;
}

template <class Row>
void AccountState::link(const Row& row, bool there) {
    const auto enter = [there](Index& index, const Uuid& key, const Uuid& value) {
        if (there)
            index.add(key, value);
        else
            index.remove(key, value);
    };
    if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>) {
        const std::pair key(row.actor_id, row.group_id);
        if (there) {
            membership_of_[key] = row.id;
        } else if (const auto found = membership_of_.find(key);
                   found != membership_of_.end() && found->second == row.id) {
            // Unless another membership of the two has come before this one went.
            membership_of_.erase(found);
        }
        if (membership_of_.contains(key) == there) {
            enter(groups_of_actor_, row.actor_id, row.group_id);
            enter(actors_of_group_, row.group_id, row.actor_id);
        }
    } else if constexpr (std::is_same_v<Row, portal::ActorGroups>) {
        if (there && row.type == portal::GroupType::Managed)
            managed_groups_.insert(row.id);
        else
            managed_groups_.erase(row.id);
    } else if constexpr (std::is_same_v<Row, portal::AuthIdentities>) {
        enter(identities_of_provider_, row.provider_id, row.id);
    } else if constexpr (std::is_same_v<Row, portal::Clients>) {
        enter(clients_of_actor_, row.actor_id, row.id);
    } else if constexpr (std::is_same_v<Row, portal::Gateways>) {
        enter(gateways_of_site_, row.site_id, row.id);
    } else if constexpr (std::is_same_v<Row, Policy>) {
        if (row.row.actor_group_id) enter(policies_of_group_, *row.row.actor_group_id, row.row.id);
        enter(policies_of_resource_, row.row.resource_id, row.row.id);
    } else if constexpr (std::is_same_v<Row, portal::Flows>) {
        enter(flows_of_client_, row.client_id, row.id);
        enter(flows_of_gateway_, row.gateway_id, row.id);
    }
}

template <class Row>
void AccountState::touch(const Row& row, Touched& touched) const {
    if constexpr (std::is_same_v<Row, portal::Actors>) {
        touched.actors.insert(row.id);
    } else if constexpr (std::is_same_v<Row, portal::ActorGroups>) {
        touched.groups.insert(row.id);
        note_everyones(row.id, touched);
    } else if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>) {
        touched.actors.insert(row.actor_id);
        if (managed_groups_.contains(row.group_id)) note_everyones(row.group_id, touched);
    } else if constexpr (std::is_same_v<Row, portal::AuthProviders>) {
        for (const Uuid& id : identities_of_provider_.of(row.id))
            if (const auto* found = identity(id)) touched.actors.insert(found->actor_id);
    } else if constexpr (std::is_same_v<Row, portal::AuthIdentities>) {
        touched.actors.insert(row.actor_id);
    } else if constexpr (std::is_same_v<Row, portal::Sites>) {
        for (const Uuid& id : resources_of_site_.of(row.id)) touched.shown_resources.insert(id);
    } else if constexpr (std::is_same_v<Row, portal::Tokens>) {
        touched.tokens.insert(row.id);
        if (row.actor_id) touched.actors.insert(*row.actor_id);
    } else if constexpr (std::is_same_v<Row, portal::Clients>) {
        touched.clients.insert(row.id);
    } else if constexpr (std::is_same_v<Row, portal::Gateways>) {
        touched.gateways.insert(row.id);
    } else if constexpr (std::is_same_v<Row, portal::Resources>) {
        touched.resources.insert(row.id);
    } else if constexpr (std::is_same_v<Row, Policy>) {
        if (row.row.actor_group_id) touched.groups.insert(*row.row.actor_group_id);
        touched.resources.insert(row.row.resource_id);
    }
}

void AccountState::note_everyones(const Uuid& group_id, Touched& touched) const {
    touched.were_everyones.try_emplace(group_id, is_everyones(group_id));
}

void AccountState::note_all_everyones(Touched& touched) const {
    for (const Uuid& id : managed_groups_) note_everyones(id, touched);
}

void AccountState::keep_unread(const BadRow& membership, Touched& touched) {
    if (unread_memberships_.empty()) note_all_everyones(touched);
    if (membership.id)
        unread_memberships_.insert(*membership.id);
    else
        has_nameless_membership_ = true;
}

void AccountState::forget_unread(const Uuid& membership_id, Touched& touched) {
    if (!unread_memberships_.contains(membership_id)) return;
    if (unread_memberships_.size() == 1) note_all_everyones(touched);
    unread_memberships_.erase(membership_id);
}

void AccountState::tell_malformed(std::string_view table, const Uuid& id, std::string reason,
                                  const Json& content, Touched& touched) {
    auto& issues = touched.out->issues;
    const std::size_t hash = std::hash<Json>()(content);
    const auto [told, is_new] = told_malformed_.try_emplace({table, id}, hash);
    if (!is_new && told->second == hash) return;
    told->second = hash;
    if (issues.size() < Affected::kMaxIssues)
        issues.push_back({std::string(table), id.to_text(), std::move(reason)});
    else
        told_malformed_.erase(told);
}

template <class Row>
void AccountState::forget_malformed(const Uuid& id) {
    if constexpr (std::is_same_v<Row, Policy>)
        told_malformed_.erase({portal::Policies::kTable, id});
    else if constexpr (std::is_same_v<Row, portal::Resources>)
        told_malformed_.erase({portal::Resources::kTable, id});
}

void AccountState::judge_content(const Policy& policy, Touched& touched) {
    const Uuid& id = policy.row.id;
    const std::size_t which = policy.conditions.malformed();
    if (which == 0) return forget_malformed<Policy>(id);
    Json content = Json::array();
    for (const auto& condition : policy.row.conditions)
        content.push_back(condition.value_or(Json()));
    tell_malformed(portal::Policies::kTable, id,
                   "condition " + std::to_string(which) + " cannot be understood", content,
                   touched);
}

void AccountState::judge_content(const portal::Resources& resource, Touched& touched) {
    const std::string_view column = malformed_column(resource);
    if (column.empty()) return forget_malformed<portal::Resources>(resource.id);
    tell_malformed(portal::Resources::kTable, resource.id,
                   "column " + std::string(column) + " cannot be understood",
                   {portal::to_text(resource.type), resource.address.value_or(""), resource.filters,
                    resource.ip_stack.has_value()},
                   touched);
}

template <class Row>
void AccountState::put(const Row& row, Touched& touched) {
    if constexpr (std::is_same_v<Row, portal::Accounts>) {
        // Another account's row can only be here by mistake of the stream.
        if (row.id != account_id_) return;
        if (!account_ || differs(*account_, row)) touched.account = true;
        account_ = row;
        auto ignored = ignored_settings(row);
        if (ignored != ignored_settings_) {
            ignored_settings_ = std::move(ignored);
            tells_ignored_ = true;
        }
    } else if constexpr (std::is_same_v<Row, portal::ResourceConnections>) {
        connect(row.resource_id, row.site_id, true, touched);
    } else if constexpr (std::is_same_v<Row, portal::Policies>) {
        put(Policy{row, Conditions::parse(row.conditions)}, touched);
    } else {
        const Uuid& id = [&]() -> const Uuid& {
            if constexpr (std::is_same_v<Row, Policy>)
                return row.row.id;
            else
                return row.id;
        }();
        if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>)
            forget_unread(id, touched);
        if constexpr (std::is_same_v<Row, Policy> || std::is_same_v<Row, portal::Resources>)
            judge_content(row, touched);
        auto& rows = table<Row>();
        const auto found = rows.find(id);
        if (found == rows.end()) {
            touch(row, touched);
            link(row, true);
            if constexpr (std::is_same_v<Row, portal::Flows>)
                touched.out->gateways[row.gateway_id].written_flows.push_back(row.id);
            rows.emplace(id, row);
            return;
        }
        if (differs(found->second, row)) {
            touch(found->second, touched);
            touch(row, touched);
        }
        if constexpr (std::is_same_v<Row, portal::Clients>)
            if (has_moved(found->second, row)) touched.moved_clients.insert(id);
        link(found->second, false);
        link(row, true);
        found->second = row;
    }
}

template <class Row>
void AccountState::drop_id(const Uuid& id, Touched& touched) {
    if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>) forget_unread(id, touched);
    auto& rows = table<Row>();
    const auto found = rows.find(id);
    if (found == rows.end()) return;
    forget_malformed<Row>(id);
    touch(found->second, touched);
    link(found->second, false);
    if constexpr (std::is_same_v<Row, portal::Flows>)
        touched.out->gateways[found->second.gateway_id].deleted_flows.insert(id);
    rows.erase(found);
}

template <class Row>
void AccountState::drop(const Row& row, Touched& touched) {
    if constexpr (std::is_same_v<Row, portal::Accounts>) {
        if (row.id != account_id_) return;
        if (account_) touched.account = true;
        account_.reset();
    } else if constexpr (std::is_same_v<Row, portal::ResourceConnections>) {
        connect(row.resource_id, row.site_id, false, touched);
    } else if constexpr (std::is_same_v<Row, portal::Policies>) {
        drop_id<Policy>(row.id, touched);
    } else if constexpr (std::is_same_v<Row, portal::Flows>) {
        // A gateway can hold a flow whose row this state has never seen.
        if (!flows_.contains(row.id))
            touched.out->gateways[row.gateway_id].deleted_flows.insert(row.id);
        drop_id<Row>(row.id, touched);
    } else {
        drop_id<Row>(row.id, touched);
    }
}

void AccountState::connect(const Uuid& resource_id, const Uuid& site_id, bool there,
                           Touched& touched) {
    if (connected(resource_id, site_id) == there) return;
    touched.resources.insert(resource_id);
    if (there) {
        sites_of_resource_.add(resource_id, site_id);
        resources_of_site_.add(site_id, resource_id);
    } else {
        sites_of_resource_.remove(resource_id, site_id);
        resources_of_site_.remove(site_id, resource_id);
    }
}

bool AccountState::knows_shape(const RowChange& change) {
    if (!change.shape) return true;
    KnownTable& known = known_[change.shape->table];
    if (known.shape != change.shape) {
        const bool is_same = known.shape && *known.shape == *change.shape;
        // Of rows that were left out it is not known what they say now.
        if (known.shape && !is_same &&
            (known.is_unreadable || !known.shape->holds_in(*change.shape)))
            return false;
        known.shape = change.shape;
        if (!is_same) known.is_unreadable = false;
    }
    if (change.bad && change.bad->of_schema) known.is_unreadable = true;
    return true;
}

void AccountState::take(const RowChange& change, Touched& touched) {
    const auto poison = [&](std::string reason) {
        touched.poisoned = true;
        touched.reason = std::move(reason);
    };
    if (!change.voided_by.empty()) return poison(change.voided_by);
    if (!knows_shape(change)) return poison(other_columns(*change.shape));
    if (change.bad) {
        take_bad(*change.bad, touched);
        return;
    }
    std::visit(
        [&](const auto& before) {
            using Row = std::decay_t<decltype(before)>;
            if constexpr (!std::is_same_v<Row, std::monostate>) {
                const Row* after = std::get_if<Row>(&change.after);
                bool same_key = false;
                if constexpr (std::is_same_v<Row, portal::ResourceConnections>)
                    same_key = after != nullptr && after->resource_id == before.resource_id &&
                               after->site_id == before.site_id;
                else
                    same_key = after != nullptr && after->id == before.id;
                if (!same_key) drop(before, touched);
            }
        },
        change.before);
    std::visit(
        [&](const auto& after) {
            if constexpr (!std::is_same_v<std::decay_t<decltype(after)>, std::monostate>) {
                put(after, touched);
            }
        },
        change.after);
}

void AccountState::take_bad(const BadRow& bad, Touched& touched) {
    add_issue(touched.out->bad_rows, touched.out->issues, bad);
    const auto poison = [&] {
        touched.poisoned = true;
        touched.reason = "a change of " + bad.table + " cannot be read: " + bad.reason;
    };
    if (bad.table == "resource_connections") {
        if (!bad.id || !bad.site) return poison();
        return connect(*bad.id, *bad.site, false, touched);
    }
    if (!bad.id) return poison();
    const Uuid& id = *bad.id;
    if (bad.table == "accounts" && id == account_id_) {
        touched.account = true;
        account_.reset();
    }
    if (bad.table == "actors") drop_id<portal::Actors>(id, touched);
    if (bad.table == "actor_groups") drop_id<portal::ActorGroups>(id, touched);
    if (bad.table == portal::ActorGroupMemberships::kTable) {
        drop_id<portal::ActorGroupMemberships>(id, touched);
        if (!bad.is_gone) keep_unread(bad, touched);
    }
    if (bad.table == "auth_providers") drop_id<portal::AuthProviders>(id, touched);
    if (bad.table == "auth_identities") drop_id<portal::AuthIdentities>(id, touched);
    if (bad.table == "sites") drop_id<portal::Sites>(id, touched);
    if (bad.table == "tokens") drop_id<portal::Tokens>(id, touched);
    if (bad.table == "clients") drop_id<portal::Clients>(id, touched);
    if (bad.table == "gateways") drop_id<portal::Gateways>(id, touched);
    if (bad.table == "resources") drop_id<portal::Resources>(id, touched);
    if (bad.table == "policies") drop_id<Policy>(id, touched);
    if (bad.table == "flows") drop_id<portal::Flows>(id, touched);
}

void AccountState::clear() {
    account_.reset();
    actors_.clear();
    groups_.clear();
    memberships_.clear();
    providers_.clear();
    identities_.clear();
    sites_.clear();
    tokens_.clear();
    clients_.clear();
    gateways_.clear();
    resources_.clear();
    policies_.clear();
    flows_.clear();
    membership_of_.clear();
    managed_groups_.clear();
    unread_memberships_.clear();
    has_nameless_membership_ = false;
    for (Index* index :
         {&groups_of_actor_, &actors_of_group_, &policies_of_group_, &policies_of_resource_,
          &sites_of_resource_, &resources_of_site_, &gateways_of_site_, &clients_of_actor_,
          &identities_of_provider_, &flows_of_client_, &flows_of_gateway_})
        index->clear();
    for (auto& views : views_) views.clear();
    known_.clear();
    bad_rows_ = 0;
    issues_.clear();
}

void AccountState::begin_snapshot() {
    clear();
    status_ = Status::Loading;
    reason_.clear();
}

void AccountState::snapshot_row(RowChange row) {
    if (status_ != Status::Loading) return;
    if (!row.voided_by.empty()) return quarantine(std::move(row.voided_by));
    if (!knows_shape(row)) return quarantine(other_columns(*row.shape));
    Affected nobody;
    Touched touched;
    touched.out = &nobody;
    if (row.bad) {
        add_issue(bad_rows_, issues_, *row.bad);
        if (row.bad->table == portal::ActorGroupMemberships::kTable) keep_unread(*row.bad, touched);
        return;
    }
    take(row, touched);
    for (Issue& issue : nobody.issues)
        if (issues_.size() < Affected::kMaxIssues) issues_.push_back(std::move(issue));
}

void AccountState::end_rows(const Position& position) {
    if (status_ != Status::Loading) return;
    status_ = Status::CatchingUp;
    position_ = position;
}

Affected AccountState::end_snapshot(const Position& position) {
    end_rows(position);
    return go_live();
}

bool AccountState::follow(const wire::History& history) {
    if (history == position_.history) return false;
    position_.history = history;
    return live();
}

Affected AccountState::go_live() {
    Affected out;
    if (status_ != Status::CatchingUp) return out;
    status_ = Status::Live;
    out.bad_rows = bad_rows_;
    out.issues = std::move(issues_);
    if (std::exchange(tells_ignored_, false)) out.ignored_settings = ignored_settings_;
    issues_.clear();
    std::erase_if(told_malformed_, [&](const auto& told) {
        const auto& [table, id] = told.first;
        return table == portal::Policies::kTable ? !policies_.contains(id)
                                                 : !resources_.contains(id);
    });
    for (const auto& [id, count] : attached_clients_) out.clients.insert(id);
    for (const auto& [id, count] : attached_gateways_) out.gateways[id].itself = true;
    return out;
}

Affected AccountState::apply(std::uint64_t commit_lsn, const std::vector<RowChange>& changes) {
    begin_transaction(commit_lsn);
    for (const RowChange& one : changes) change(one);
    return end_transaction();
}

void AccountState::begin_transaction(std::uint64_t commit_lsn) {
    commit_lsn_ = commit_lsn;
    affected_ = {};
    touched_ = {};
    touched_.out = &affected_;
    affected_.ignored =
        (status_ == Status::Live || status_ == Status::CatchingUp) && commit_lsn <= position_.lsn;
}

void AccountState::change(const RowChange& change) {
    if (status_ != Status::Live && status_ != Status::CatchingUp) return;
    if (affected_.ignored) return;
    take(change, touched_);
    if (touched_.poisoned) quarantine_for(std::move(touched_.reason), affected_);
}

Affected AccountState::end_transaction() {
    const Touched touched = std::exchange(touched_, {});
    Affected out = std::exchange(affected_, {});
    if (status_ != Status::Live && status_ != Status::CatchingUp)
        return out.quarantined ? out : Affected{};
    if (out.ignored) return out;
    position_.lsn = commit_lsn_;
    for (const Ids* ids : {&touched.resources, &touched.shown_resources})
        for (const Uuid& id : *ids)
            for (auto& views : views_) views.erase(id);
    if (touched.account)
        for (auto& views : views_) views.clear();
    if (status_ == Status::CatchingUp) {
        // go_live() concerns all.
        out.gateways.clear();
        return out;
    }
    if (std::exchange(tells_ignored_, false)) out.ignored_settings = ignored_settings_;
    resolve(touched, out);
    // Flows of gateways that are connected elsewhere.
    std::erase_if(out.gateways,
                  [this](const auto& entry) { return !attached_gateways_.contains(entry.first); });
    return out;
}

void AccountState::quarantine(std::string reason) {
    status_ = Status::Quarantined;
    reason_ = "quarantined: take a new snapshot: " + std::move(reason);
}

void AccountState::quarantine_for(std::string reason, Affected& affected) {
    quarantine(std::move(reason));
    affected.clients.clear();
    affected.gateways.clear();
    affected.quarantined = true;
}

const Uuid* AccountState::membership(const Uuid& actor_id, const Uuid& group_id) const {
    const auto found = membership_of_.find(std::pair(actor_id, group_id));
    if (found != membership_of_.end() && groups_.contains(group_id)) return &found->second;
    return is_everyones(group_id) && actors_.contains(actor_id) ? &kEveryone : nullptr;
}

bool AccountState::is_everyones(const Uuid& group_id) const {
    return managed_groups_.contains(group_id) && actors_of_group_.of(group_id).empty() &&
           unread_memberships_.empty() && !has_nameless_membership_;
}

bool AccountState::has_feature(std::string_view name) const {
    if (!account_ || !account_->features.is_object()) return false;
    const auto found = account_->features.find(name);
    return found == account_->features.end() || *found == Json(true);
}

bool AccountState::offers(const portal::Resources& resource) const {
    if (resource.type == portal::ResourceType::Internet && !has_feature("internet_resource"))
        return false;
    return resource.filters == Json::array() || has_feature("traffic_filters");
}

bool AccountState::in_force(const Policy& policy) const {
    if (policy.row.disabled_at) return false;
    return policy.row.conditions.empty() || has_feature("policy_conditions");
}

std::shared_ptr<const ResourceView> AccountState::view_of(const Uuid& resource_id,
                                                          const Version& version) const {
    const bool double_star = knows_double_star(version);
    const bool internet = knows_internet(version);
    auto& views =
        views_.at(static_cast<std::size_t>(double_star) + static_cast<std::size_t>(internet));
    const auto kept = views.find(resource_id);
    if (kept != views.end()) return kept->second;
    std::shared_ptr<const ResourceView> out;
    if (const auto* row = resource(resource_id); row != nullptr && offers(*row)) {
        std::vector<SiteName> names;
        for (const Uuid& id : sites_of_resource(resource_id))
            if (const auto* found = site(id)) names.push_back({id, found->name});
        std::sort(names.begin(), names.end(),
                  [](const SiteName& a, const SiteName& b) { return a.id < b.id; });
        if (auto rendered = render_for_client(*row, names, double_star, internet))
            out = std::make_shared<ResourceView>(std::move(*rendered));
    }
    views.emplace(resource_id, out);
    return out;
}

}  // namespace fatwal::channel
