#include <gtest/gtest.h>

#include <map>
#include <random>

#include "sidecar/delivery/durables.h"

namespace fatwal::sidecar {
namespace durables_tests {

using Time = Durables::Time;

struct DurablesTest : testing::Test {
    void store() { durables.stored(durables.extract_changes(), Time{}); }

    Holds holds;
    Durables durables{holds};
    Durables::Group group{durables, wire::AccountKey::from_text("7")};
};

TEST(HoldsTest, TheWorstAreThoseThatHoldFromTheLowestPosition) {
    Holds holds;
    const auto key = [](const char* name) {
        return DurableKey{wire::AccountKey::from_text("7"), name};
    };
    holds.hold(key("b"), 200, Time{});
    holds.hold(key("a"), 300, Time{});
    holds.hold(key("d"), 100, Time{});
    holds.hold(key("c"), 200, Time{});
    const auto names = [&](std::size_t skip, std::size_t most) {
        std::string all;
        for (const auto& [hold, what] : holds.worst(skip, most)) {
            EXPECT_EQ(what.from, holds.of(hold));
            all += std::get<DurableKey>(hold).name;
        }
        return all;
    };
    EXPECT_EQ(names(0, 10), "dbca");
    EXPECT_EQ(names(1, 2), "bc");
    EXPECT_EQ(names(3, 10), "a");
    EXPECT_EQ(names(4, 10), "");
    EXPECT_EQ(names(9, 10), "");
}

TEST_F(DurablesTest, CountsThoseOfACredentialOverAllAccounts) {
    Durables::Group another{durables, wire::AccountKey::from_text("8")};
    group.add("w", 100, true, Time{});
    group.add("w/audit", 100, true, Time{});
    group.add("wide", 100, true, Time{});
    another.add("w/audit", 100, true, Time{});
    EXPECT_EQ(durables.of_credential("w"), 3U);
    group.leave("w");
    another.leave("w/audit");
    EXPECT_EQ(durables.of_credential("w"), 1U);
    EXPECT_EQ(durables.of_credential("nobody"), 0U);
}

TEST_F(DurablesTest, HoldsFromWhatIsWrittenDown) {
    group.add("w", 100, true, Time{});
    EXPECT_EQ(holds.oldest(), kNoLsn);
    group.published(150, Time{});
    EXPECT_EQ(holds.oldest(), 100U);
    group.acknowledge("w", 151);
    EXPECT_EQ(holds.oldest(), 100U) << "another fatwald would not know";
    store();
    EXPECT_EQ(holds.oldest(), kNoLsn);
}

TEST_F(DurablesTest, WhatCouldNotBeWrittenIsWrittenLater) {
    group.add("w", 100, true, Time{});
    group.published(150, Time{});
    group.acknowledge("w", 151);
    durables.not_stored(durables.extract_changes());
    EXPECT_EQ(holds.oldest(), 100U);
    const auto changes = durables.extract_changes();
    ASSERT_EQ(changes.written.size(), 1U);
    EXPECT_EQ(changes.written[0].acknowledged, 151U);
}

TEST_F(DurablesTest, WritesNothingWhenNothingOfTheAccountCame) {
    group.add("w", 100, true, Time{});
    group.acknowledge("w", 200);
    EXPECT_TRUE(durables.extract_changes().empty());
}

TEST_F(DurablesTest, NamesAndAccountsThatJoinToTheSameTextAreTwo) {
    Durables::Group one{durables, wire::AccountKey::from_text("acme")};
    Durables::Group other{durables, wire::AccountKey::from_text("b of account 4:acme")};
    one.add("a of account 4:b", 100, false, Time{});
    other.add("a", 200, false, Time{});
    EXPECT_EQ(durables.size(), 2U);
    store();
    other.leave("a");
    one.published(150, Time{});
    one.acknowledge("a of account 4:b", 151);
    const auto changes = durables.extract_changes();
    ASSERT_EQ(changes.written.size(), 1U);
    EXPECT_EQ(changes.written[0].acknowledged, 151U);
}

TEST_F(DurablesTest, OneThatTheDatabaseRefusesIsDroppedUnlessItTookItBefore) {
    group.add("new", 100, false, Time{});
    group.add("old", 100, true, Time{});
    group.published(150, Time{});
    group.acknowledge("old", 151);
    (void)durables.extract_changes();
    EXPECT_TRUE(durables.refused({wire::AccountKey::from_text("7"), "new"}));
    EXPECT_FALSE(durables.refused({wire::AccountKey::from_text("7"), "old"}));
    EXPECT_FALSE(group.contains("new"));
    EXPECT_EQ(holds.oldest(), 100U) << "WAL is kept from the position that is stored";
    EXPECT_TRUE(durables.extract_changes().empty());
}

TEST_F(DurablesTest, AreListedInParts) {
    Durables::Group other{durables, wire::AccountKey::from_text("8")};
    group.add("a", 100, true, Time{});
    group.add("b", 100, true, Time{});
    other.add("a", 100, true, Time{});
    auto part = durables.list({}, 2);
    ASSERT_EQ(part.size(), 2U);
    EXPECT_EQ(part[1].name, "b");
    part = durables.list({part[1].account, part[1].name}, 2);
    ASSERT_EQ(part.size(), 1U);
    EXPECT_EQ(part[0].account, wire::AccountKey::from_text("8"));
}

TEST_F(DurablesTest, ANewOneIsWrittenDownAndHeldFor) {
    group.add("w", 100, false, Time{});
    EXPECT_FALSE(group.written("w"));
    group.published(150, Time{});
    EXPECT_EQ(holds.oldest(), 100U);
    store();
    EXPECT_TRUE(group.written("w"));
    EXPECT_EQ(holds.oldest(), 100U);
}

TEST_F(DurablesTest, GoesOnBehindWhatIsConfirmedIfNothingOfItLiesBetween) {
    group.add("w", 100, true, Time{});
    EXPECT_EQ(group.resume("w", 120, 200), 200U);
    EXPECT_EQ(group.resume("w", 90, 200), 90U) << "it has processed less than it said";
    EXPECT_EQ(group.resume("another", 120, 200), 120U);
}

TEST_F(DurablesTest, OneThatHasLessThanItAcknowledgedIsHeldForFromThere) {
    group.add("w", 500, true, Time{});
    group.published(600, Time{});
    group.add("w", 300, false, Time{});
    EXPECT_EQ(holds.oldest(), 300U);
    const auto changes = durables.extract_changes();
    ASSERT_EQ(changes.written.size(), 1U);
    EXPECT_EQ(changes.written[0].acknowledged, 300U);
    durables.stored(changes, Time{});
    EXPECT_EQ(holds.oldest(), 300U);
}

TEST_F(DurablesTest, OneThatComesBackWithLessWhileMoreIsBeingStoredIsHeldForFromThere) {
    group.add("w", 100, true, Time{});
    group.published(600, Time{});
    group.acknowledge("w", 500);
    auto changes = durables.extract_changes();
    group.add("w", 50, false, Time{});
    durables.stored(changes, Time{});
    EXPECT_EQ(holds.oldest(), 50U);
    changes = durables.extract_changes();
    ASSERT_EQ(changes.written.size(), 1U);
    EXPECT_EQ(changes.written[0].acknowledged, 50U);
    durables.stored(changes, Time{});
    EXPECT_EQ(holds.oldest(), 50U);
}

TEST_F(DurablesTest, OneThatIsGivenUpIsTakenOut) {
    group.add("w", 100, true, Time{});
    group.published(150, Time{});
    const auto beyond = holds.beyond(10, 1000, Time{});
    ASSERT_EQ(beyond.size(), 1U);
    EXPECT_TRUE(durables.forget(std::get<DurableKey>(beyond[0])));
    EXPECT_EQ(holds.oldest(), kNoLsn);
    const auto changes = durables.extract_changes();
    EXPECT_TRUE(changes.written.empty());
    ASSERT_EQ(changes.removed.size(), 1U);
    EXPECT_EQ(changes.removed[0].name, "w");
}

TEST_F(DurablesTest, OneThatComesBackBeforeItIsTakenOutStays) {
    group.add("w", 100, true, Time{});
    group.leave("w");
    auto changes = durables.extract_changes();
    group.add("w", 300, false, Time{});
    durables.not_stored(std::move(changes));
    const auto later = durables.extract_changes();
    EXPECT_TRUE(later.removed.empty());
    EXPECT_EQ(later.written.size(), 1U);
}

TEST_F(DurablesTest, AServerThatGoesDownTakesWhatWasAcknowledged) {
    group.add("w", 100, true, Time{});
    group.published(150, Time{});
    group.acknowledge("w", 151);
    durables.count_unwritten(Time{});
    EXPECT_EQ(holds.oldest(), kNoLsn);
    EXPECT_EQ(durables.extract_changes().written.size(), 1U)
        << "it is written down when the server is back";
}

// Whoever takes over at any moment knows by the table alone, and by what is confirmed, where each
// subscriber resumes: none misses a frame.
TEST(Durables, WhoeverTakesOverLosesNothing) {
    for (unsigned seed = 0; seed < 2000; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        const auto chance = [&](unsigned of) { return random() % of == 0; };
        Holds holds;
        Durables durables(holds);
        Durables::Group group(durables, wire::AccountKey::from_text("7"));
        wire::Lsn position = 1000;
        wire::Lsn confirmed = 1000;
        wire::Lsn processed = 1000;  // by the worker, kept before it acknowledges
        std::vector<wire::Lsn> frames;
        std::map<std::string, wire::Lsn> table{{"w", 1000}};
        group.add("w", 1000, true, Time{});
        for (int step = 0; step < 60; ++step) {
            position += 10;
            if (chance(3)) {
                frames.push_back(position - 5);
                group.published(position - 5, Time{});
            }
            if (chance(2)) processed = position;
            if (chance(3)) group.acknowledge("w", processed);
            if (chance(4)) {
                auto changes = durables.extract_changes();
                if (chance(3)) {
                    durables.not_stored(std::move(changes));
                } else {
                    for (const auto& row : changes.written)
                        table[row.name] = std::max(table[row.name], row.acknowledged);
                    durables.stored(changes, Time{});
                }
            }
            if (chance(2)) confirmed = std::max(confirmed, std::min(position, holds.oldest()));
            if (!chance(10)) continue;
            Holds other_holds;
            Durables other(other_holds);
            Durables::Group taken(other, wire::AccountKey::from_text("7"));
            taken.add("w", table["w"], true, Time{});
            const wire::Lsn from = taken.resume("w", processed, confirmed);
            ASSERT_GE(from, confirmed) << "Postgres does not have it any more";
            for (const wire::Lsn frame : frames)
                ASSERT_FALSE(frame >= processed && frame < from) << frame << " is lost";
        }
    }
}

}  // namespace durables_tests
}  // namespace fatwal::sidecar
