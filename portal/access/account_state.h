// What a process knows of one account: the rows of its stream, shared by all its channels.
//
// It has three parts: Rows (tables and indexes), Watchers (which channels are attached, what they
// hold, whom a change concerns) and Views (rendered resources). This class decides when they
// change:
//
//        begin_snapshot     end_rows         go_live
//     Empty ─────► Loading ─────► CatchingUp ─────► Live ◄──┐ transactions
//       ▲             │                │              │ └───┘
//       │             └────────────────┴──────┬───────┘
//       └─ (at first)   begin_snapshot ◄─ Quarantined     quarantine(), or what is not understood
//
// A transaction is taken whole: the rows change, then Watchers names the attached channels that it
// may concern, each once. Those recompute by the new rows and push the difference.
//
// Rule of threads: one thread at a time, as all of an account (basics.h).
//
// Invariants:
// - Only a live state answers: before, rows may be of the past; put aside, they may be wrong.
// - The position of a state that takes transactions only grows. One at or before it is ignored.
// - Between begin_transaction() and end_transaction() the rows are of no transaction, and nobody
//   asks. A state that is put aside in between stays so, and concerns nobody.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "portal/access/affected.h"
#include "portal/access/position.h"
#include "portal/access/row_change.h"
#include "portal/access/rows.h"
#include "portal/access/table_shape.h"
#include "portal/access/views.h"
#include "portal/access/watchers.h"

namespace fatwal::access {

// It is Rows that only snapshots and transactions change.
class AccountState : private Rows {
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
    explicit AccountState(const Uuid& account_id) : Rows(account_id) {}
    AccountState(const AccountState&) = delete;
    AccountState& operator=(const AccountState&) = delete;

    [[nodiscard]] Status status() const { return status_; }
    [[nodiscard]] bool live() const { return status_ == Status::Live; }
    // Why it is quarantined: "quarantined: take a new snapshot: ...".
    [[nodiscard]] const std::string& reason() const { return reason_; }
    // The commit LSN of the last transaction that it holds.
    [[nodiscard]] const Position& position() const { return position_; }

    // Everything known is void; the attached channels stay attached.
    void begin_snapshot();
    // In any order. Rows that cannot be understood are left out, and go_live() names them. One that
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
    // catching up, nobody is affected. Then on_transaction() of the channels in the result. A
    // change that cannot be understood takes its row away, so that nothing is granted by it; when
    // not even its key can be read, or the change voids what is known (RowChange::voided_by), the
    // state is quarantined.
    Affected apply(std::uint64_t commit_lsn, const std::vector<RowChange>& changes);
    // The same in parts, for a transaction that is too large for one turn: begin, then each change,
    // then end. In between the state is of no transaction: ask nothing of it.
    void begin_transaction(std::uint64_t commit_lsn);
    void change(const RowChange& change);
    Affected end_transaction();

    // From outside: the stream has lost its place, or is too far behind.
    void quarantine(std::string reason);

    // The channels call these themselves, so that changes find them.
    [[nodiscard]] Watchers& watchers() { return watchers_; }

    [[nodiscard]] const Rows& rows() const { return *this; }
    using Rows::account;
    using Rows::account_id;
    using Rows::actor;
    using Rows::client;
    using Rows::connected;
    using Rows::flow;
    using Rows::flows_of_client;
    using Rows::flows_of_gateway;
    using Rows::for_each_group_of;
    using Rows::gateway;
    using Rows::gateways_of_site;
    using Rows::group;
    using Rows::has_feature;
    using Rows::identity;
    using Rows::in_force;
    using Rows::indexes_match;
    using Rows::is_everyones;
    using Rows::membership;
    using Rows::offers;
    using Rows::policies_of_group;
    using Rows::policies_of_resource;
    using Rows::policy;
    using Rows::provider;
    using Rows::resource;
    using Rows::site;
    using Rows::sites_of_resource;
    using Rows::token;

    // A resource as a client of the version is shown it; null when it is not. The same pointer
    // until a change concerns it.
    [[nodiscard]] std::shared_ptr<const ResourceView> view_of(const Uuid& resource_id,
                                                              const Version& version) const {
        return views_.of(*this, resource_id, version);
    }

private:
    [[nodiscard]] bool takes_transactions() const {
        return status_ == Status::Live || status_ == Status::CatchingUp;
    }
    void take(const RowChange& change, Touched& touched);
    void check_indexes() const;

    Status status_ = Status::Empty;
    std::string reason_;
    Position position_;
    // The transaction between begin_transaction() and end_transaction().
    std::uint64_t commit_lsn_ = 0;
    Touched touched_;
    Affected affected_;
    // Of the snapshot that is being loaded.
    std::size_t bad_rows_ = 0;
    std::vector<Issue> snapshot_issues_;
    KnownShapes shapes_;
    Watchers watchers_;
    mutable Views views_;
};

}  // namespace fatwal::access
