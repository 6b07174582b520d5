// `fatwal init`: sets a database up for fatwald, for those who have no superuser, too.
//
// One query (init.sql) compares the database with what is asked for. It gives the statements that
// are missing, in the order in which they have to be run, each with who may run it, and what no
// statement mends. If the caller may run all of them, they run in one transaction; else none runs,
// and they are printed with who has to run them first. So nothing is left half-done, and a second
// run finds nothing to do.
//
// The publication comes before the slot, as pgoutput cannot decode changes from before it; the
// identities come before the publication, from which on the server refuses writes to tables
// without.
#include <nlohmann/json.hpp>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/provider.h"
#include "client/cli/psql.h"
#include "client/cli/scripts.h"

namespace fatwal::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kFailed = 1;
constexpr int kForOthers = 3;

// An ALTER TABLE that waits for a long transaction keeps the application waiting behind it.
constexpr char kBegin[] = "BEGIN;\nSET LOCAL lock_timeout = '5s';\n";

struct Problem {
    std::string text;
    std::string found;
    std::string mend;
};

struct Step {
    std::string sql;     // empty: the script that makes the schema without the extension
    std::string who;     // who has to run it; empty: the caller may
    bool apart = false;  // not in the transaction of the others

    [[nodiscard]] const char* statement() const {
        return sql.empty() ? kManagedScript : sql.c_str();
    }
    [[nodiscard]] std::string name() const {
        return sql.empty() ? "-- the schema fatwal without the extension (fatwal-managed.sql)"
                           : sql;
    }
};

struct Plan {
    std::vector<Problem> problems;
    std::vector<Step> steps;

    [[nodiscard]] bool is_for_caller() const {
        for (const Step& step : steps)
            if (!step.who.empty()) return false;
        return problems.empty();
    }
};

std::string member(const Json& line, const char* key) {
    const auto found = line.find(key);
    return found == line.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

std::optional<Plan> plan_for(const InitArguments& arguments) {
    const Provider& by = provider(arguments.provider);
    Json columns = Json::array();
    for (const std::string& setting : arguments.account_columns) {
        const std::size_t at = setting.rfind('=');
        columns.push_back({{"table", setting.substr(0, at)}, {"column", setting.substr(at + 1)}});
    }
    const auto flag = [](bool set) { return std::string(set ? "true" : "false"); };
    const auto output = run_psql(arguments.database,
                                 {{"publication", arguments.publication},
                                  {"slot", arguments.slot},
                                  {"tables", Json(arguments.tables).dump()},
                                  {"all_tables", flag(arguments.all_tables)},
                                  {"columns", columns.dump()},
                                  {"role", arguments.role},
                                  {"plugin", arguments.plugin},
                                  {"provider", by.name},
                                  {"replication_role", by.replication_role},
                                  {"admin", by.admin},
                                  {"role_mend", by.role},
                                  {"wal_level_mend", by.wal_level},
                                  {"idle_mend", by.idle_timeout},
                                  {"keep_identities", flag(arguments.keep_identities)},
                                  {"create_slot", flag(arguments.create_slot)},
                                  {"managed_comment", kManagedComment}},
                                 kInitScript);
    if (!output) return std::nullopt;
    Plan plan;
    if (is_pooled(arguments.database))
        plan.problems.push_back({"a connection pooler answers, which passes no replication slot on",
                                 "it refused a replication connection",
                                 std::string("give --database ") + by.address});
    for (const Json& line : Json::parse(*output)) {
        if (line.contains("problem"))
            plan.problems.push_back(
                {member(line, "problem"), member(line, "found"), member(line, "mend")});
        else
            plan.steps.push_back(
                {member(line, "sql"), member(line, "who"), line.value("apart", false)});
    }
    return plan;
}

// As a script for psql, by whoever may run all of it.
void print_script(const Plan& plan) {
    std::puts("\\set ON_ERROR_STOP on");
    for (const Problem& problem : plan.problems)
        std::printf("-- NOT OK: %s (%s)\n--   %s\n", problem.text.c_str(), problem.found.c_str(),
                    problem.mend.c_str());
    if (plan.steps.empty()) {
        std::puts("-- All is there: nothing to do.");
        return;
    }
    std::fputs(kBegin, stdout);
    bool within = true;
    for (const Step& step : plan.steps) {
        if (within && step.apart) std::puts("COMMIT;");
        within = within && !step.apart;
        if (!step.who.empty()) std::printf("-- to be run by %s\n", step.who.c_str());
        std::puts(step.statement());
    }
    if (within) std::puts("COMMIT;");
}

void print_what_others_do(const Plan& plan) {
    std::fputs("Nothing was changed. First:\n", stdout);
    for (const Problem& problem : plan.problems)
        std::printf("  NOT OK %s: %s\n           %s\n", problem.text.c_str(), problem.found.c_str(),
                    problem.mend.c_str());
    std::string last;
    for (const Step& step : plan.steps) {
        if (step.who.empty()) continue;
        if (step.who != last) std::printf("  to be run by %s:\n", step.who.c_str());
        last = step.who;
        std::printf("           %s\n", step.name().c_str());
    }
    std::fputs("Then run fatwal init again. --dry-run prints all as one script.\n", stdout);
}

bool execute(const InitArguments& arguments, const Plan& plan) {
    std::string together;
    std::string apart;
    for (const Step& step : plan.steps)
        (step.apart ? apart : together).append(step.statement()).append("\n");
    // Our own functions say what is there already as notices.
    constexpr char kQuiet[] = "SET client_min_messages = warning;\n";
    if (!together.empty() &&
        !run_psql(arguments.database, {}, kQuiet + (kBegin + together) + "COMMIT;\n")) {
        std::fputs("Nothing was changed: the transaction was rolled back.\n", stderr);
        return false;
    }
    for (const Step& step : plan.steps)
        if (!step.apart) std::printf("  done   %s\n", step.name().c_str());
    if (apart.empty()) return true;
    if (!run_psql(arguments.database, {}, apart)) {
        std::fputs("All but the slot is there.\n", stderr);
        return false;
    }
    for (const Step& step : plan.steps)
        if (step.apart) std::printf("  done   %s\n", step.name().c_str());
    return true;
}

}  // namespace

int init(const InitArguments& arguments) {
    const auto plan = plan_for(arguments);
    if (!plan) return kFailed;
    if (arguments.dry_run) {
        print_script(*plan);
        return plan->is_for_caller() ? 0 : kForOthers;
    }
    if (!plan->is_for_caller()) {
        print_what_others_do(*plan);
        return kForOthers;
    }
    if (plan->steps.empty())
        std::puts("All is there: nothing to do.");
    else if (!execute(arguments, *plan))
        return kFailed;
    std::printf(
        "Next: a password for role %s, if it needs one (\\password in psql); fatwal doctor "
        "--database …; fatwald%s --publication %s --slot %s …\n",
        arguments.role.c_str(), arguments.plugin == "pgoutput" ? " --plugin pgoutput" : "",
        arguments.publication.c_str(), arguments.slot.c_str());
    return 0;
}

}  // namespace fatwal::cli
