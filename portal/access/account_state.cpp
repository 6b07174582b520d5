#include "portal/access/account_state.h"

#include <utility>

#include "fatwal/wire/invariant.h"

namespace fatwal::access {
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

// The check makes each index again, so release builds leave it to the tests.
void AccountState::check_indexes() const {
#ifndef NDEBUG
    FATWAL_INVARIANT(indexes_match(), "an account's indexes are what its rows make of them");
#endif
}

void AccountState::begin_snapshot() {
    Rows::clear();
    views_.clear();
    shapes_ = {};
    bad_rows_ = 0;
    snapshot_issues_.clear();
    status_ = Status::Loading;
    reason_.clear();
}

void AccountState::snapshot_row(RowChange row) {
    if (status_ != Status::Loading) return;
    if (!row.voided_by.empty()) return quarantine(std::move(row.voided_by));
    if (!shapes_.accept(row.shape, row.bad && row.bad->of_schema))
        return quarantine(other_columns(*row.shape));
    Affected nobody;
    Touched touched;
    touched.out = &nobody;
    if (row.bad) {
        add_issue(bad_rows_, snapshot_issues_, *row.bad);
        return Rows::leave_out(*row.bad, touched);
    }
    Rows::apply(row, touched);
    for (Issue& issue : nobody.issues)
        if (snapshot_issues_.size() < Affected::kMaxIssues)
            snapshot_issues_.push_back(std::move(issue));
}

void AccountState::end_rows(const Position& position) {
    if (status_ != Status::Loading) return;
    check_indexes();
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
    out.issues = std::exchange(snapshot_issues_, {});
    out.ignored_settings = issues().take_settings();
    forget_issues_of_missing();
    watchers_.resolve_all(out);
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
    affected_.ignored = takes_transactions() && commit_lsn <= position_.lsn;
}

void AccountState::take(const RowChange& change, Touched& touched) {
    if (!change.voided_by.empty()) {
        touched.poisoned_by = change.voided_by;
    } else if (!shapes_.accept(change.shape, change.bad && change.bad->of_schema)) {
        touched.poisoned_by = other_columns(*change.shape);
    } else if (change.bad) {
        add_issue(touched.out->bad_rows, touched.out->issues, *change.bad);
        Rows::apply_bad(*change.bad, touched);
    } else {
        Rows::apply(change, touched);
    }
}

void AccountState::change(const RowChange& change) {
    if (!takes_transactions() || affected_.ignored) return;
    take(change, touched_);
    if (touched_.poisoned_by.empty()) return;
    quarantine(std::exchange(touched_.poisoned_by, {}));
    affected_.clients.clear();
    affected_.gateways.clear();
    affected_.quarantined = true;
}

Affected AccountState::end_transaction() {
    const Touched touched = std::exchange(touched_, {});
    Affected out = std::exchange(affected_, {});
    if (!takes_transactions()) return out.quarantined ? out : Affected{};
    if (out.ignored) return out;
    FATWAL_INVARIANT(commit_lsn_ > position_.lsn, "an account's position only grows");
    check_indexes();
    position_.lsn = commit_lsn_;
    views_.forget(touched);
    if (status_ == Status::CatchingUp) {
        // go_live() concerns all.
        out.gateways.clear();
        return out;
    }
    out.ignored_settings = issues().take_settings();
    watchers_.resolve(*this, touched, out);
    return out;
}

void AccountState::quarantine(std::string reason) {
    status_ = Status::Quarantined;
    reason_ = "quarantined: take a new snapshot: " + std::move(reason);
}

}  // namespace fatwal::access
