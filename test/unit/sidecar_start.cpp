// The decisions that are pure: what a new stream means, what is done before a confirmation, where a
// replay comes from.
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "fatwal/wire/invariant.h"
#include "sidecar/delivery/confirmation.h"
#include "sidecar/delivery/start.h"
#include "sidecar/subscribers/replay_source.h"

namespace fatwal::sidecar {
namespace start_tests {

std::string text_of(const Start& start) {
    if (std::holds_alternative<FirstStart>(start)) return "first start";
    if (std::holds_alternative<Resumed>(start)) return "resumed";
    if (const auto* taken = std::get_if<TakenOver>(&start))
        return taken->other_timeline ? "other timeline" : "taken over";
    switch (std::get<Gap>(start).why) {
        case GapReason::SlotCreated: return "gap: created";
        case GapReason::OtherHistory: return "gap: history";
        case GapReason::ServerBehind: return "gap: behind";
        case GapReason::SlotMoved: return "gap: moved";
    }
    return {};
}

// What this process published before: up to 200, confirmed up to 100, on timeline 2 of cluster 7.
constexpr wire::Lsn kConfirmed = 100;
constexpr wire::Lsn kPublished = 200;
const wire::History kPrevious{7, 2};

// One input in words. A row of the table below leaves out what does not matter in it.
struct Case {
    std::string previous;  // "none", "some"
    std::string slot;      // "created", "kept"
    std::string
        history;         // "same"; "later": a later timeline that has all; "lost": one that has not
    std::string server;  // "ahead", "behind" what was published
    std::string begin;   // "back": not beyond `confirmed`; "between"; "beyond" what was published
    std::string promised;  // "here"; "elsewhere": by another fatwald
    std::string recorded;  // "yes": as far as the slot's beginning; "no"
    std::string needed;    // "yes": somebody has acknowledged less than the slot's beginning; "no"

