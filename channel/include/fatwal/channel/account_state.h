// What a process knows of one account: the rows of its stream, indexed, shared by all its channels.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fatwal/channel/affected.h"
#include "fatwal/channel/basics.h"
#include "fatwal/channel/conditions.h"
#include "fatwal/channel/index.h"
#include "fatwal/channel/position.h"
#include "fatwal/channel/resource_view.h"
#include "fatwal/channel/row_change.h"
#include "fatwal/channel/version.h"

namespace fatwal::channel {

// A row of policies with its conditions parsed.
struct Policy {
    portal::Policies row;
    Conditions conditions;
};

// In place of a membership's id where the group is everyone's.
inline constexpr Uuid kEveryone{};
// The column flows.membership_id, which is null then.
[[nodiscard]] inline std::optional<Uuid> membership_column(const Uuid& membership_id) {
    return membership_id == kEveryone ? std::nullopt : std::optional(membership_id);
}

// Whatever is missing grants nothing: a row may come before its parents, twice, or never.
class AccountState {
public:
    enum class Status : std::uint8_t {
        Empty,        // no snapshot yet
        Loading,      // between begin_snapshot() and end_rows()
        CatchingUp,   // the rows are there, but may be of the past: it takes transactions, and
                      // channels wait until go_live()
        Live,         // answers; the only status in which channels compute
        Quarantined,  // not understood: a new snapshot is to be taken; channels show what they last
                      // showed and grant nothing new
    };

    AccountState() = default;
    explicit AccountState(const Uuid& account_id) : account_id_(account_id) {}
    AccountState(const AccountState&) = delete;
    AccountState& operator=(const AccountState&) = delete;

    [[nodiscard]] const Uuid& account_id() const { return account_id_; }
    [[nodiscard]] Status status() const { return status_; }
    [[nodiscard]] bool live() const { return status_ == Status::Live; }
    // Why it is quarantined: "quarantined: take a new snapshot: ...".
    [[nodiscard]] const std::string& reason() const { return reason_; }
    // The commit LSN of the last transaction that it holds.
    [[nodiscard]] const Position& position() const { return position_; }

    // Everything known is void; the attached channels stay attached.
    void begin_snapshot();
    // In any order. Rows that cannot be understood are left out and told by go_live(). One that
    // voids the snapshot quarantines the state, which then stays so through go_live().
    void snapshot_row(RowChange row);
    // `position`: every transaction that commits at or before it is held (of a Cursor: next - 1).
    void end_rows(const Position& position);
    // It has taken all that was committed when the snapshot was asked for, and all that was ever
    // shown. Does nothing unless it was catching up. Then on_snapshot() of every channel.
    Affected go_live();
    // Both, of rows that are known to be of the present.
    Affected end_snapshot(const Position& position);
    // The stream continues in this history. True when that is another one than before, of a live
    // state: then on_snapshot() of every channel, as what another state decided in the old history
    // is to be judged by this one.
    bool follow(const wire::History& history);

    // A whole transaction, its changes in order. Neither live nor catching up, it does nothing;
    // catching up, nobody is affected. Then on_transaction()
    // of the channels in the result. A change that cannot be understood takes its row away, so that
    // nothing is granted by it; when not even its key can be read, or the change voids what is
    // known (RowChange::voided_by), the state is quarantined.
    Affected apply(std::uint64_t commit_lsn, const std::vector<RowChange>& changes);
    // The same in parts, for a transaction that is too large for one turn: begin, then each change,
    // then end. In between the state is of no transaction: ask nothing of it.
    void begin_transaction(std::uint64_t commit_lsn);
    void change(const RowChange& change);
    Affected end_transaction();

    // From outside: the stream has lost its place, or is too far behind.
    void quarantine(std::string reason);

    // The channels call these themselves, so that changes find them.
    void attach_client(const Uuid& client_id, const Uuid& token_id);
    void detach_client(const Uuid& client_id, const Uuid& token_id);
    void attach_gateway(const Uuid& gateway_id, const Uuid& token_id);
    void detach_gateway(const Uuid& gateway_id, const Uuid& token_id);
    void hold(const Uuid& gateway_id, const Pair& pair);
    void release(const Uuid& gateway_id, const Pair& pair);

