// `fatwal slot skip`: the way out of a change that cannot be decoded.
//
// Postgres decodes a slot's changes in order, so one that fails stops all of them, at each attempt.
// Only the slot can be moved past it. It is moved to the end of the log: whoever sees that changes
// are missing takes a snapshot, whether one is missing or a thousand, and the snapshot has what
// those changes did.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/diagnosis.h"
#include "client/cli/psql.h"
#include "client/cli/slot.h"

namespace fatwal::cli {

namespace {

// fatwald tries again with pauses of up to 10 s, and has the slot for a moment each time.
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPause{200};

// Moves the slot unless somebody has it; prints nothing then.
constexpr char kSkip[] =
    "SET statement_timeout = 0;\n"
    "SELECT (pg_replication_slot_advance(slot_name, pg_current_wal_insert_lsn())).end_lsn FROM "
    "pg_replication_slots WHERE slot_name = :'slot' AND NOT active;\n";

}  // namespace

int slot_skip(const SlotArguments& arguments) {
    const std::vector<std::pair<std::string, std::string>> variables = {{"slot", arguments.slot}};
    const auto slot = find_slot(arguments.database, arguments.slot);
    if (!slot) return 1;
    const std::string confirmed = slot->value("confirmed_lsn", "-");
    const auto later = slot->at("unconfirmed_bytes");
    std::fprintf(
        stderr,
        "Slot \"%s\" stands at %s; the log ends at %s, %s later.\n"
        "All changes between them, of every account, are never delivered as changes.\n"
        "Each subscriber is notified and takes a new snapshot, which has what they did to\n"
        "rows. Messages (fatwal.emit) between them are lost.\n",
        arguments.slot.c_str(), confirmed.c_str(), slot->value("wal_end", "-").c_str(),
        bytes_text(later.is_number() ? later.get<std::uint64_t>() : 0).c_str());
    if (!arguments.yes) {
        std::fprintf(stderr, "Nothing is done yet. Add --yes to do it.\n");
        return 2;
    }
    const auto until = std::chrono::steady_clock::now() + kPatience;
    do {
        const auto moved = run_psql(arguments.database, variables, kSkip);
        // psql has said why, and another attempt may meet fatwald in a pause.
        if (moved && !moved->empty()) {
            std::fprintf(stderr, "Moved to %s", moved->c_str());
            return 0;
        }
        std::this_thread::sleep_for(kPause);
    } while (std::chrono::steady_clock::now() < until);
    std::fprintf(stderr,
                 "slot \"%s\" is active: it was streamed all the time\n"
                 "  detail: Something is decoded, or another fatwald has it.\n"
                 "  hint: Stop fatwald, and try again.\n",
                 arguments.slot.c_str());
    return 1;
}

}  // namespace fatwal::cli
