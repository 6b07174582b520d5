// Which rows a refused statement is left without, and at what cost.
#include "portal/process/by_halves.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "portal/process/token_row.h"

namespace fatwal::process {
namespace by_halves_tests {

struct Outcome {
    std::vector<int> done;
    std::vector<int> refused;
    int statements = 0;
};

// A database that refuses each statement with one of these rows in it.
Outcome carried_out(int count, const std::set<int>& bad) {
    std::vector<int> rows(static_cast<std::size_t>(count));
    std::iota(rows.begin(), rows.end(), 0);
    Outcome out;
    by_halves(
        std::span<const int>(rows),
        [&](std::span<const int> part) {
            ++out.statements;
            for (const int row : part)
                if (bad.contains(row)) throw SqlError("23503", "the token is gone");
            out.done.insert(out.done.end(), part.begin(), part.end());
        },
        [&](int row, const SqlError&) { out.refused.push_back(row); });
    return out;
}

TEST(ByHalves, OneStatementWhenNothingIsRefused) {
    EXPECT_EQ(carried_out(1000, {}).statements, 1);
    EXPECT_EQ(carried_out(0, {}).statements, 0);
}

TEST(ByHalves, OnlyTheRefusedRowsAreLeftOut) {
    struct Case {
        int count;
        std::set<int> bad;
        int most_statements;
    };
    for (const Case& one :
         {Case{1, {0}, 1}, Case{2, {1}, 3}, Case{7, {0, 6}, 11}, Case{1000, {437}, 21},
          Case{16, {0, 1, 2, 3}, 13}, Case{3, {0, 1, 2}, 5}}) {
        const Outcome out = carried_out(one.count, one.bad);
        EXPECT_EQ(std::set<int>(out.refused.begin(), out.refused.end()), one.bad) << one.count;
        EXPECT_EQ(out.refused.size(), one.bad.size()) << one.count;
        EXPECT_EQ(out.done.size() + one.bad.size(), static_cast<std::size_t>(one.count));
        EXPECT_TRUE(std::is_sorted(out.done.begin(), out.done.end())) << "in order";
        EXPECT_LE(out.statements, one.most_statements) << one.count;
    }
}

TEST(ByHalves, WhatIsNoFaultOfTheRowsIsNotSearchedFor) {
    const std::vector<int> rows(1000);
    int statements = 0;
    const auto refused = [](int, const SqlError&) { FAIL() << "no row is at fault"; };
    for (const char* state : {"08006", "57014", "55P03", "42501", "40P01", "53300", "XX000"})
        EXPECT_THROW(by_halves(
                         std::span<const int>(rows),
                         [&](std::span<const int>) {
                             ++statements;
                             throw SqlError(state, "");
                         },
                         refused),
                     SqlError)
            << state;
    EXPECT_EQ(statements, 7);
}

TEST(SqlError, TellsAFaultOfTheRows) {
    for (const char* state :
         {"22003", "22P02", "23503", "23505", "44000", "P0001", "XX001", "XX002"})
        EXPECT_TRUE(SqlError(state, "").of_the_rows) << state;
    EXPECT_FALSE(SqlError("", "").of_the_rows);
}

TEST(EndOfToken, IsANumberOrAnInfinity) {
    using access::Instant;
    using std::chrono::microseconds;
    EXPECT_EQ(end_of_token("1767225600000000"), Instant(microseconds(1'767'225'600'000'000)));
    EXPECT_EQ(end_of_token("-1"), Instant(microseconds(-1)));
    EXPECT_EQ(end_of_token("0"), Instant(microseconds(0)));
    EXPECT_EQ(end_of_token("Infinity"), std::nullopt) << "it has no end";
    // The last day that a timestamptz can have is beyond the microseconds since 1970.
    EXPECT_EQ(end_of_token("9224318015999999999"), std::nullopt);
    EXPECT_EQ(end_of_token("-99999999999999999999"), Instant::min());
    EXPECT_EQ(end_of_token("-Infinity"), Instant::min()) << "it has ended";
    for (const char* text : {"", "NaN", "12.5", "x"}) EXPECT_EQ(end_of_token(text), Instant::min());
}

}  // namespace by_halves_tests
}  // namespace fatwal::process
