// What each table is to the account: how a row stands in the indexes, which of its columns decide,
// and whom a change of them concerns.
//
// Each row type has Traits with
//     link(indexes, row, there)     enters the row into the indexes, or takes it out
//     differs(before, after)        whether an update concerns anybody; what is left out (names
//                                   that no device is shown, last_seen_*) wakes no channel
//     touch(rows, row, touched)     whom its coming, its going or other content concerns; called
//                                   before link(), for the row as it was and as it is
//     came / went / changed         what else a channel learns of it, whatever differs() says
//     malformed(row)                why a row that is there grants nothing, for the log
// None of them has a default. What a table does not need it names as its base: Unindexed,
// Unannounced, Unjudged, DiffersByAll. So a new table that forgets one does not compile.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "portal/access/resource_view.h"
#include "portal/access/rows.h"

namespace fatwal::access {

struct Unindexed {
    template <class Stored>
    static void link(Indexes& indexes, const Stored& row, bool there) {
        (void)indexes, (void)row, (void)there;
    }
};
struct Unannounced {
    template <class Stored>
    static void came(const Stored& row, Touched& touched) {
        (void)row, (void)touched;
    }
    // The row was there, or this account has never seen it.
    template <class Stored>
    static void went(const Stored& row, Touched& touched) {
        (void)row, (void)touched;
    }
    template <class Stored>
    static void changed(const Stored& before, const Stored& after, Touched& touched) {
        (void)before, (void)after, (void)touched;
    }
};
struct Unjudged {
    template <class Stored>
    static std::optional<Malformed> malformed(const Stored& row) {
        (void)row;
        return std::nullopt;
    }
};
struct DiffersByAll {
    template <class Stored>
    static bool differs(const Stored& before, const Stored& after) {
        return !(before == after);
    }
};

template <class Row>
struct Traits;

template <>
struct Traits<portal::Accounts> : Unindexed, Unannounced, Unjudged {
    using Row = portal::Accounts;
    static bool differs(const Row& a, const Row& b) {
        return a.slug != b.slug || a.config != b.config || a.features != b.features ||
               a.disabled_at != b.disabled_at;
    }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows, (void)row;
        touched.account = true;
    }
};

template <>
struct Traits<portal::Actors> : Unindexed, Unannounced, Unjudged {
    using Row = portal::Actors;
    static bool differs(const Row& a, const Row& b) { return a.disabled_at != b.disabled_at; }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows;
        touched.actors.insert(row.id);
    }
};

template <>
struct Traits<portal::ActorGroups> : Unannounced, Unjudged {
    using Row = portal::ActorGroups;
    static void link(Indexes& indexes, const Row& row, bool there) {
        if (there && row.type == portal::GroupType::Managed)
            indexes.managed_groups.insert(row.id);
        else
            indexes.managed_groups.erase(row.id);
    }
    static bool differs(const Row& a, const Row& b) { return a.type != b.type; }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        touched.groups.insert(row.id);
        rows.note_everyones(row.id, touched);
    }
};

template <>
struct Traits<portal::ActorGroupMemberships> : DiffersByAll, Unannounced, Unjudged {
    using Row = portal::ActorGroupMemberships;
    static void link(Indexes& indexes, const Row& row, bool there) {
        indexes.link_membership(row, there);
    }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        touched.actors.insert(row.actor_id);
        if (rows.indexes().managed_groups.contains(row.group_id))
            rows.note_everyones(row.group_id, touched);
    }
};

template <>
struct Traits<portal::AuthProviders> : Unindexed, Unannounced, Unjudged {
    using Row = portal::AuthProviders;
    static bool differs(const Row& a, const Row& b) { return a.disabled_at != b.disabled_at; }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        for (const Uuid& id : rows.indexes().identities_of_provider.of(row.id))
            if (const auto* identity = rows.identity(id)) touched.actors.insert(identity->actor_id);
    }
};

template <>
struct Traits<portal::AuthIdentities> : Unannounced, Unjudged {
    using Row = portal::AuthIdentities;
    static void link(Indexes& indexes, const Row& row, bool there) {
        indexes.identities_of_provider.set(row.provider_id, row.id, there);
    }
    static bool differs(const Row& a, const Row& b) {
        return a.actor_id != b.actor_id || a.provider_id != b.provider_id;
    }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows;
        touched.actors.insert(row.actor_id);
    }
};

template <>
struct Traits<portal::Sites> : Unindexed, Unannounced, Unjudged {
    using Row = portal::Sites;
    static bool differs(const Row& a, const Row& b) { return a.name != b.name; }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        for (const Uuid& id : rows.indexes().resources_of_site.of(row.id))
            touched.shown_resources.insert(id);
    }
};

template <>
struct Traits<portal::Tokens> : Unindexed, Unannounced, Unjudged {
    using Row = portal::Tokens;
    static bool differs(const Row& a, const Row& b) {
        return a.type != b.type || a.actor_id != b.actor_id || a.identity_id != b.identity_id ||
               a.site_id != b.site_id || a.expires_at != b.expires_at || a.device_id != b.device_id;
    }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows;
        touched.tokens.insert(row.id);
        if (row.actor_id) touched.actors.insert(*row.actor_id);
    }
};

