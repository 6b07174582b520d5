// What a stream that begins means for what was published before. Pure: two sets of facts in, one
// answer out.
//
// fatwald streams the slot again after each lost connection, and at its start. Between two streams
// anybody may have touched the slot: another fatwald took it over, a person moved or dropped it,
// the server was switched over or restored. Four positions decide:
//
//      recorded          begin        confirmed        published       server end
//    -----|----------------|--------------|----------------|---------------|------> LSN
//         |                |              |                |               |
//         |                |              |                |               `- of the server's WAL
//         |                |              |                `- by this process, before the loss
//         |                |              `- what this process confirmed last
//         |                `- the slot's confirmed position now: what commits before never comes
//         `- the newest position that a fatwald stored in fatwal.slot before it confirmed it
//
// Rules, in this order:
// 1. A server that has not all that was published is another history, or was restored: a gap.
// 2. A slot that stands where this process left it resumes: `begin` <= `confirmed`.
// 3. A slot beyond that was moved. A fatwald stores each position before it confirms it, so with
//    `begin` <= `recorded` it was a fatwald, which held the WAL for every durable subscriber in the
//    table. Its subscribers miss nothing.
// 4. Whoever else moved it asked nobody: a gap, unless nobody needs what lies before `begin`.
//
// After a gap each subscriber that stands before `begin` takes a new snapshot.
#pragma once

#include <cstdint>
#include <variant>

#include "sidecar/delivery/ledger.h"
#include "sidecar/postgres/timelines.h"

namespace fatwal::sidecar {

// What this process knows of the stream that it lost.
struct PreviousStream {
    bool exists = false;  // false: nothing was streamed yet, and the rest means nothing
    wire::History history;
    wire::Lsn confirmed = 0;
    wire::Lsn published = 0;
};

// What was found when the slot was this process's (again).
struct FoundSlot {
    bool created = false;
    wire::Lsn begin = 0;
    wire::Lsn server_end = 0;
    wire::Lsn recorded = 0;  // 0: never
    Timelines timelines;
    // Another fatwald has promised a subscriber more than this process holds.
    bool promised_by_another = false;
    // Of the table's durable subscribers, the one that acknowledged least; kNoLsn: there is none.
    wire::Lsn oldest_acknowledged = kNoLsn;
};

// A new epoch, without a gap.
struct FirstStart {};
// The same epoch: numbering continues.
struct Resumed {};
// A new epoch, as somebody else had the slot meanwhile or the timeline is another; every cursor
// still holds.
struct TakenOver {
    bool other_timeline = false;
};
enum class GapReason : std::uint8_t {
    SlotCreated,   // the slot is new
    OtherHistory,  // the server's WAL is not the one that was published
    ServerBehind,  // the server's WAL ends before what was published
    SlotMoved,     // the slot stands beyond what somebody needs
};
// A new epoch; what commits before `begin` is missing for whoever stands before it.
struct Gap {
    GapReason why;
};
using Start = std::variant<FirstStart, Resumed, TakenOver, Gap>;

[[nodiscard]] Start classify_start(const PreviousStream& previous, const FoundSlot& found);

}  // namespace fatwal::sidecar
