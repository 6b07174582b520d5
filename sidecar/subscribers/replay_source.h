// Where the changes behind a subscriber's cursor come from. Pure. Six positions decide:
//
//           confirmable                floor               published          end
//     -----------|-----------------------|--------------------|----------------|------> LSN
//       TooOld   |       FromSlot        |           FromMemory                |   TooOld
//                |                       |                    |                |
//                |                       |                    |                `- of the server's
//                WAL |                       |                    `- what is sent from now on | `-
//                the account's log in memory begins here (ring.h)
//                `- Postgres has the WAL from here on, and may remove what lies before
//
// The line shows where `from` lies, the cursor after one rule: a durable subscriber with a cursor
// at or behind its stored position resumes at `confirmable` or later, as nothing of its account
// lies before (durables.h). Anybody else resumes at its cursor.
//
// `floor` may lie on either side of `confirmable`. Memory is asked first: it costs nothing, and it
// may have what Postgres has removed already. A cursor beyond the end of the WAL, or of another
// history, names a position that means something else here, so nothing is replayed behind it.
#pragma once

#include <cstdint>
#include <variant>

#include "fatwal/wire/types.h"

namespace fatwal::sidecar {

struct ReplayFacts {
    wire::Lsn cursor = 0;  // as asked for
    bool holds = false;    // the cursor is of this history (timelines.h)
    wire::Lsn from = 0;    // where the subscriber resumes with it
    wire::Lsn floor = 0;
    wire::Lsn confirmable = 0;
    wire::Lsn end = 0;
    bool reads_slot = true;  // the setting reread_concurrency is not 0
};

struct FromMemory {
    wire::Lsn from = 0;
};
struct FromSlot {
    wire::Lsn from = 0;
};
enum class TooOldReason : std::uint8_t { OtherHistory, BeyondEnd, Confirmable };
struct TooOld {
    TooOldReason why;
};
using ReplaySource = std::variant<FromMemory, FromSlot, TooOld>;

[[nodiscard]] inline ReplaySource choose_source(const ReplayFacts& facts) {
    if (!facts.holds) return TooOld{TooOldReason::OtherHistory};
    if (facts.cursor > facts.end) return TooOld{TooOldReason::BeyondEnd};
    if (facts.from >= facts.floor) return FromMemory{facts.from};
    if (facts.from < facts.confirmable || !facts.reads_slot)
        return TooOld{TooOldReason::Confirmable};
    return FromSlot{facts.from};
}

}  // namespace fatwal::sidecar
