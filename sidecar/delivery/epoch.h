// One epoch: a run of numbering, from a start that may not continue the last one (start.h) to the
// next such start. All that a new epoch voids stands here, so that none of it is forgotten: the
// daemon begins an epoch by assigning a new one.
#pragma once

#include <algorithm>

#include "sidecar/delivery/ledger.h"
#include "sidecar/delivery/schemas.h"
#include "sidecar/postgres/timelines.h"

namespace fatwal::sidecar {

struct Epoch {
    std::uint64_t number = 0;  // 0: nothing was streamed yet
    Timelines timelines;
    Schemas schemas;
    wire::Lsn newest_resync = 0;  // where the newest transaction with a resync record commits
    wire::Lsn server_end = 0;     // of the server's WAL when it was connected last
};

// What a subscriber's cursor is compared with, at one moment.
struct Standing {
    std::uint64_t epoch = 0;
    Timelines timelines;
    // WAL from here on is certainly kept. WAL before it may be confirmed, and then removed, at any
    // moment.
    wire::Lsn confirmable = 0;
    wire::Lsn published = 0;  // every transaction that commits before is published
    wire::Lsn end = 0;        // no position beyond it can be of this history
};

[[nodiscard]] inline Standing standing_of(const Epoch& epoch, const Ledger& ledger) {
    return {epoch.number, epoch.timelines, ledger.confirmable(), ledger.published(),
            std::max(epoch.server_end, ledger.published())};
}

}  // namespace fatwal::sidecar
