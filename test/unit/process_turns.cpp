// Work for many accounts that leaves the loop to others in between.
#include "portal/process/turns.h"

#include <gtest/gtest.h>

#include <vector>

namespace fatwal::process {
namespace turns_tests {

using namespace std::chrono_literals;
using access::Uuid;

Uuid account(int number) {
    return *Uuid::from_text("00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + number));
}

void busy_for(std::chrono::milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
    }
}

TEST(Turns, NoTurnIsLongHoweverManyAccountsWait) {
    boost::asio::io_context io;
    std::size_t begun = 0;
    Turns turns(io, [&](const Uuid&) {
        ++begun;
        busy_for(1ms);
    });
    for (int i = 0; i < 100; ++i) turns.add(account(i));
    EXPECT_EQ(begun, 0U) << "whoever adds is not held up";
    std::size_t others = 0;
    while (begun < 100) {
        boost::asio::post(io, [&] { ++others; });
        const auto before = begun;
        ASSERT_EQ(io.poll_one(), 1U);
        EXPECT_LE(begun - before, 5U) << "pieces of a millisecond each";
    }
    EXPECT_GE(others, 9U) << "what others have posted comes in between";
}

TEST(Turns, AnAccountThatWaitsIsNotAddedTwiceAndOneThatComesAgainWaitsForAll) {
    boost::asio::io_context io;
    std::vector<Uuid> begun;
    Turns turns(io, [&](const Uuid& id) {
        begun.push_back(id);
        if (begun.size() == 1) turns.add(id);  // it has begun: this is another piece
    });
    turns.add(account(1));
    turns.add(account(2));
    turns.add(account(1));
    io.run();
    EXPECT_EQ(begun, (std::vector{account(1), account(2), account(1)}));
}

}  // namespace turns_tests
}  // namespace fatwal::process
