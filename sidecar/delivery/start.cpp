#include "sidecar/delivery/start.h"

namespace fatwal::sidecar {

Start classify_start(const PreviousStream& previous, const FoundSlot& found) {
    // Whoever acknowledged all that commits before the slot's position misses nothing of it.
    const bool needed = found.oldest_acknowledged < found.begin;
    const bool moved_by_fatwald = found.recorded >= found.begin;
    if (!previous.exists) {
        if (needed && found.created) return Gap{GapReason::SlotCreated};
        if (needed && !moved_by_fatwald) return Gap{GapReason::SlotMoved};
        return FirstStart{};
    }
    if (found.created) return Gap{GapReason::SlotCreated};
    if (!found.timelines.holds(previous.history, previous.published))
        return Gap{GapReason::OtherHistory};
    if (found.server_end < previous.published) return Gap{GapReason::ServerBehind};
    // On another timeline that holds all that was published the stream resumes too, but the cursors
    // that are handed out name the new one: a new epoch.
    const bool other_timeline = found.timelines.now != previous.history;
    if (!other_timeline && !found.promised_by_another && found.begin <= previous.confirmed)
        return Resumed{};
    // A server that goes down takes our last confirmation, but no more rows: neither the record of
    // it nor the acknowledgements that allowed it are written then. All whom it keeps WAL for are
    // ours, and we know that they have it.
    const bool moved_by_us = !found.promised_by_another && found.begin <= previous.confirmed;
    if (!moved_by_us && !moved_by_fatwald && (needed || found.begin > previous.published))
        return Gap{GapReason::SlotMoved};
    return TakenOver{other_timeline};
}

}  // namespace fatwal::sidecar