    // The rows, null when there is none. Valid until the next change.
    [[nodiscard]] const portal::Accounts* account() const {
        return account_ ? &*account_ : nullptr;
    }
    [[nodiscard]] const portal::Actors* actor(const Uuid& id) const { return find(actors_, id); }
    [[nodiscard]] const portal::AuthProviders* provider(const Uuid& id) const {
        return find(providers_, id);
    }
    [[nodiscard]] const portal::AuthIdentities* identity(const Uuid& id) const {
        return find(identities_, id);
    }
    [[nodiscard]] const portal::Sites* site(const Uuid& id) const { return find(sites_, id); }
    [[nodiscard]] const portal::Tokens* token(const Uuid& id) const { return find(tokens_, id); }
    [[nodiscard]] const portal::Clients* client(const Uuid& id) const { return find(clients_, id); }
    [[nodiscard]] const portal::Gateways* gateway(const Uuid& id) const {
        return find(gateways_, id);
    }
    [[nodiscard]] const portal::Resources* resource(const Uuid& id) const {
        return find(resources_, id);
    }
    [[nodiscard]] const Policy* policy(const Uuid& id) const { return find(policies_, id); }
    [[nodiscard]] const portal::Flows* flow(const Uuid& id) const { return find(flows_, id); }

    // The membership of an actor in a group that exists, kEveryone in one that is everyone's; null:
    // none.
    [[nodiscard]] const Uuid* membership(const Uuid& actor_id, const Uuid& group_id) const;
    // A managed group without memberships has every actor of the account in it. None has while
    // there is a membership that cannot be read, as that may be of any group.
    [[nodiscard]] bool is_everyones(const Uuid& group_id) const;
    // Calls `visit(group_id)` for each group that the actor is in.
    template <class Visit>
    void for_each_group_of(const Uuid& actor_id, Visit visit) const {
        for (const Uuid& id : groups_of_actor_.of(actor_id))
            if (membership(actor_id, id) != nullptr) visit(id);
        for (const Uuid& id : managed_groups_)
            if (is_everyones(id) && actors_.contains(actor_id)) visit(id);
    }
    [[nodiscard]] const Ids& policies_of_group(const Uuid& group_id) const {
        return policies_of_group_.of(group_id);
    }
    [[nodiscard]] const Ids& policies_of_resource(const Uuid& resource_id) const {
        return policies_of_resource_.of(resource_id);
    }
    [[nodiscard]] const Ids& sites_of_resource(const Uuid& resource_id) const {
        return sites_of_resource_.of(resource_id);
    }
    [[nodiscard]] const Ids& gateways_of_site(const Uuid& site_id) const {
        return gateways_of_site_.of(site_id);
    }
    [[nodiscard]] const Ids& flows_of_client(const Uuid& client_id) const {
        return flows_of_client_.of(client_id);
    }
    [[nodiscard]] const Ids& flows_of_gateway(const Uuid& gateway_id) const {
        return flows_of_gateway_.of(gateway_id);
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
    // A resource as a client of the version is shown it; null when it is not. The same pointer
    // until a change concerns it.
    [[nodiscard]] std::shared_ptr<const ResourceView> view_of(const Uuid& resource_id,
                                                              const Version& version) const;

private:
    // What the changes of one transaction concern, before the channels of it are known.
    struct Touched {
        Ids actors;
        Ids groups;
        // Managed groups that may be everyone's now and were not, or were: whether they were,
        // before the first of the changes.
        std::unordered_map<Uuid, bool> were_everyones;
        Ids clients;
        Ids moved_clients;
        Ids resources;        // as gateways see them too
        Ids shown_resources;  // only as clients are shown them
        Ids tokens;
        Ids gateways;
        bool account = false;
        bool poisoned = false;
        std::string reason;
        Affected* out = nullptr;
    };
    template <class Row>
    using Table = std::unordered_map<Uuid, Row>;
    struct HashOfTwo {
        std::size_t operator()(const std::pair<Uuid, Uuid>& ids) const noexcept {
            return std::hash<Uuid>()(ids.first) * 0x9E37'79B9'7F4A'7C15U ^
                   std::hash<Uuid>()(ids.second);
        }
    };
    template <class Row>
    [[nodiscard]] static const Row* find(const Table<Row>& table, const Uuid& id) {
        const auto found = table.find(id);
        return found == table.end() ? nullptr : &found->second;
    }

    void clear();
    void take(const RowChange& change, Touched& touched);
    // Whether the rows that are known of the table say by its present columns what they said when
    // they were read.
    [[nodiscard]] bool knows_shape(const RowChange& change);
    void take_bad(const BadRow& bad, Touched& touched);
    // What is known of a membership that cannot be read: that there is one.
    void keep_unread(const BadRow& membership, Touched& touched);
    // It was read, or is gone.
    void forget_unread(const Uuid& membership_id, Touched& touched);
    // Before anything changes by which the group, or all of them, may be everyone's or not.
    void note_everyones(const Uuid& group_id, Touched& touched) const;
    void note_all_everyones(Touched& touched) const;
    // A row is there with new content, or is gone. By their key and what is known of them, so that
    // a change may come twice.
    template <class Row>
    void put(const Row& row, Touched& touched);
    template <class Row>
    void drop(const Row& row, Touched& touched);
    template <class Row>
    void drop_id(const Uuid& id, Touched& touched);
    template <class Row>
    [[nodiscard]] Table<Row>& table();

    // Enters a row into the indexes or takes it out.
    template <class Row>
    void link(const Row& row, bool there);
    // What a row's coming, going or other content concerns.
    template <class Row>
    void touch(const Row& row, Touched& touched) const;
    void touch_connection(const Uuid& resource_id, Touched& touched) const;
    void connect(const Uuid& resource_id, const Uuid& site_id, bool there, Touched& touched);
    void resolve(const Touched& touched, Affected& affected) const;
    void resolve_client(const Uuid& client_id, Affected& affected) const;
    // Tells of a policy or resource that makes no sense, unless it was told with this content.
    void judge_content(const Policy& policy, Touched& touched);
    void judge_content(const portal::Resources& resource, Touched& touched);
    void tell_malformed(std::string_view table, const Uuid& id, std::string reason,
                        const Json& content, Touched& touched);
    template <class Row>
    void forget_malformed(const Uuid& id);
    void quarantine_for(std::string reason, Affected& affected);

    Uuid account_id_;
    Status status_ = Status::Empty;
    std::string reason_;
    Position position_;
    // The transaction between begin_transaction() and end_transaction().
    std::uint64_t commit_lsn_ = 0;
    Touched touched_;
    Affected affected_;
    std::size_t bad_rows_ = 0;  // of the snapshot that is being loaded
    std::vector<Issue> issues_;
    // The policies and resources that make no sense, each with a hash of the content that was told.
    // Kept over snapshots, which bring the same rows again.
    std::map<std::pair<std::string_view, Uuid>, std::size_t> told_malformed_;
    std::vector<std::string> ignored_settings_;  // of the account's row that came last
    bool tells_ignored_ = false;                 // nobody has been told of them

    // A table as the rows that were read last had it.
    struct KnownTable {
        std::shared_ptr<const TableShape> shape;
        bool is_unreadable = false;  // rows were left out, as no row of such a table can be read
    };
    std::unordered_map<std::string, KnownTable> known_;  // by name: at most the domain's tables

    std::optional<portal::Accounts> account_;
    Table<portal::Actors> actors_;
    Table<portal::ActorGroups> groups_;
    Table<portal::ActorGroupMemberships> memberships_;
    Table<portal::AuthProviders> providers_;
    Table<portal::AuthIdentities> identities_;
    Table<portal::Sites> sites_;
    Table<portal::Tokens> tokens_;
    Table<portal::Clients> clients_;
    Table<portal::Gateways> gateways_;
    Table<portal::Resources> resources_;
    Table<Policy> policies_;
    Table<portal::Flows> flows_;

    // (actor, group) -> membership. The largest of all, and asked with each policy that is read:
    // flat, for one miss of the cache.
    absl::flat_hash_map<std::pair<Uuid, Uuid>, Uuid, HashOfTwo> membership_of_;
    Ids managed_groups_;
    Ids unread_memberships_;                // that are there, as far as their ids can be read
    bool has_nameless_membership_ = false;  // of the snapshot: not even its id can be read
    // Both ways, as either can be asked from.
    Index groups_of_actor_;
    Index actors_of_group_;
    Index policies_of_group_;
    Index policies_of_resource_;
    Index sites_of_resource_;
    Index resources_of_site_;
    Index gateways_of_site_;
    Index clients_of_actor_;
    Index identities_of_provider_;
    Index flows_of_client_;
    Index flows_of_gateway_;

    // The attached channels; a count, as one session takes over from another.
    std::unordered_map<Uuid, int> attached_clients_;
    std::unordered_map<Uuid, int> attached_gateways_;
    Index attached_by_token_;
    std::unordered_map<Uuid, std::set<std::pair<Uuid, Uuid>>>
        held_by_client_;  // client -> gateway, resource
    std::unordered_map<Uuid, std::set<std::pair<Uuid, Uuid>>>
        held_of_resource_;  // resource -> gateway, client

    // Rendered when first asked for, by what a device's version can express.
    mutable std::array<std::unordered_map<Uuid, std::shared_ptr<const ResourceView>>, 3> views_;
};

}  // namespace fatwal::channel