template <>
struct Traits<portal::Clients> : Unannounced, Unjudged {
    using Row = portal::Clients;
    static void link(Indexes& indexes, const Row& row, bool there) {
        indexes.clients_of_actor.set(row.actor_id, row.id, there);
    }
    static bool differs(const Row& a, const Row& b) {
        return a.actor_id != b.actor_id || a.identity_id != b.identity_id ||
               a.public_key != b.public_key || a.ipv4 != b.ipv4 || a.ipv6 != b.ipv6 ||
               a.verified_at.has_value() != b.verified_at.has_value();
    }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows;
        touched.clients.insert(row.id);
    }
    // It is connected from elsewhere. Its own channel knows that by its connection; gateways know
    // it by the row.
    static void changed(const Row& a, const Row& b, Touched& touched) {
        if (a.last_seen_remote_ip != b.last_seen_remote_ip ||
            a.last_seen_remote_ip_location_region != b.last_seen_remote_ip_location_region)
            touched.moved_clients.insert(b.id);
    }
};

template <>
struct Traits<portal::Gateways> : Unannounced, Unjudged {
    using Row = portal::Gateways;
    static void link(Indexes& indexes, const Row& row, bool there) {
        indexes.gateways_of_site.set(row.site_id, row.id, there);
    }
    static bool differs(const Row& a, const Row& b) {
        return a.site_id != b.site_id || a.public_key != b.public_key || a.ipv4 != b.ipv4 ||
               a.ipv6 != b.ipv6;
    }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows;
        touched.gateways.insert(row.id);
    }
};

template <>
struct Traits<portal::Resources> : Unindexed, DiffersByAll, Unannounced {
    using Row = portal::Resources;
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows;
        touched.resources.insert(row.id);
    }
    static std::optional<Malformed> malformed(const Row& row) {
        const std::string_view column = malformed_column(row);
        if (column.empty()) return std::nullopt;
        return Malformed{"column " + std::string(column) + " cannot be understood",
                         {portal::to_text(row.type), row.address.value_or(""), row.filters,
                          row.ip_stack.has_value()}};
    }
};

template <>
struct Traits<portal::ResourceConnections> : Unannounced, Unjudged {
    using Row = portal::ResourceConnections;
    static void link(Indexes& indexes, const Row& row, bool there) {
        indexes.sites_of_resource.set(row.resource_id, row.site_id, there);
        indexes.resources_of_site.set(row.site_id, row.resource_id, there);
    }
    // It has no columns beside its key.
    static bool differs(const Row& a, const Row& b) {
        (void)a, (void)b;
        return false;
    }
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows;
        touched.resources.insert(row.resource_id);
    }
};

template <>
struct Traits<portal::Policies> : Unannounced {
    static void link(Indexes& indexes, const Policy& policy, bool there) {
        const portal::Policies& row = policy.row;
        if (row.actor_group_id) indexes.policies_of_group.set(*row.actor_group_id, row.id, there);
        indexes.policies_of_resource.set(row.resource_id, row.id, there);
    }
    static bool differs(const Policy& a, const Policy& b) {
        return a.row.actor_group_id != b.row.actor_group_id ||
               a.row.resource_id != b.row.resource_id || a.row.conditions != b.row.conditions ||
               a.row.disabled_at.has_value() != b.row.disabled_at.has_value();
    }
    static void touch(const Rows& rows, const Policy& policy, Touched& touched) {
        (void)rows;
        if (policy.row.actor_group_id) touched.groups.insert(*policy.row.actor_group_id);
        touched.resources.insert(policy.row.resource_id);
    }
    static std::optional<Malformed> malformed(const Policy& policy) {
        const std::size_t which = policy.conditions.malformed();
        if (which == 0) return std::nullopt;
        Json content = Json::array();
        for (const auto& condition : policy.row.conditions)
            content.push_back(condition.value_or(Json()));
        return Malformed{"condition " + std::to_string(which) + " cannot be understood",
                         std::move(content)};
    }
};

template <>
struct Traits<portal::Flows> : DiffersByAll, Unannounced, Unjudged {
    using Row = portal::Flows;
    static void link(Indexes& indexes, const Row& row, bool there) {
        indexes.flows_of_client.set(row.client_id, row.id, there);
        indexes.flows_of_gateway.set(row.gateway_id, row.id, there);
    }
    // Its gateway alone is concerned, and learns which of its flows it is.
    static void touch(const Rows& rows, const Row& row, Touched& touched) {
        (void)rows, (void)row, (void)touched;
    }
    static void came(const Row& row, Touched& touched) {
        touched.out->gateways[row.gateway_id].written_flows.push_back(row.id);
    }
    // Also of a row that this account has never seen: a gateway can hold such a flow.
    static void went(const Row& row, Touched& touched) {
        touched.out->gateways[row.gateway_id].deleted_flows.insert(row.id);
    }
};

}  // namespace fatwal::access
