// What `fatwal doctor` finds in what was observed.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "client/cli/diagnosis.h"

namespace fatwal {
namespace cli_diagnosis_tests {

using cli::Finding;
using cli::Observed;
using cli::Severity;
using Json = nlohmann::json;

constexpr std::int64_t kGiga = 1LL << 30;

// A server and a fatwald with which all is well.
Observed well() {
    Observed out;
    out.version = "0.1.0";
    out.fatwald.emplace();
    out.fatwald->status = {{"version", "0.1.0"},
                           {"state", "streaming"},
                           {"slot", "s"},
                           {"retention_bytes", "10737418240"},
                           {"given_up", "0"},
                           {"resyncs_sent", "0"},
                           {"snapshot_failure", ""},
                           {"descriptors_used", "40"},
                           {"descriptors_limit", "1024"},
                           {"cut_subscribers", "0"}};
    out.fatwald->holds.emplace();
    out.fatwald->clock = cli::ClockDifference{3, 5};
    out.database.emplace();
    out.database->clock = cli::ClockDifference{-40, 50};
    out.database->facts = {
        {"schema_there", true},
        {"usable", true},
        {"in_recovery", false},
        {"checks", {{{"requirement", "wal_level is logical"}, {"ok", true}, {"found", "logical"}}}},
        {"credentials", Json::array()},
        {"extension", {{"installed", "0.1"}, {"available", "0.1"}}},
        {"walsenders", 1},
        {"settings",
         {{"max_slot_wal_keep_size", "51200 MB"},
          {"max_replication_slots", "10"},
          {"max_wal_senders", "10"}}},
        {"slots",
         {{{"name", "s"},
           {"ours", true},
           {"active", true},
           {"wal_status", "reserved"},
           {"safe_wal_bytes", 50 * kGiga},
           {"retained_bytes", 4096},
           {"catalog_age", 12}}}},
        {"old_transactions", Json::array()},
        {"prepared", Json::array()}};
    return out;
}

std::vector<Finding> faults(const Observed& observed) {
    std::vector<Finding> found = cli::diagnose(observed);
    std::erase_if(found, [](const Finding& each) { return each.severity == Severity::Ok; });
    return found;
}

// The one thing that is wrong: "severity what: found | advice -> mend".
std::string fault(const Observed& observed) {
    const auto found = faults(observed);
    std::string text;
    for (const Finding& each : found) {
        EXPECT_NE(each.means, "") << each.what;
        EXPECT_NE(each.mend + each.advice, "") << each.what;
        text += std::string(text.empty() ? "" : "\n") + name_of(each.severity) + ' ' +
                cli::title_of(each);
        if (!each.advice.empty()) text += " | " + each.advice;
        if (!each.mend.empty()) text += " -> " + each.mend;
    }
    return text;
}

wire::HoldEntry hold(wire::HoldKind kind, std::uint32_t held, std::uint32_t left) {
    wire::HoldEntry out;
    out.account = wire::AccountKey::from_text("7");
    out.name = "mailer";
    out.kind = static_cast<std::uint8_t>(kind);
    out.behind = 1000;
    out.held_s = held;
    out.seconds_left = left;
    out.bytes_left = 1'000'000;
    return out;
}

TEST(DiagnosisTest, WhereAllIsWellNothingIsFound) {
    EXPECT_EQ(fault(well()), "");
    EXPECT_EQ(cli::exit_status_of(cli::diagnose(well())), 0);
}

TEST(DiagnosisTest, AUnboundedSlotIsAWarningWithTwiceTheRetention) {
    Observed observed = well();
    observed.database->facts["settings"]["max_slot_wal_keep_size"] = "-1 MB";
    EXPECT_EQ(fault(observed),
              "warning max_slot_wal_keep_size does not bound the WAL of slots: it is not set | "
              "Choose less than the disk has free. -> ALTER SYSTEM SET max_slot_wal_keep_size = "
              "'20GB'; SELECT pg_reload_conf();");
    observed.database->facts["settings"]["max_slot_wal_keep_size"] = "1024 MB";
    EXPECT_EQ(faults(observed).at(0).found, "it is 1.1 GB, and retention_bytes is 10.7 GB");
}

TEST(DiagnosisTest, ASlotIsJudgedByItsStateAndItsBounds) {
    const auto with = [](const char* name, const Json& value) {
        Observed observed = well();
        observed.database->facts["slots"][0][name] = value;
        return faults(observed);
    };
    EXPECT_EQ(with("wal_status", "lost").at(0).severity, Severity::Error);
    EXPECT_EQ(with("wal_status", "unreserved").at(0).severity, Severity::Error);
    EXPECT_EQ(with("active", false).at(0).severity, Severity::Warning);
    EXPECT_EQ(with("retained_bytes", kGiga - 1).size(), 0U);
    EXPECT_EQ(with("retained_bytes", kGiga).at(0).found,
              "1.1 GB, and 53.7 GB may still be written");
    EXPECT_EQ(with("safe_wal_bytes", 1000).size(), 0U);  // of a small bound
    EXPECT_EQ(with("catalog_age", 150'000'000).at(0).severity, Severity::Warning);
    EXPECT_EQ(with("name", "other").at(0).what, "fatwald's slot is not there");
}

TEST(DiagnosisTest, ASlotThatWasThereIsLost) {
    Observed observed = well();
    observed.fatwald.reset();
    observed.database->facts["slots"] = Json::array();
    EXPECT_EQ(faults(observed).at(0).severity, Severity::Note);  // before the first start
    observed.database->facts["remembered"] = {{{"slot", "s"}, {"subscribers", 2}}};
    EXPECT_EQ(fault(observed).substr(0, 59),
              "error slot \"s\" is gone: 2 durable subscribers wait for it |");
    observed.database->facts["remembered"][0]["subscribers"] = 0;
    EXPECT_EQ(faults(observed).at(0).found, "fatwald had it before");
    observed.slot = "another";
    EXPECT_EQ(faults(observed).at(0).what, "fatwald's slot is not there");
}

TEST(DiagnosisTest, AnotherSlotCountsOnceItKeepsMuch) {
    Observed observed = well();
    observed.database->facts["slots"].push_back(
        {{"name", "it's"}, {"ours", false}, {"active", false}, {"retained_bytes", kGiga - 1}});
    EXPECT_EQ(fault(observed), "");
    observed.database->facts["slots"][1]["retained_bytes"] = 2 * kGiga;
    EXPECT_EQ(fault(observed),
              "warning slot \"it's\", not fatwald's, keeps WAL: 2.1 GB | Drop it only if "
              "nobody needs it. -> SELECT pg_drop_replication_slot('it''s');");
}

TEST(DiagnosisTest, SlotsAndSendersAreToBeFree) {
    Observed observed = well();
    observed.database->facts["settings"]["max_replication_slots"] = "4";
    EXPECT_EQ(fault(observed), "");
    observed.database->facts["settings"]["max_replication_slots"] = "3";
    EXPECT_EQ(fault(observed),
              "warning max_replication_slots leaves few free: 1 of 3 are in use | Then restart the "
              "server. -> ALTER SYSTEM SET max_replication_slots = 6;");
}

TEST(DiagnosisTest, ARowOfTheDatabasesOwnCheckHasAMeaning) {
    Observed observed = well();
    Json& checks = observed.database->facts["checks"];
    checks.push_back({{"requirement", "public.t has REPLICA IDENTITY FULL"},
                      {"ok", false},
                      {"found", "default"},
                      {"mend", "ALTER TABLE public.t REPLICA IDENTITY FULL;"}});
    EXPECT_EQ(fault(observed),
              "error public.t lacks REPLICA IDENTITY FULL: it has default -> ALTER TABLE public.t "
              "REPLICA IDENTITY FULL;");
    EXPECT_EQ(faults(observed).at(0).id, "replica-identity:public.t");
    EXPECT_EQ(cli::exit_status_of(cli::diagnose(observed)), 2);
    checks[1] = {{"requirement", "public.t names its account"},
                 {"ok", nullptr},
                 {"found", "no column account_id"},
                 {"mend", "SELECT 1;"}};
    EXPECT_EQ(faults(observed).at(0).severity, Severity::Note);
    EXPECT_EQ(cli::exit_status_of(cli::diagnose(observed)), 0);
}

TEST(DiagnosisTest, ARowsStatementsAreApartFromWhatOnlyAPersonCanDo) {
    const auto with = [](const char* requirement, const char* found, const char* mend) {
        Observed observed = well();
        observed.database->facts["checks"] = {
            {{"requirement", requirement}, {"ok", false}, {"found", found}, {"mend", mend}}};
        return fault(observed) + " (" + faults(observed).at(0).id + ')';
    };
    EXPECT_EQ(with("wal_level is logical", "replica",
                   "ALTER SYSTEM SET wal_level = logical; then restart the server"),
              "error wal_level is not logical: it is replica | Then restart the server. -> ALTER "
              "SYSTEM SET wal_level = logical; (wal-level)");
    EXPECT_EQ(with("the row filter of publication p on public.t cannot fail", "(1 / a) = 1",
                   "keep such rows out by a CHECK constraint"),
              "warning the row filter of publication p on public.t can fail: (1 / a) = 1 | Keep "
              "such rows out by a CHECK constraint. (row-filter:p/public.t)");
    EXPECT_EQ(with("a publication has fatwal.credential, which fatwald follows", "none",
                   "CREATE PUBLICATION ... FOR TABLE fatwal.credential"),
              "error no publication has fatwal.credential, which fatwald follows: none | CREATE "
              "PUBLICATION ... FOR TABLE fatwal.credential. (own-table:fatwal.credential)");
    EXPECT_EQ(with("the moon is full", "half", "wait"),
              "error fatwal.check() asks in vain: the moon is full: half | Wait. "
              "(check:the moon is full)");
}

TEST(DiagnosisTest, HoldsAreNotesUntilTheirEndIsNear) {
    Observed observed = well();
    const auto with = [&](const wire::HoldEntry& entry) {
        observed.fatwald->holds = {entry};
        return fault(observed);
    };
    EXPECT_EQ(with(hold(wire::HoldKind::Unacknowledged, 5, 3595)), "");  // comes and goes
    EXPECT_EQ(with(hold(wire::HoldKind::Absent, 5, 3595)),
              "note the slot is held back: \"mailer\" of account 7 is absent, 1.0 kB behind for "
              "5 s; dropped in 59 min or after 1.0 MB | Start it. Only if it does not come back, "
              "forget it. -> fatwal subscribers forget mailer --account 7");
    EXPECT_EQ(with(hold(wire::HoldKind::Absent, 2700, 900)).substr(0, 7), "warning");
    EXPECT_EQ(with(hold(wire::HoldKind::Replay, 61, 3600)).substr(0, 4), "note");
    observed.disguise = [](const std::string& name) { return "#" + name; };
    EXPECT_NE(with(hold(wire::HoldKind::Absent, 5, 3595)).find("\"#mailer\" of account #7"),
              std::string::npos);
}

TEST(DiagnosisTest, AnOlderFatwaldHasNoListOfHolds) {
    Observed observed = well();
    observed.fatwald->holds.reset();
    EXPECT_NE(fault(observed).find("fatwal.grant_operators"), std::string::npos);
    observed.fatwald->knows_holds = false;
    EXPECT_EQ(fault(observed),
              "note who keeps WAL cannot be listed: fatwald is older | Upgrade fatwald: "
              "UPGRADING.md.");
}

TEST(DiagnosisTest, OnlyTheWorstHoldsAreListed) {
    Observed observed = well();
    observed.fatwald->holds = std::vector(8, hold(wire::HoldKind::Absent, 5, 3595));
    const auto found = faults(observed);
    ASSERT_EQ(found.size(), 6U);
    EXPECT_EQ(found.back().found, "3");
}

TEST(DiagnosisTest, DescriptorsAreCountedAgainstTheirLimit) {
    const auto with = [](const char* used) {
        Observed observed = well();
        observed.fatwald->status["descriptors_used"] = used;
        const auto found = faults(observed);
        return found.empty() ? Severity::Ok : found.at(0).severity;
    };
    EXPECT_EQ(with("511"), Severity::Ok);
    EXPECT_EQ(with("512"), Severity::Warning);
    EXPECT_EQ(with("922"), Severity::Error);
}

TEST(DiagnosisTest, CountsOfWhatShouldNotHappen) {
    Observed observed = well();
    observed.fatwald->status["given_up"] = "2";
    observed.fatwald->status["resyncs_sent"] = "9";
    const auto found = faults(observed);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].severity, Severity::Warning);  // the worst first
    EXPECT_EQ(found[0].found, "given_up is 2");       // of an older fatwald, which has no uptime
    EXPECT_EQ(found[1].severity, Severity::Note);
    EXPECT_EQ(found[1].mend, "");
    observed.fatwald->status["uptime_seconds"] = "7500";
    EXPECT_EQ(faults(observed)[1].found, "resyncs_sent is 9 since fatwald began 2 h 5 min ago");
    EXPECT_NE(faults(observed)[1].advice.find("only a rise"), std::string::npos);
}