    [[nodiscard]] std::vector<std::string> words() const {
        return {previous, slot, history, server, begin, promised, recorded, needed};
    }
};

Start classify(const Case& c) {
    PreviousStream previous;
    if (c.previous == "some") previous = {true, kPrevious, kConfirmed, kPublished};
    FoundSlot found;
    found.created = c.slot == "created";
    found.begin = c.begin == "back" ? 90 : c.begin == "between" ? 150 : 250;
    found.server_end = c.server == "ahead" ? 300 : 199;
    found.recorded = c.recorded == "yes" ? found.begin : found.begin - 1;
    found.timelines.now = kPrevious;
    if (c.history != "same")
        found.timelines = {{7, 3}, {{2, c.history == "later" ? kPublished : kPublished - 1}}};
    found.promised_by_another = c.promised == "elsewhere";
    found.oldest_acknowledged = c.needed == "yes" ? found.begin - 1 : found.begin;
    return classify_start(previous, found);
}

// The first row that fits an input says what comes of it. "" fits anything.
struct Row {
    Case when;
    std::string expected;
};
const std::vector<Row> kStarts = {
    {{"none", "created", "", "", "", "", "", "no"}, "first start"},
    {{"none", "created", "", "", "", "", "", "yes"}, "gap: created"},
    {{"none", "kept", "", "", "", "", "no", "yes"}, "gap: moved"},
    {{"none", "kept", "", "", "", "", "", ""}, "first start"},
    {{"some", "created", "", "", "", "", "", ""}, "gap: created"},
    {{"some", "kept", "lost", "", "", "", "", ""}, "gap: history"},
    {{"some", "kept", "", "behind", "", "", "", ""}, "gap: behind"},
    {{"some", "kept", "same", "", "back", "here", "", ""}, "resumed"},
    {{"some", "kept", "later", "", "back", "here", "", ""}, "other timeline"},
    {{"some", "kept", "", "", "", "", "no", "yes"}, "gap: moved"},
    {{"some", "kept", "", "", "beyond", "", "no", ""}, "gap: moved"},
    {{"some", "kept", "same", "", "", "", "", ""}, "taken over"},
    {{"some", "kept", "later", "", "", "", "", ""}, "other timeline"},
};

bool fits(const Case& when, const Case& input) {
    const auto wanted = when.words();
    const auto words = input.words();
    for (std::size_t i = 0; i < words.size(); ++i)
        if (!wanted[i].empty() && wanted[i] != words[i]) return false;
    return true;
}

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (const char* previous : {"none", "some"})
        for (const char* slot : {"created", "kept"})
            for (const char* history : {"same", "later", "lost"})
                for (const char* server : {"ahead", "behind"})
                    for (const char* begin : {"back", "between", "beyond"})
                        for (const char* promised : {"here", "elsewhere"})
                            for (const char* recorded : {"yes", "no"})
                                for (const char* needed : {"yes", "no"})
                                    cases.push_back({previous, slot, history, server, begin,
                                                     promised, recorded, needed});
    return cases;
}

std::string joined(const Case& input) {
    std::string text;
    for (const std::string& word : input.words()) text += word + ' ';
    return text;
}

TEST(Start, EachInputIsAsTheTableSays) {
    std::vector<std::size_t> used(kStarts.size());
    for (const Case& input : all_cases()) {
        std::size_t row = 0;
        while (row < kStarts.size() && !fits(kStarts[row].when, input)) ++row;
        ASSERT_LT(row, kStarts.size()) << joined(input);
        ++used[row];
        EXPECT_EQ(text_of(classify(input)), kStarts[row].expected) << joined(input);
    }
    for (std::size_t row = 0; row < used.size(); ++row) EXPECT_GT(used[row], 0U) << row;
}

// The promise of docs/delivery.md, for all inputs: what is missing is never passed over.
TEST(Start, NoInputThatMissesSomethingIsPassedOver) {
    for (const Case& input : all_cases()) {
        const std::string start = text_of(classify(input));
        const bool gap = start.starts_with("gap");
        // We moved the slot ourselves, and all whom the table says it waits for are ours.
        const bool is_ours = input.begin == "back" && input.promised == "here" &&
                             (start == "resumed" || start == "other timeline");
        if (input.needed == "yes" && input.recorded == "no" && !is_ours) {
            EXPECT_TRUE(gap) << joined(input);
        }
        if (input.previous == "some" && (input.history == "lost" || input.server == "behind")) {
            EXPECT_TRUE(gap) << joined(input);
        }
        if (start == "resumed") {
            EXPECT_EQ(input.begin, "back") << joined(input);
        }
    }
}

using Facts = Confirmation::Facts;
using Step = Confirmation::Step;

// What the ledger says: confirmable up to `confirmable`, received up to 1000.
Facts facts(wire::Lsn confirmable, bool durables = false, bool all_visible = true) {
    return {confirmable, 1000, durables, all_visible, true};
}

struct ConfirmationTest : testing::Test {
    ConfirmationTest() { confirmation.begin(100, 100); }
    Confirmation confirmation;
};

TEST_F(ConfirmationTest, WithoutDurableSubscribersAPositionIsConfirmedAtOnceBehindAHeartbeat) {
    EXPECT_EQ(confirmation.due(facts(200)), (Step{false, true, std::nullopt, true}));
    EXPECT_EQ(confirmation.confirmed(), 200U);
    EXPECT_EQ(confirmation.due(facts(200)), (Step{false, false, std::nullopt, true}))
        << "the server is to answer";
}

TEST_F(ConfirmationTest, WithDurableSubscribersItIsRecordedFirstOneAtATime) {
    EXPECT_EQ(confirmation.due(facts(200, true)), (Step{false, true, 200, true}));
    EXPECT_EQ(confirmation.confirmed(), 100U);
    EXPECT_EQ(confirmation.due(facts(300, true)), (Step{false, true, std::nullopt, true}));
    EXPECT_EQ(confirmation.confirmed(), 100U);
    EXPECT_EQ(confirmation.recorded(200, facts(300, true)),
              (Step{false, false, std::nullopt, true}));
    EXPECT_EQ(confirmation.confirmed(), 200U);
    EXPECT_EQ(confirmation.due(facts(300, true)), (Step{false, true, 300, true}));
}

TEST_F(ConfirmationTest, ARecordThatFailedIsTriedAgain) {
    (void)confirmation.due(facts(200, true));
    confirmation.keeper_failed();
    EXPECT_FALSE(confirmation.records());
    EXPECT_EQ(confirmation.due(facts(200, true)).record, 200U);
    EXPECT_EQ(confirmation.confirmed(), 100U);
}

TEST_F(ConfirmationTest, AServerThatAsksIsConfirmedToWithEachEvent) {
    EXPECT_EQ(confirmation.visible(facts(200)), Step{});
    EXPECT_EQ(confirmation.stored(facts(200)), Step{});
    EXPECT_EQ(confirmation.server_asks(facts(200, false, false)),
              (Step{true, true, std::nullopt, true}));
    EXPECT_TRUE(confirmation.urgent());
    EXPECT_EQ(confirmation.server_asks(facts(200, false, false)).ask, false) << "it is asked";
    EXPECT_EQ(confirmation.visible(facts(300)), (Step{false, true, std::nullopt, true}));
    EXPECT_EQ(confirmation.stored(facts(1000)), (Step{false, true, std::nullopt, true}));
    EXPECT_FALSE((void(confirmation.server_asks(facts(1000))), confirmation.urgent()))
        << "all is confirmed";
}

TEST_F(ConfirmationTest, AServerThatGoesDownGetsNoRecords) {
    (void)confirmation.due(facts(200, true));
    EXPECT_EQ(confirmation.server_goes_down(facts(300, true), {}),
              (Step{false, true, std::nullopt, true}));
    EXPECT_EQ(confirmation.confirmed(), 300U);
    confirmation.disconnected();
    EXPECT_EQ(confirmation.due(facts(400, true)).record, std::nullopt) << "the last is under way";
    EXPECT_EQ(confirmation.confirmed(), 300U);
}

TEST_F(ConfirmationTest, WhatIsNotVisibleIsAskedForOnceAtATime) {
    EXPECT_EQ(confirmation.tick(facts(200, false, false)), (Step{true, false, {}, false}));
    EXPECT_EQ(confirmation.tick(facts(200, false, false)), Step{});
    (void)confirmation.visible(facts(200, false, false));
    EXPECT_TRUE(confirmation.tick(facts(200, false, false)).ask);
    EXPECT_EQ(confirmation.tick(facts(200)), Step{});
}

TEST_F(ConfirmationTest, WithoutAStreamNothingIsConfirmed) {
    Facts away = facts(200, true);
    (void)confirmation.due(away);
    away.streams = false;
    EXPECT_EQ(confirmation.recorded(200, away), Step{});
    EXPECT_EQ(confirmation.due(away), Step{});
    EXPECT_EQ(confirmation.confirmed(), 100U);
    EXPECT_EQ(confirmation.due(facts(200, true)), (Step{false, true, std::nullopt, true}));
    EXPECT_EQ(confirmation.confirmed(), 200U) << "it was recorded meanwhile";
}

TEST_F(ConfirmationTest, ALedgerThatGoesBackIsAFault) {
    (void)confirmation.due(facts(200));
    EXPECT_THROW((void)confirmation.due(facts(150)), wire::InvariantError);
}

std::string text_of(const ReplaySource& source) {
    if (const auto* memory = std::get_if<FromMemory>(&source))
        return "memory from " + std::to_string(memory->from);
    if (const auto* slot = std::get_if<FromSlot>(&source))
        return "slot from " + std::to_string(slot->from);
    switch (std::get<TooOld>(source).why) {
        case TooOldReason::OtherHistory: return "too old: history";
        case TooOldReason::BeyondEnd: return "too old: beyond the end";
        case TooOldReason::Confirmable: return "too old: confirmable";
    }
    return {};
}

TEST(ReplaySource, EachCursorIsAsTheTableSays) {
    const struct {
        ReplayFacts facts;  // cursor, holds, from, floor, confirmable, end, reads_slot
        const char* expected;
    } rows[] = {
        // Memory begins behind what is confirmable.
        {{500, true, 500, 500, 300, 900, true}, "memory from 500"},
        {{499, true, 499, 500, 300, 900, true}, "slot from 499"},
        {{300, true, 300, 500, 300, 900, true}, "slot from 300"},
        {{299, true, 299, 500, 300, 900, true}, "too old: confirmable"},
        {{499, true, 499, 500, 300, 900, false}, "too old: confirmable"},
        // Memory has more than Postgres.
        {{300, true, 300, 200, 500, 900, true}, "memory from 300"},
        {{200, true, 200, 200, 500, 900, false}, "memory from 200"},
        {{199, true, 199, 200, 500, 900, true}, "too old: confirmable"},
        // A durable subscriber resumes at what is confirmable.
        {{100, true, 300, 500, 300, 900, true}, "slot from 300"},
        {{100, true, 500, 500, 500, 900, true}, "memory from 500"},
        // The end of the log, and beyond it.
        {{900, true, 900, 500, 300, 900, true}, "memory from 900"},
        {{901, true, 901, 500, 300, 900, true}, "too old: beyond the end"},
        // Of another history nothing holds, wherever it lies.
        {{500, false, 500, 500, 300, 900, true}, "too old: history"},
        {{901, false, 901, 500, 300, 900, true}, "too old: history"},
        {{100, false, 300, 200, 300, 900, true}, "too old: history"},
    };
    for (const auto& [facts, expected] : rows)
        EXPECT_EQ(text_of(choose_source(facts)), expected) << facts.cursor << ' ' << facts.floor;
}

}  // namespace start_tests
}  // namespace fatwal::sidecar
