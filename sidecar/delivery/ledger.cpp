#include "sidecar/delivery/ledger.h"

#include <algorithm>

#include "fatwal/wire/invariant.h"

namespace fatwal::sidecar {

void Visibility::add(std::uint32_t xid, wire::Lsn commit_lsn) {
    if (xid == 0) return;
    FATWAL_INVARIANT(unseen_.empty() || unseen_.back().commit_lsn < commit_lsn,
                     "transactions are published in the order of their commits");
    unseen_.push_back({xid, commit_lsn});
}

void Visibility::seen(const wire::TransactionSnapshot& snapshot, std::uint64_t newest_begun) {
    std::erase_if(unseen_, [&](const Transaction& transaction) {
        if (!snapshot.sees(transaction.xid)) return false;
        seen_.push_back({transaction, newest_begun});
        return true;
    });
}

void Visibility::known_before(std::uint64_t number) {
    std::erase_if(seen_, [&](const SeenTransaction& seen) { return seen.newest_begun < number; });
}

void Visibility::seen_all() {
    unseen_.clear();
    seen_.clear();
}

wire::Lsn Visibility::oldest_unseen_by(const wire::TransactionSnapshot& snapshot) const {
    wire::Lsn oldest = kNoLsn;
    for (const Transaction& transaction : unseen_)
        if (!snapshot.sees(transaction.xid)) oldest = std::min(oldest, transaction.commit_lsn);
    for (const SeenTransaction& seen : seen_)
        if (!snapshot.sees(seen.transaction.xid))
            oldest = std::min(oldest, seen.transaction.commit_lsn);
    return oldest;
}

void Holds::hold(const HoldKey& key, wire::Lsn from, Time now) {
    const auto [at, is_new] = holds_.try_emplace(key, Hold{from, now});
    if (is_new || at->second.from == from) return;
    at->second = {from, now};
}

wire::Lsn Holds::oldest() const {
    wire::Lsn oldest = kNoLsn;
    for (const auto& [name, hold] : holds_) oldest = std::min(oldest, hold.from);
    return oldest;
}

wire::Lsn Holds::of(const HoldKey& key) const {
    const auto found = holds_.find(key);
    return found == holds_.end() ? kNoLsn : found->second.from;
}

std::vector<HoldKey> Holds::beyond(std::uint64_t bytes, wire::Lsn published, Time since) const {
    std::vector<HoldKey> keys;
    for (const auto& [key, hold] : holds_)
        if (hold.since < since || (published > hold.from && published - hold.from > bytes))
            keys.push_back(key);
    return keys;
}

std::vector<std::pair<HoldKey, Holds::Hold>> Holds::worst(std::size_t skip,
                                                          std::size_t most) const {
    std::vector<std::map<HoldKey, Hold>::const_iterator> order;
    order.reserve(holds_.size());
    for (auto at = holds_.begin(); at != holds_.end(); ++at) order.push_back(at);
    skip = std::min(skip, order.size());
    const std::size_t end = std::min(order.size(), skip + most);
    // By the key where positions are equal, so that two requests agree.
    const auto holds_more = [](const auto& a, const auto& b) {
        return a->second.from != b->second.from ? a->second.from < b->second.from
                                                : a->first < b->first;
    };
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(end), order.end(),
                      holds_more);
    std::vector<std::pair<HoldKey, Hold>> found;
    for (std::size_t i = skip; i < end; ++i) found.emplace_back(*order[i]);
    return found;
}

void Ledger::begin(wire::Lsn position) {
    restart();
    published_ = confirmable_ = received_ = position;
    transaction_ = 0;
    transaction_done_ = true;
    published_of_transaction_ = 0;
    visibility.seen_all();
    holds.clear();
}

bool Ledger::admit(const wire::FrameView& frame) {
    const wire::Lsn commit = frame.commit_lsn();
    received_ = std::max(received_, commit);
    in_transaction_ = !frame.has(wire::kLastOfTransaction);
    if (commit < transaction_ || (commit == transaction_ && transaction_done_)) {
        // A whole transaction of before: it is published already, but its end is news to nobody.
        return false;
    }
    if (commit != transaction_) {
        transaction_ = commit;
        transaction_done_ = false;
        published_of_transaction_ = 0;
        frames_of_transaction_ = 0;
    }
    return ++frames_of_transaction_ > published_of_transaction_;
}

void Ledger::frame_published(const wire::FrameView& frame) {
    ++published_of_transaction_;
    if (!frame.has(wire::kLastOfTransaction)) return;
    transaction_done_ = true;
    published_ = std::max(published_, frame.end_lsn());
    received_ = std::max(received_, frame.end_lsn());
    visibility.add(frame.xid(), frame.commit_lsn());
}

void Ledger::keepalive(wire::Lsn wal_end) {
    received_ = std::max(received_, wal_end);
    if (!in_transaction_) published_ = std::max(published_, wal_end);
}

wire::Lsn Ledger::next_confirmable() const {
    return std::max(confirmable_, std::min({published_, visibility.oldest(), holds.oldest()}));
}

wire::Lsn Ledger::raise_confirmable() {
    confirmable_ = next_confirmable();
    FATWAL_INVARIANT(confirmable_ <= published_ && published_ <= received_,
                     "nothing is confirmed before it is published, nor published before it came");
    return confirmable_;
}

}  // namespace fatwal::sidecar
