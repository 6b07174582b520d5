#include "sidecar/delivery/durables.h"

#include <algorithm>
#include <string_view>

#include "fatwal/wire/invariant.h"

namespace fatwal::sidecar {

namespace {

std::string_view credential_of(std::string_view name) { return name.substr(0, name.find('/')); }

}  // namespace

Durables::Group::~Group() {
    while (!by_name_.empty()) drop(std::string(by_name_.begin()->first));
}

// After each change of a subscriber.
void Durables::Group::check(const std::string& name) const {
    const auto found = by_name_.find(name);
    const auto in_all = all_.groups_.find(key_of(name));
    FATWAL_INVARIANT((found != by_name_.end()) == (in_all != all_.groups_.end()),
                     "a durable subscriber is in both maps or in none");
    if (found == by_name_.end()) return;
    const Subscriber& subscriber = found->second;
    FATWAL_INVARIANT(in_all->second == this, "a durable subscriber is of one account");
    FATWAL_INVARIANT(subscriber.stored <= subscriber.acknowledged,
                     "nothing is stored that was not acknowledged");
    FATWAL_INVARIANT(subscriber.holding == (newest_ >= subscriber.stored),
                     "WAL is held while something of the account is not stored as processed");
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
        // It has less than before: it took a snapshot of a stream that had begun again before what
        // it acknowledged.
        if (written || from >= at->second.stored) return;
        at->second.acknowledged = at->second.stored = from;
        all_.unwritten_.insert(key_of(name));
        return hold(name, at->second, now);
    }
    all_.groups_.insert_or_assign(key_of(name), this);
    ++all_.of_credential_[std::string(credential_of(name))];
    if (!written) all_.unwritten_.insert(key_of(name));
    hold(name, at->second, now);
}

void Durables::Group::hold(const std::string& name, Subscriber& subscriber, Time now) {
    subscriber.holding = newest_ >= subscriber.stored;
    if (subscriber.holding)
        all_.holds_.hold(key_of(name), subscriber.stored, now);
    else
        all_.holds_.release(key_of(name));
    check(name);
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
    if (found->second.holding) all_.unwritten_.insert(key_of(name));
}

void Durables::Group::drop(const std::string& name) {
    const DurableKey key = key_of(name);
    all_.holds_.release(key);
    all_.groups_.erase(key);
    const auto count = all_.of_credential_.find(credential_of(name));
    if (--count->second == 0) all_.of_credential_.erase(count);
    all_.unwritten_.erase(key);
    by_name_.erase(key.name);
    check(key.name);
}

void Durables::Group::leave(const std::string& name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return;
    all_.removed_.push_back({account_, name, found->second.acknowledged});
    drop(name);
}

wire::Lsn Durables::Group::resume(const std::string& name, wire::Lsn cursor,
                                  wire::Lsn confirmable) const {
    const auto found = by_name_.find(name);
    return found != by_name_.end() && cursor >= found->second.stored ? std::max(cursor, confirmable)
                                                                     : cursor;
}

std::size_t Durables::of_credential(const std::string& credential) const {
    const auto found = of_credential_.find(credential);
    return found == of_credential_.end() ? 0 : found->second;
}

Durables::Changes Durables::extract_changes() {
    Changes changes;
    for (const DurableKey& key : unwritten_)
        changes.written.push_back(
            {key.account, key.name, groups_.at(key)->by_name_.at(key.name).acknowledged});
    unwritten_.clear();
    changes.removed = std::exchange(removed_, {});
    return changes;
}

void Durables::stored(const Changes& changes, Time now) {
    for (const DurableSubscriber& row : changes.written) {
        const auto found = groups_.find({row.account, row.name});
        if (found == groups_.end()) continue;
        auto& subscriber = found->second->by_name_.at(row.name);
        subscriber.written = true;
        // It may have come back with less while this was being stored: that is written next.
        subscriber.stored =
            std::max(subscriber.stored, std::min(row.acknowledged, subscriber.acknowledged));
        found->second->hold(row.name, subscriber, now);
    }
}

void Durables::not_stored(Changes changes) {
    for (const DurableSubscriber& row : changes.written)
        if (DurableKey key{row.account, row.name}; groups_.contains(key))
            unwritten_.insert(std::move(key));
    for (DurableSubscriber& row : changes.removed)
        if (!groups_.contains({row.account, row.name})) removed_.push_back(std::move(row));
}

void Durables::count_unwritten(Time now) {
    for (auto& [key, group] : groups_) {
        auto& subscriber = group->by_name_.at(key.name);
        if (subscriber.acknowledged == subscriber.stored) continue;
        subscriber.stored = subscriber.acknowledged;
        group->hold(key.name, subscriber, now);
    }
}

bool Durables::refused(const DurableKey& key) {
    const auto found = groups_.find(key);
    if (found == groups_.end() || found->second->by_name_.at(key.name).written) return false;
    found->second->drop(key.name);
    return true;
}

bool Durables::forget(const DurableKey& key) {
    const auto found = groups_.find(key);
    if (found == groups_.end()) return false;
    found->second->leave(std::string(key.name));
    return true;
}

std::vector<wire::DurableEntry> Durables::list(const DurableKey& after, std::size_t most) const {
    std::vector<wire::DurableEntry> entries;
    for (auto at = groups_.upper_bound(after); at != groups_.end() && entries.size() < most; ++at) {
        const auto& [key, group] = *at;
        const Group::Subscriber& subscriber = group->by_name_.at(key.name);
        entries.push_back({key.account, key.name, subscriber.acknowledged, subscriber.stored, false,
                           subscriber.holding});
    }
    return entries;
}

}  // namespace fatwal::sidecar
