#include "durables.h"

#include <algorithm>

namespace fatwal {

namespace {

std::string hold_name(const wire::AccountKey& account, const std::string& name) {
    return "durable subscriber " + name + " of account " +
           std::to_string(static_cast<int>(account.kind)) + ':' + account.to_text();
}

}  // namespace

std::string Durables::Group::hold_of(const std::string& name) const {
    return hold_name(account_, name);
}

Durables::Group::~Group() {
    while (!by_name_.empty()) drop(std::string(by_name_.begin()->first));
}

bool Durables::Group::written(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found != by_name_.end() && found->second.written;
}

bool Durables::Group::written_within(const std::string& name, wire::Lsn acknowledged) const {
    const auto found = by_name_.find(name);
    return found != by_name_.end() && found->second.written && found->second.stored <= acknowledged;
}

void Durables::Group::add(const std::string& name, wire::Lsn from, bool written, Time now) {
    const auto [at, added] = by_name_.try_emplace(name, Subscriber{from, from, written, false});
    if (!added) {
        // It has less than it had: it took a snapshot of a stream that had begun again before what
        // it acknowledged.
        if (written || from >= at->second.stored) return;
        at->second.acknowledged = at->second.stored = from;
        all_.unwritten_.insert(hold_of(name));
        return hold(name, at->second, now);
    }
    all_.by_hold_.insert_or_assign(hold_of(name), Place{this, name});
    if (!written) all_.unwritten_.insert(hold_of(name));
    hold(name, at->second, now);
}

void Durables::Group::hold(const std::string& name, Subscriber& subscriber, Time now) {
    subscriber.holding = newest_ >= subscriber.stored;
    if (subscriber.holding)
        all_.holds_.hold(hold_of(name), subscriber.stored, now);
    else
        all_.holds_.release(hold_of(name));
}

void Durables::Group::published(wire::Lsn commit_lsn, Time now) {
    newest_ = std::max(newest_, commit_lsn);
    for (auto& [name, subscriber] : by_name_)
        if (!subscriber.holding) hold(name, subscriber, now);
}

void Durables::Group::acknowledge(const std::string& name, wire::Lsn cursor) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end() || cursor <= found->second.acknowledged) return;
    found->second.acknowledged = cursor;
    // Where nothing of the account lies in between there is nothing to be written down.
    if (found->second.holding) all_.unwritten_.insert(hold_of(name));
}

void Durables::Group::drop(const std::string& name) {
    const std::string hold = hold_of(name);
    all_.holds_.release(hold);
    all_.by_hold_.erase(hold);
    all_.unwritten_.erase(hold);
    by_name_.erase(name);
}

void Durables::Group::leave(const std::string& name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return;
    all_.removed_.push_back({account_, name, found->second.acknowledged});
    drop(name);
}

wire::Lsn Durables::Group::resume(const std::string& name, wire::Lsn cursor,
                                  wire::Lsn settled) const {
    const auto found = by_name_.find(name);
    return found != by_name_.end() && cursor >= found->second.stored ? std::max(cursor, settled)
                                                                     : cursor;
}

Durables::Changes Durables::take_changes() {
    Changes changes;
    for (const std::string& hold : unwritten_) {
        const auto& [group, name] = by_hold_.at(hold);
        changes.written.push_back({group->account_, name, group->by_name_.at(name).acknowledged});
    }
    unwritten_.clear();
    changes.removed = std::exchange(removed_, {});
    return changes;
}

void Durables::stored(const Changes& changes, Time now) {
    for (const DurableSubscriber& row : changes.written) {
        const auto found = by_hold_.find(hold_name(row.account, row.name));
        if (found == by_hold_.end()) continue;
        auto& subscriber = found->second.group->by_name_.at(row.name);
        subscriber.written = true;
        subscriber.stored = std::max(subscriber.stored, row.acknowledged);
        found->second.group->hold(row.name, subscriber, now);
    }
}

void Durables::not_stored(Changes changes) {
    for (const DurableSubscriber& row : changes.written)
        if (const std::string hold = hold_name(row.account, row.name); by_hold_.contains(hold))
            unwritten_.insert(hold);
    for (DurableSubscriber& row : changes.removed)
        if (!by_hold_.contains(hold_name(row.account, row.name)))
            removed_.push_back(std::move(row));
}

void Durables::count_unwritten(Time now) {
    for (auto& [hold, place] : by_hold_) {
        auto& subscriber = place.group->by_name_.at(place.name);
        if (subscriber.acknowledged == subscriber.stored) continue;
        subscriber.stored = subscriber.acknowledged;
        place.group->hold(place.name, subscriber, now);
    }
}

bool Durables::give_up(const std::string& hold) {
    const auto found = by_hold_.find(hold);
    if (found == by_hold_.end()) return false;
    const auto [group, name] = found->second;
    group->leave(name);
    return true;
}

}  // namespace fatwal
