// `fatwal slot`: status, advance, drop. (skip: slot_skip.cpp.)
//
// Advance and drop take WAL from those who still need it, and nothing brings it back. So both first
// print who would lose what, and do nothing without --yes. Neither takes the slot from a fatwald
// that streams: Postgres refuses that, and the refusal is what is wanted. A dropped slot leaves its
// rows in fatwal.subscriber: with them fatwald knows at its next start that changes are missing,
// and does not begin as if nothing had been before.
#include "client/cli/slot.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/diagnosis.h"
#include "client/cli/psql.h"

namespace fatwal::cli {

namespace {

// A slot of pgoutput may be a subscription's. Of fatwald's the database has a record: of the
// publications that it follows, and of a slot that has, or had, durable subscribers.
constexpr char kFind[] = R"(
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_insert_lsn() END AS wal_end \gset
SELECT json_build_object(
    'name', s.slot_name, 'plugin', s.plugin, 'database', s.database,
    'ours', s.plugin = 'fatwal' OR s.plugin = 'pgoutput'
            AND s.slot_name IN (SELECT slot FROM fatwal.slot
                                UNION ALL SELECT slot FROM fatwal.publication_state),
    'active', s.active, 'active_pid', s.active_pid, 'wal_status', s.wal_status,
    'safe_wal_bytes', s.safe_wal_size, 'restart_lsn', s.restart_lsn,
    'confirmed_lsn', s.confirmed_flush_lsn, 'wal_end', :'wal_end',
    'retained_bytes', greatest(pg_wal_lsn_diff(:'wal_end', s.restart_lsn), 0)::bigint,
    'unconfirmed_bytes', greatest(pg_wal_lsn_diff(:'wal_end', s.confirmed_flush_lsn), 0)::bigint)
  FROM pg_replication_slots s WHERE s.slot_name = :'slot';
)";

// Who has not acknowledged all before a position: what is kept for them would be lost.
constexpr char kLosers[] = R"(
SELECT format('  %s of %s: acknowledged up to %s, loses %s', to_json(subscriber),
              CASE WHEN account_kind = 0 THEN 'the operators' ELSE 'account ' || account END,
              acknowledged, pg_size_pretty(:'upto'::pg_lsn - acknowledged))
  FROM fatwal.subscriber WHERE slot = :'slot' AND acknowledged < :'upto'::pg_lsn
 ORDER BY acknowledged LIMIT 20;
SELECT format('  and %s more', count(*) - 20) FROM fatwal.subscriber
 WHERE slot = :'slot' AND acknowledged < :'upto'::pg_lsn HAVING count(*) > 20;
)";

constexpr char kAdvance[] =
    "SET statement_timeout = 0;\n"
    "SELECT end_lsn FROM pg_replication_slot_advance(:'slot', :'upto');\n";
constexpr char kDrop[] = "SELECT pg_drop_replication_slot(:'slot');\n";

std::string member(const nlohmann::json& slot, const char* name) {
    const auto& value = slot.at(name);
    return value.is_string() ? value.get<std::string>() : value.is_null() ? "-" : value.dump();
}
std::string bytes_member(const nlohmann::json& slot, const char* name) {
    const auto& value = slot.at(name);
    if (!value.is_number()) return "without bound";
    const auto bytes = value.get<std::int64_t>();
    return bytes_text(bytes < 0 ? 0 : static_cast<std::uint64_t>(bytes));
}

bool print_losers(const SlotArguments& arguments, const std::string& upto) {
    const auto losers = run_psql(arguments.database, {{"slot", arguments.slot}, {"upto", upto}},
                                 kLosers, kPsqlWithin);
    if (!losers) return false;
    if (losers->empty())
        std::fputs("No durable subscriber has anything before it to acknowledge.\n", stderr);
    else
        std::fprintf(stderr, "Durable subscribers that have not acknowledged all before it:\n%s",
                     losers->c_str());
    return true;
}

bool is_free(const nlohmann::json& slot) {
    if (!slot.at("active").get<bool>()) return true;
    std::fprintf(stderr,
                 "slot \"%s\" is active: process %s of the server streams it\n"
                 "  hint: Stop fatwald, and try again.\n",
                 member(slot, "name").c_str(), member(slot, "active_pid").c_str());
    return false;
}

bool is_wanted(const SlotArguments& arguments) {
    if (arguments.yes) return true;
    std::fputs("Nothing is done yet. Add --yes to do it.\n", stderr);
    return false;
}

}  // namespace