TEST(DiagnosisTest, AStateOtherThanStreamingIsAFault) {
    Observed observed = well();
    observed.fatwald->status["state"] = "stalled";
    EXPECT_EQ(cli::exit_status_of(cli::diagnose(observed)), 2);
    observed.fatwald->status["state"] = "connecting";
    EXPECT_EQ(cli::exit_status_of(cli::diagnose(observed)), 1);
}

TEST(DiagnosisTest, AFatwaldThatConnectsIsJudgedByItsReason) {
    Observed observed = well();
    observed.fatwald->status["state"] = "connecting";
    const auto with = [&](const char* reason) {
        observed.fatwald->status["state_reason"] = reason;
        return fault(observed);
    };
    // It has failed, and now waits for the one that has the slot.
    EXPECT_EQ(
        with("the stream has ended"),
        "warning fatwald waits for its slot: another process reads it | Nothing is to be done "
        "if it is the one that is to take over. -> SELECT * FROM pg_stat_replication;");
    // Nobody reads the slot: that is no finding of its own, as fatwald is about to.
    observed.database->facts["slots"][0]["active"] = false;
    EXPECT_EQ(with("cannot connect to Postgres. db: Connection refused"),
              "error fatwald does not stream: cannot connect to Postgres. db: Connection refused | "
              "Check that the server runs, and the network from fatwald's host to it.");
    EXPECT_EQ(with("the role may not replicate. ALTER ROLE f REPLICATION;"),
              "error fatwald does not stream: the role may not replicate. ALTER ROLE f "
              "REPLICATION; | Grant what the reason names.");
    EXPECT_NE(with("slot \"s\" is missing").find("-> systemctl set-environment"),
              std::string::npos);
    EXPECT_EQ(with("").substr(0, 35), "warning fatwald does not stream yet");
    // One that streams reads a slot, but not this one.
    observed.fatwald->status["state"] = "streaming";
    EXPECT_EQ(with("").find("systemctl"), std::string::npos);
    EXPECT_EQ(faults(observed).at(0).id, "slot-read:s");
    observed.fatwald.reset();
    EXPECT_EQ(faults(observed).at(0).mend, "systemctl start fatwald");
}

