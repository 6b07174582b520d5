// The rows of one account: a table for each type of row, and the indexes by which they are found.
//
// All that differs from table to table stands in the traits of its row
// (portal/access/table_traits.h) and is done here once, in this order, so that `touch` finds the
// indexes as they were:
//
//     change ─► read? ─► key ─► malformed? ─► touch (whom it concerns) ─► link (indexes) ─► table
//
// Rule of threads: one thread at a time, as all of an account (basics.h).
//
// Invariants:
// - The indexes are what the rows make of them (indexes_match(); each debug build checks it after
//   each transaction and snapshot).
// - Whatever is missing grants nothing: a row may come before its parents, twice, or never.
// - A row that cannot be read is not there. A membership that cannot be read is not there either,
//   but counts: while there is one, no managed group is everyone's, as it may be of any group.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "portal/access/index.h"
#include "portal/access/issue_log.h"
#include "portal/access/row_change.h"
#include "portal/access/row_types.h"
#include "portal/access/touched.h"

namespace fatwal::access {

// In place of a membership's id where the group is everyone's.
inline constexpr Uuid kEveryone{};
// The column flows.membership_id, which is null then.
[[nodiscard]] inline std::optional<Uuid> membership_column(const Uuid& membership_id) {
    return membership_id == kEveryone ? std::nullopt : std::optional(membership_id);
}

// From a row to those that name it.
struct Indexes {
    // (actor, group) -> membership. The largest of all, and asked with each policy that is read:
    // flat, for one miss of the cache.
    absl::flat_hash_map<std::pair<Uuid, Uuid>, Uuid, HashOfTwo> membership_of;
    // Of an actor that is in a group several times: all but the one above. The example schema
    // allows none.
    std::unordered_map<std::pair<Uuid, Uuid>, std::set<Uuid>, HashOfTwo> other_memberships;
    // Both ways, as either can be asked from.
    Index groups_of_actor;
    Index actors_of_group;
    Ids managed_groups;
    Index policies_of_group;
    Index policies_of_resource;
    Index sites_of_resource;
    Index resources_of_site;
    Index gateways_of_site;
    Index clients_of_actor;
    Index identities_of_provider;
    Index flows_of_client;
    Index flows_of_gateway;

    // Enters a membership, or takes it out.
    void link_membership(const portal::ActorGroupMemberships& row, bool there);
    friend bool operator==(const Indexes&, const Indexes&) = default;
};

class Rows {
public:
    Rows() = default;
    explicit Rows(const Uuid& account_id) : account_id_(account_id) {}

    void clear();
    // A change of rows that were read. By their key and what is known of them, so that a change may
    // come twice.
    void apply(const RowChange& change, Touched& touched);
    // A change that cannot be read takes its row away, so that nothing is granted by it. When not
    // even its key can be read, `touched.poisoned_by` says it: the account is quarantined.
    void apply_bad(const BadRow& bad, Touched& touched);
    // A row of a snapshot that cannot be read.
    void leave_out(const BadRow& bad, Touched& touched);
    [[nodiscard]] IssueLog& issues() { return issues_; }
    void forget_issues_of_missing();
    // For tests and debug builds: it makes all indexes again.
    [[nodiscard]] bool indexes_match() const;

    [[nodiscard]] const Uuid& account_id() const { return account_id_; }

    // The rows, null when there is none. Valid until the next change.
    [[nodiscard]] const portal::Accounts* account() const {
        return find<portal::Accounts>(account_id_);
    }
    [[nodiscard]] const portal::Actors* actor(const Uuid& id) const {
        return find<portal::Actors>(id);
    }
    [[nodiscard]] const portal::ActorGroups* group(const Uuid& id) const {
        return find<portal::ActorGroups>(id);
    }
    [[nodiscard]] const portal::AuthProviders* provider(const Uuid& id) const {
        return find<portal::AuthProviders>(id);
    }
    [[nodiscard]] const portal::AuthIdentities* identity(const Uuid& id) const {
        return find<portal::AuthIdentities>(id);
    }
    [[nodiscard]] const portal::Sites* site(const Uuid& id) const {
        return find<portal::Sites>(id);
    }
    [[nodiscard]] const portal::Tokens* token(const Uuid& id) const {
        return find<portal::Tokens>(id);
    }
    [[nodiscard]] const portal::Clients* client(const Uuid& id) const {
        return find<portal::Clients>(id);
    }
    [[nodiscard]] const portal::Gateways* gateway(const Uuid& id) const {
        return find<portal::Gateways>(id);
    }
    [[nodiscard]] const portal::Resources* resource(const Uuid& id) const {
        return find<portal::Resources>(id);
    }
    [[nodiscard]] const Policy* policy(const Uuid& id) const { return find<portal::Policies>(id); }
    [[nodiscard]] const portal::Flows* flow(const Uuid& id) const {
        return find<portal::Flows>(id);
    }

