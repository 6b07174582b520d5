#include "sidecar/delivery/ring.h"

#include <algorithm>

#include "fatwal/wire/invariant.h"

namespace fatwal::sidecar {

void Ring::trim(AccountLog& log) {
    while (log.bytes_ > max_account_bytes_) log.drop_oldest();
    while (bytes_ > max_bytes_) {
        FATWAL_INVARIANT(!oldest_first_.empty(), "an empty ring has no bytes");
        oldest_first_.front()->drop_oldest();
    }
}

AccountLog::~AccountLog() {
    while (!kept_.empty()) drop_oldest();
}

std::uint64_t AccountLog::append(zmq::message_t payload, wire::Lsn commit_lsn) {
    FATWAL_INVARIANT(commit_lsn >= newest_,
                     "the messages of an account come in the order of their commits");
    const std::size_t bytes = payload.size() + Ring::kOverheadBytes;
    kept_.push_back({std::move(payload), bytes, commit_lsn,
                     ring_.oldest_first_.insert(ring_.oldest_first_.end(), this)});
    bytes_ += bytes;
    ring_.bytes_ += bytes;
    newest_ = commit_lsn;
    ++sequence_;
    FATWAL_INVARIANT(kept_.size() <= sequence_, "each kept message has a number of its own");
    ring_.trim(*this);
    return sequence_;
}

void AccountLog::drop_oldest() {
    FATWAL_INVARIANT(!kept_.empty(), "what is dropped was kept");
    const Entry& oldest = kept_.front();
    FATWAL_INVARIANT(bytes_ >= oldest.bytes && ring_.bytes_ >= oldest.bytes,
                     "the bytes of a log are those of its messages");
    // A transaction of which a part is gone is not held.
    floor_ = std::max(floor_, oldest.commit_lsn + 1);
    bytes_ -= oldest.bytes;
    ring_.bytes_ -= oldest.bytes;
    ring_.oldest_first_.erase(oldest.in_ring);
    kept_.pop_front();
}

zmq::message_t* AccountLog::find(std::uint64_t sequence) {
    const std::uint64_t first = sequence_ - kept_.size() + 1;
    if (sequence < first || sequence > sequence_) return nullptr;
    return &kept_[sequence - first].payload;
}

std::uint64_t AccountLog::first_from(wire::Lsn cursor) const {
    const auto found = std::partition_point(
        kept_.begin(), kept_.end(), [&](const Entry& kept) { return kept.commit_lsn < cursor; });
    return sequence_ - static_cast<std::uint64_t>(kept_.end() - found) + 1;
}

}  // namespace fatwal::sidecar
