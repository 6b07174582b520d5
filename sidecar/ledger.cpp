#include "ledger.h"

#include <algorithm>

namespace fatwal {

bool Ledger::admit(const wire::FrameView& frame) {
    const wire::Lsn commit = frame.commit_lsn();
    received_ = std::max(received_, commit);
    in_transaction_ = !frame.has(wire::kLastOfTransaction);
    if (commit < transaction_ || (commit == transaction_ && transaction_done_)) {
        // A whole transaction of before: it is settled already, but its end is news to nobody.
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

void Ledger::published(const wire::FrameView& frame) {
    ++published_of_transaction_;
    if (!frame.has(wire::kLastOfTransaction)) return;
    transaction_done_ = true;
    settled_ = std::max(settled_, frame.end_lsn());
    received_ = std::max(received_, frame.end_lsn());
}

void Ledger::keepalive(wire::Lsn wal_end) {
    received_ = std::max(received_, wal_end);
    if (!in_transaction_) settled_ = std::max(settled_, wal_end);
}

}  // namespace fatwal