    // Calls `visit(row)` for each row of the type, in no order.
    template <class Row, class Visit>
    void for_each(Visit visit) const {
        for (const auto& [key, row] : table<Row>()) visit(row);
    }

    // The membership of an actor in a group that exists, kEveryone in one that is everyone's; null:
    // none.
    [[nodiscard]] const Uuid* membership(const Uuid& actor_id, const Uuid& group_id) const;
    // A managed group without memberships has every actor of the account in it. None has while
    // there is a membership that cannot be read, as that may be of any group.
    [[nodiscard]] bool is_everyones(const Uuid& group_id) const;
    // Calls `visit(group_id)` for each group that the actor is in.
    template <class Visit>
    void for_each_group_of(const Uuid& actor_id, Visit visit) const {
        for (const Uuid& id : indexes_.groups_of_actor.of(actor_id))
            if (membership(actor_id, id) != nullptr) visit(id);
        for (const Uuid& id : indexes_.managed_groups)
            if (is_everyones(id) && actor(actor_id) != nullptr) visit(id);
    }
    [[nodiscard]] const Indexes& indexes() const { return indexes_; }
    [[nodiscard]] const Ids& policies_of_group(const Uuid& group_id) const {
        return indexes_.policies_of_group.of(group_id);
    }
    [[nodiscard]] const Ids& policies_of_resource(const Uuid& resource_id) const {
        return indexes_.policies_of_resource.of(resource_id);
    }
    [[nodiscard]] const Ids& sites_of_resource(const Uuid& resource_id) const {
        return indexes_.sites_of_resource.of(resource_id);
    }
    [[nodiscard]] const Ids& gateways_of_site(const Uuid& site_id) const {
        return indexes_.gateways_of_site.of(site_id);
    }
    [[nodiscard]] const Ids& flows_of_client(const Uuid& client_id) const {
        return indexes_.flows_of_client.of(client_id);
    }
    [[nodiscard]] const Ids& flows_of_gateway(const Uuid& gateway_id) const {
        return indexes_.flows_of_gateway.of(gateway_id);
    }
    [[nodiscard]] bool connected(const Uuid& resource_id, const Uuid& site_id) const {
        return sites_of_resource(resource_id).contains(site_id);
    }

    // What the account's features let be used. A feature that is not named is there; one that is
    // anything but true is not. What a policy demands or a resource filters is never left out for
    // that: the policy grants nothing then, and the resource is nobody's.
    [[nodiscard]] bool has_feature(std::string_view name) const;
    [[nodiscard]] bool offers(const portal::Resources& resource) const;
    [[nodiscard]] bool in_force(const Policy& policy) const;

    // Before anything changes by which the group may be everyone's or not.
    void note_everyones(const Uuid& group_id, Touched& touched) const;

private:
    template <class Row>
    using Key = typename Storage<Row>::Key;
    template <class Row>
    using Stored = typename Storage<Row>::Stored;
    template <class Row>
    using Table = std::unordered_map<
        Key<Row>, Stored<Row>,
        std::conditional_t<std::is_same_v<Key<Row>, Uuid>, std::hash<Uuid>, HashOfTwo>>;

    template <class Row>
    [[nodiscard]] Table<Row>& table() {
        return std::get<Table<Row>>(tables_);
    }
    template <class Row>
    [[nodiscard]] const Table<Row>& table() const {
        return std::get<Table<Row>>(tables_);
    }
    template <class Row>
    [[nodiscard]] const Stored<Row>* find(const Key<Row>& key) const {
        const auto& rows = table<Row>();
        const auto found = rows.find(key);
        return found == rows.end() ? nullptr : &found->second;
    }

    // A row is there with new content, or is gone.
    template <class Row>
    void put(const Row& row, Touched& touched);
    template <class Row>
    void drop(const Row& row, Touched& touched);
    template <class Row>
    void drop_key(const Key<Row>& key, Touched& touched);
    // Another account's row can only be here by mistake of the stream.
    template <class Row>
    [[nodiscard]] bool is_ours(const Key<Row>& key) const;

    // What is known of a membership that cannot be read: that there is one.
    void keep_unread(const BadRow& membership, Touched& touched);
    // It was read, or is gone.
    void forget_unread(const Uuid& membership_id, Touched& touched);
    void note_all_everyones(Touched& touched) const;

    Uuid account_id_;
    DomainRows::Tuple<Table> tables_;
    Indexes indexes_;
    IssueLog issues_;
    Ids unread_memberships_;                // that are there, as far as their ids can be read
    bool has_nameless_membership_ = false;  // of the snapshot: not even its id can be read
};

}  // namespace fatwal::access
