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
#include "client/cli/psql.h"

namespace fatwal::cli {

namespace {

// fatwald tries again with pauses of up to 10 s, and has the slot for a moment each time.
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPause{200};

// A slot of pgoutput may be a subscription's: of fatwald's the database has a record.
constexpr char kLook[] =
    "SELECT coalesce(active_pid::text, '-'), CASE WHEN plugin = 'fatwal' OR plugin = 'pgoutput' "
    "AND EXISTS (SELECT FROM fatwal.slot s WHERE s.slot = slot_name) THEN 'ours' ELSE '' END, "
    "coalesce(confirmed_flush_lsn::text, '-'), "
    "pg_current_wal_insert_lsn(), pg_size_pretty(pg_current_wal_insert_lsn() - "
    "confirmed_flush_lsn) FROM pg_replication_slots WHERE slot_name = :'slot';\n";

// Moves the slot unless somebody has it; prints nothing then.
constexpr char kSkip[] =
    "SET statement_timeout = 0;\n"
    "SELECT (pg_replication_slot_advance(slot_name, pg_current_wal_insert_lsn())).end_lsn FROM "
    "pg_replication_slots WHERE slot_name = :'slot' AND NOT active;\n";

std::vector<std::string> fields(const std::string& row) {
    std::vector<std::string> fields;
    std::size_t begin = 0;
    const std::size_t last = row.find('\n');
    const std::string line = row.substr(0, last);
    for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
        end = line.find('|', begin);
        fields.push_back(line.substr(begin, end == std::string::npos ? end : end - begin));
    }
    return fields;
}

}  // namespace

int slot_skip(const SlotSkipArguments& arguments) {
    const std::vector<std::pair<std::string, std::string>> variables = {{"slot", arguments.slot}};
    const auto found = run_psql(arguments.database, variables, kLook);
    if (!found) return 1;
    if (found->empty()) {
        std::fprintf(stderr,
                     "slot \"%s\" does not exist\n"
                     "  hint: SELECT slot_name FROM pg_replication_slots; lists those that do.\n",
                     arguments.slot.c_str());
        return 1;
    }
    const auto slot = fields(*found);
    if (slot.size() != 5 || slot[1] != "ours") {
        std::fprintf(stderr,
                     "slot \"%s\" is not fatwald's\n"
                     "  hint: give fatwald's slot with --slot.\n",
                     arguments.slot.c_str());
        return 1;
    }
    std::fprintf(
        stderr,
        "Slot \"%s\" stands at %s; the log ends at %s, %s later.\n"
        "All changes between them, of every account, are never delivered as changes.\n"
        "Each subscriber is notified and takes a new snapshot, which has what they did to\n"
        "rows. Messages (fatwal.emit) between them are lost.\n",
        arguments.slot.c_str(), slot[2].c_str(), slot[3].c_str(), slot[4].c_str());
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