std::optional<nlohmann::json> find_slot(const std::string& database, const std::string& slot) {
    const auto found = run_psql(database, {{"slot", slot}}, kFind, kPsqlWithin);
    if (!found) return std::nullopt;
    if (found->empty()) {
        std::fprintf(stderr,
                     "slot \"%s\" does not exist\n"
                     "  hint: SELECT slot_name FROM pg_replication_slots; lists those that do.\n",
                     slot.c_str());
        return std::nullopt;
    }
    auto parsed = nlohmann::json::parse(*found);
    if (parsed.at("ours") == true) return parsed;
    std::fprintf(stderr,
                 "slot \"%s\" is not fatwald's\n"
                 "  hint: give fatwald's slot with --slot.\n",
                 slot.c_str());
    return std::nullopt;
}

int slot_status(const SlotArguments& arguments) {
    const auto slot = find_slot(arguments.database, arguments.slot);
    if (!slot) return 1;
    std::printf("slot         %s, of the plugin %s\n", member(*slot, "name").c_str(),
                member(*slot, "plugin").c_str());
    std::printf("read         %s\n", slot->at("active").get<bool>()
                                         ? ("by process " + member(*slot, "active_pid")).c_str()
                                         : "by nobody");
    std::printf("wal_status   %s\n", member(*slot, "wal_status").c_str());
    std::printf("retained     %s, from %s on\n", bytes_member(*slot, "retained_bytes").c_str(),
                member(*slot, "restart_lsn").c_str());
    std::printf("unconfirmed  %s, from %s to %s\n",
                bytes_member(*slot, "unconfirmed_bytes").c_str(),
                member(*slot, "confirmed_lsn").c_str(), member(*slot, "wal_end").c_str());
    std::printf("safe         %s\n", bytes_member(*slot, "safe_wal_bytes").c_str());
    std::fflush(stdout);
    if (arguments.control.empty()) {
        std::puts("\nWho holds it back, fatwald knows: give --control.");
        return std::fflush(stdout) == 0 ? 0 : 1;
    }
    std::puts("");
    RosterArguments holders;
    holders.list = RosterArguments::List::Holds;
    holders.control = arguments.control;
    holders.keys = arguments.keys;
    return roster(holders);
}

int slot_advance(const SlotArguments& arguments) {
    const auto slot = find_slot(arguments.database, arguments.slot);
    if (!slot) return 1;
    const std::string upto = arguments.upto.empty() ? member(*slot, "wal_end") : arguments.upto;
    std::fprintf(stderr,
                 "Slot \"%s\" is confirmed up to %s; it would move to %s.\n"
                 "Changes between them that fatwald has not sent yet are never delivered as\n"
                 "changes, and messages (fatwal.emit) are lost. Each subscriber that misses\n"
                 "something is notified and takes a new snapshot.\n",
                 arguments.slot.c_str(), member(*slot, "confirmed_lsn").c_str(), upto.c_str());
    if (!print_losers(arguments, upto)) return 1;
    if (!is_wanted(arguments)) return 2;
    if (!is_free(*slot)) return 1;
    const auto moved =
        run_psql(arguments.database, {{"slot", arguments.slot}, {"upto", upto}}, kAdvance);
    if (!moved) return 1;
    std::fprintf(stderr, "Moved to %s", moved->c_str());
    return 0;
}

int slot_drop(const SlotArguments& arguments) {
    const auto slot = find_slot(arguments.database, arguments.slot);
    if (!slot) return 1;
    std::fprintf(stderr,
                 "Slot \"%s\" keeps %s of WAL. Dropped, the server keeps nothing for fatwald: all\n"
                 "changes from %s on that it has not sent are never delivered as changes,\n"
                 "and every subscriber takes a new snapshot.\n",
                 arguments.slot.c_str(), bytes_member(*slot, "retained_bytes").c_str(),
                 member(*slot, "confirmed_lsn").c_str());
    if (!print_losers(arguments, member(*slot, "wal_end"))) return 1;
    std::fputs("To stream again, start fatwald with --on-lost-slot=resync once.\n", stderr);
    if (!is_wanted(arguments)) return 2;
    if (!is_free(*slot)) return 1;
    if (!run_psql(arguments.database, {{"slot", arguments.slot}}, kDrop)) return 1;
    std::fprintf(stderr, "Dropped slot \"%s\".\n", arguments.slot.c_str());
    return 0;
}

}  // namespace fatwal::cli
