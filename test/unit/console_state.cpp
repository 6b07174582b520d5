// What the console's first page says of what was observed.
#include "client/console/state.h"

#include <gtest/gtest.h>

namespace fatwal::console {
namespace console_state_tests {

using cli::Observed;

Observed::Fatwald fatwald(std::map<std::string, std::string> status) {
    std::map<std::string, std::string> all = {
        {"state", "streaming"},       {"version", "0.1.0"}, {"slot", "fatwal"},
        {"subscribers", "3"},         {"accounts", "1"},    {"descriptors_used", "5"},
        {"descriptors_limit", "1000"}};
    for (auto& [name, value] : status) all[name] = value;
    Observed::Fatwald out;
    out.status = std::move(all);
    out.holds.emplace();
    return out;
}

Observed::Fatwald gone() {
    Observed::Fatwald out;
    out.failure = "no reply";
    return out;
}

Seen seen(std::int64_t at_ms, std::vector<Observed::Fatwald> fatwalds) {
    Seen out;
    out.at_ms = at_ms;
    for (std::size_t i = 0; i < fatwalds.size(); ++i)
        out.endpoints.push_back("ipc://" + std::to_string(i));
    out.fatwalds = std::move(fatwalds);
    return out;
}

TEST(ConsoleState, ShowsTheOneThatStreams) {
    EXPECT_EQ(active_of({}), std::nullopt);
    EXPECT_EQ(active_of({gone(), gone()}), std::nullopt);
    EXPECT_EQ(active_of({gone(), fatwald({{"state", "connecting"}})}), 1U);
    EXPECT_EQ(active_of({fatwald({{"state", "connecting"}}), fatwald({})}), 1U);
    EXPECT_EQ(active_of({fatwald({{"state", "stalled"}}), gone()}), 0U);

    State state("0.1.0");
    const Json page = state.update(seen(1000, {fatwald({{"state", "connecting"}}), fatwald({})}));
    EXPECT_EQ(page["active"], 1);
    EXPECT_EQ(page["fatwalds"][0]["state"], "standby");
    EXPECT_EQ(page["fatwalds"][1]["state"], "streaming");
}

TEST(ConsoleState, SaysInOneSentenceWhetherItIsWell) {
    State state("0.1.0");
    const auto verdict = [&](std::vector<Observed::Fatwald> fatwalds) {
        return state.update(seen(1000, std::move(fatwalds)))["verdict"];
    };
    Json said = verdict({fatwald({{"retained_wal_bytes", "2048"}})});
    EXPECT_EQ(said["severity"], "ok");
    EXPECT_EQ(
        said["sentence"],
        "All is well: fatwald streams to 3 subscribers of 1 account; its slot keeps 2.0 kB of "
        "WAL.");
    said = verdict({gone()});
    EXPECT_EQ(said["severity"], "error");
    EXPECT_NE(said["sentence"].get<std::string>().find("no reply"), std::string::npos) << said;
    EXPECT_NE(said["mend"], "");
    EXPECT_EQ(said["sentence"].get<std::string>().find(".."), std::string::npos) << said;
    said = verdict({fatwald({}), gone()});
    EXPECT_EQ(said["severity"], "warning");
    EXPECT_NE(said["sentence"].get<std::string>().find("take over"), std::string::npos) << said;
    said = verdict({fatwald({{"state", "stalled"}})});
    EXPECT_EQ(said["severity"], "error");
    // Who has not answered yet is not well.
    Seen unknown = seen(1000, {fatwald({})});
    unknown.asks_database = true;
    EXPECT_EQ(state.update(unknown)["verdict"]["severity"], "note");
    EXPECT_TRUE(state.update(unknown)["database_failure"].is_string());
    EXPECT_EQ(verdict({Observed::Fatwald()})["severity"], "note");
}

TEST(ConsoleState, RatesAreDifferencesOverSomeSeconds) {
    State state("0.1.0");
    const auto flow = [&](std::int64_t at_ms, std::uint64_t changes, const char* latency = "") {
        return state.update(seen(at_ms, {fatwald({{"published_changes", std::to_string(changes)},
                                                  {"received_lsn", "0/100"},
                                                  {"uptime_seconds", std::to_string(at_ms / 1000)},
                                                  {"publish_latency", latency}})}))["flow"];
    };
    EXPECT_TRUE(flow(100'000, 1000)["changes_s"].is_null());
    EXPECT_EQ(flow(101'000, 1100)["changes_s"], 100.0);
    for (int second = 102; second <= 110; ++second) (void)flow(second * 1000, 1100);
    EXPECT_EQ(flow(111'000, 1100)["changes_s"], 0.0);
    const Json last = flow(112'000, 1600, "0.001=98 0.01=1 inf=1");
    EXPECT_EQ(last["changes_s"], 100.0);
    EXPECT_EQ(last["wal_bytes_s"], 0.0);
    EXPECT_EQ(last["publish_p50_ms"], 1.0);
    EXPECT_EQ(last["publish_p99_ms"], 10.0);
    EXPECT_TRUE(last["frames_s"].is_null());
}

TEST(ConsoleState, AnotherProcessesCountsBeginAgain) {
    State state("0.1.0");
    const auto rate = [&](std::int64_t at_ms, const char* changes, const char* uptime) {
        return state.update(
            seen(at_ms, {fatwald({{"published_changes", changes},
                                  {"uptime_seconds", uptime}})}))["flow"]["changes_s"];
    };
    (void)rate(100'000, "1000", "50");
    EXPECT_EQ(rate(101'000, "1010", "51"), 10.0);
    EXPECT_TRUE(rate(102'000, "5", "0").is_null());
    EXPECT_EQ(rate(103'000, "7", "1"), 2.0);
    // One that counts more than the one before it.
    EXPECT_TRUE(rate(110'000, "9000", "2").is_null());
}

TEST(ConsoleState, LagsAreCountedFromTheEndOfTheWal) {
    State state("0.1.0");
    Seen now = seen(1000, {fatwald({{"received_lsn", "1/0"}, {"confirmed_lsn", "0/FFFFFF00"}})});
    now.slot = {{"current_lsn", "1/10"},
                {"max_slot_wal_keep_size", 5000},
                {"at", 900},
                {"slot", {{"name", "fatwal"}, {"retained_bytes", 272}}}};
    const Json page = state.update(now);
    EXPECT_EQ(page["flow"]["lag_received_bytes"], 16);
    EXPECT_EQ(page["flow"]["lag_confirmed_bytes"], 272);
    EXPECT_TRUE(page["flow"]["lag_published_bytes"].is_null());
    EXPECT_EQ(page["slot"]["max_slot_wal_keep_size"], 5000);
    EXPECT_EQ(page["point"]["retained_bytes"], 272);
    EXPECT_EQ(page["point"]["limit_bytes"], 5000);
}

TEST(ConsoleState, TheHistoryHasAPointEachTwoSecondsAndABound) {
    State state("0.1.0");
    for (int i = 0; i < 10; ++i) (void)state.update(seen(1000 * i, {fatwald({})}));
    EXPECT_EQ(state.history()["points"].size(), 5U);
    for (std::size_t i = 0; i < 2 * State::kMostPoints; ++i)
        (void)state.update(seen(static_cast<std::int64_t>(100'000 + 2000 * i), {fatwald({})}));
    EXPECT_EQ(state.history()["points"].size(), State::kMostPoints);
}

TEST(ConsoleState, HoldsAreShownAsTheyCome) {
    wire::HoldEntry hold;
    hold.account = wire::AccountKey::from_text("7");
    hold.name = "mailer";
    hold.kind = static_cast<std::uint8_t>(wire::HoldKind::Absent);
    hold.from = 16;
    hold.seconds_left = 60;
    EXPECT_EQ(hold_json(hold)["account"], "7");
    EXPECT_EQ(hold_json(hold)["kind"], "absent");
    EXPECT_EQ(hold_json(hold)["from"], "0/10");
    EXPECT_EQ(hold_json(hold)["dropped_in_seconds"], 60);
    EXPECT_TRUE(hold_json(wire::HoldEntry())["account"].is_null());
    EXPECT_TRUE(hold_json(wire::HoldEntry())["name"].is_null());
}

}  // namespace console_state_tests
}  // namespace fatwal::console