TEST(DiagnosisTest, AnOldTransactionIsNamedByWhatEndsIt) {
    Observed observed = well();
    observed.database->facts["old_transactions"] = {
        {{"pid", 77}, {"seconds", 7500}, {"state", "idle in transaction"}}};
    EXPECT_EQ(fault(observed),
              "warning a transaction is old: process 77 has had it for 2 h 5 min (idle in "
              "transaction) | Let it end, or end it. -> SELECT pg_terminate_backend(77);");
    observed = well();
    observed.database->facts["prepared"] = {{{"gid", "it's"}, {"seconds", 700}}};
    EXPECT_EQ(fault(observed),
              "warning a prepared transaction is old: \"it's\" was prepared 11 min ago | Only its "
              "owner knows which is right: COMMIT PREPARED 'it''s'; or ROLLBACK PREPARED "
              "'it''s';");
}

TEST(DiagnosisTest, AStandbyAndAPoolerAreNotThePrimary) {
    Observed observed = well();
    observed.database->facts["in_recovery"] = true;
    EXPECT_EQ(faults(observed).at(0).what, "the server is a standby");
    observed = well();
    observed.database->pooled = true;
    EXPECT_EQ(faults(observed).at(0).severity, Severity::Error);
}

TEST(DiagnosisTest, ACredentialIsNamedFourteenDaysAhead) {
    const auto with = [](std::int64_t left) {
        Observed observed = well();
        observed.database->facts["credentials"] = {{{"name", "w"}, {"expires_in_s", left}}};
        return fault(observed);
    };
    EXPECT_EQ(with(14 * 86'400), "");
    EXPECT_EQ(with(14 * 86'400 - 1),
              "warning the key of credential \"w\" expires soon: in 13 d 23 h | fatwal keygen "
              "FILE makes another key and prints its public part; give that to "
              "fatwal.add_credential('w', …).");
    EXPECT_EQ(with(-90).substr(0, 5), "error");
}

TEST(DiagnosisTest, AClockIsWrongOnlyBeyondWhatIsUnsure) {
    const auto with = [](std::int64_t ahead, std::int64_t unsure) {
        Observed observed = well();
        observed.fatwald->clock = cli::ClockDifference{ahead, unsure};
        const auto found = faults(observed);
        return found.empty() ? Severity::Ok : found.at(0).severity;
    };
    EXPECT_EQ(with(1900, 0), Severity::Ok);
    EXPECT_EQ(with(9000, 8000), Severity::Ok);
    EXPECT_EQ(with(-9000, 100), Severity::Warning);
    EXPECT_EQ(with(70'000, 100), Severity::Error);
}

TEST(DiagnosisTest, VersionsThatDiffer) {
    Observed observed = well();
    observed.fatwald->status["version"] = "0.2.0";
    ASSERT_EQ(faults(observed).size(), 2U);  // of fatwal, and of the extension
    observed = well();
    observed.database->facts["extension"]["available"] = "0.2";
    EXPECT_EQ(faults(observed).at(0).mend, "ALTER EXTENSION fatwal UPDATE;");
    observed = well();
    observed.database->facts["extension"] = nullptr;
    observed.database->facts["managed"] = "fatwal 0.1 without its extension, script 1";
    observed.managed = "fatwal 0.1 without its extension, script 2";
    EXPECT_EQ(faults(observed).at(0).about, std::string("versions"));
}

TEST(DiagnosisTest, AKeyFileThatOthersReadIsAnError) {
    Observed observed = well();
    observed.key_file = {"k", 0100640, ""};
    EXPECT_EQ(fault(observed),
              "error others may read the key file k: its mode is 0640 -> chmod 600 k");
    observed.key_file = {"my key's", 0100640, ""};
    EXPECT_EQ(faults(observed).at(0).mend, "chmod 600 'my key'\\''s'");
    observed.key_file = {"k", 0100600, ""};
    EXPECT_EQ(fault(observed), "");
}

TEST(DiagnosisTest, WhatCannotBeReachedIsAnErrorAndHidesNothingElse) {
    Observed observed = well();
    observed.fatwald->status.clear();
    observed.fatwald->failure = "no reply within 5 s.";
    observed.database->facts["slots"][0]["active"] = false;
    const auto found = faults(observed);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(cli::title_of(found[0]), "fatwald does not answer: no reply within 5 s");
    EXPECT_EQ(found[1].what, "slot \"s\" is not read");
    observed.database->facts = nullptr;
    observed.database->failure = "no route";
    EXPECT_EQ(faults(observed).size(), 2U);
}

TEST(FindingTest, TheTableIsWrappedButStatementsAreWhole) {
    const std::string statement = "SELECT " + std::string(90, 'x') + ';';
    std::vector<Finding> findings = {
        {Severity::Ok, "slot", "it", "a", "b"},
        {Severity::Warning, "database", "them", "one two three four five six seven", "",
         "It is bad.", statement, "See to it."}};
    cli::sort_by_severity(findings);
    EXPECT_EQ(cli::to_table(findings, false, 45),
              "warning  database  one two three four five\n"
              "                   six seven\n"
              "                   It is bad.\n"
              "                   See to it.\n"
              "                   -> " +
                  statement + "\n1 check is well (-v lists them).\n");
    EXPECT_NE(cli::to_table(findings, true, 45).find("ok       slot      a: b\n"),
              std::string::npos);
}

TEST(FindingTest, LinesBecomeSentences) {
    EXPECT_EQ(cli::in_one_line("it failed: no file\n\tIs it there?\n"),
              "it failed: no file. Is it there?");
    EXPECT_EQ(cli::in_one_line("it failed.\n  detail:  two"), "it failed. detail: two");
    EXPECT_EQ(cli::title_of({Severity::Error, "fatwald", "it", "it fails", "no file."}),
              "it fails: no file");
    Observed observed = well();
    observed.fatwald->failure =
        "fatwald does not answer at ipc://x. Is it running, with this --control?";
    EXPECT_EQ(cli::title_of(faults(observed).at(0)), "fatwald does not answer: at ipc://x");
}

TEST(FindingTest, JsonOfABadEncodingIsJson) {
    const std::string line = cli::finding_json({Severity::Note, "slot", "it", "a\xff", "b"});
    EXPECT_EQ(Json::parse(line).at("severity"), "note");
    EXPECT_EQ(Json::parse(line).at("id"), "it");
    EXPECT_EQ(Json::parse(line).at("advice"), "");
}

}  // namespace cli_diagnosis_tests
}  // namespace fatwal
