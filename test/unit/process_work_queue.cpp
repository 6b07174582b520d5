// In which order an account's work is done, and that other accounts have their turns in between.
#include "portal/process/work_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "portal/process/session.h"

namespace fatwal::process {
namespace work_queue_tests {

using access::Address;
using access::Device;

struct Queue {
    void task(const std::string& name) { queue.add({Address{}, access::Refuse{name}, {}, {}}); }
    void step(
        const std::string& name, std::function<void()> then = [] {}) {
        queue.add(WorkQueue::Step{{}, as_step(name, std::move(then)), {}});
    }
    std::function<access::Actions(Session&)> as_step(const std::string& name,
                                                     std::function<void()> then) {
        return [this, name, then = std::move(then)](Session&) {
            log.push_back(name);
            then();
            return access::Actions{};
        };
    }
    void waiting(const std::string& name) {
        queue.when_whole([this, name] { log.push_back(name); });
    }
    void turns() {
        while (!later.empty()) {
            const auto next = std::move(later.front());
            later.pop_front();
            next();
        }
    }

    std::vector<std::string> log;
    std::deque<std::function<void()>> later;
    bool is_applying = false;
    boost::asio::io_context io;
    Session session{io, {}, nullptr, {}, Rates{}, [] {}};  // no step here uses it
    WorkQueue queue{
        {.is_applying = [this] { return is_applying; },
         // No step here uses its session.
         .ask = [this](const WorkQueue::Step& next) { (void)next.ask(session); },
         .carry_out =
             [this](WorkQueue::Task& next) {
                 log.push_back(std::get<access::Refuse>(next.action).reason);
             },
         .admit = [this] { log.emplace_back("admit"); },
         .done = [this] { log.emplace_back("done"); },
         .later = [this](std::function<void()> next) { later.push_back(std::move(next)); }}};
};

using Log = std::vector<std::string>;

TEST(WorkQueue, WhatIsDecidedComesFirstAndWhatWaitsComesLast) {
    Queue one;
    one.queue.admit_later();
    one.step("step 1", [&] {
        one.task("task of step 1");
        one.waiting("waits 2");
    });
    one.waiting("waits 1");
    one.step("step 2");
    one.task("task");
    EXPECT_EQ(one.log, Log{}) << "nothing begins before work()";
    EXPECT_TRUE(one.queue.is_at_work());
    EXPECT_FALSE(one.queue.is_whole());
    one.queue.work();
    EXPECT_EQ(one.log,
              (Log{"task", "step 1", "task of step 1", "step 2", "waits 1", "waits 2", "admit"}));
    EXPECT_TRUE(one.queue.is_idle());
}

TEST(WorkQueue, WhatIsWholeIsDoneAtOnce) {
    Queue one;
    one.waiting("now");
    EXPECT_EQ(one.log, Log{"now"});
}

TEST(WorkQueue, NothingWaitingBeginsWithinATransaction) {
    Queue one;
    one.is_applying = true;
    one.waiting("waits");
    one.queue.admit_later();
    one.task("task");
    one.queue.work();
    EXPECT_EQ(one.log, Log{"task"});
    one.is_applying = false;
    one.queue.work();
    EXPECT_EQ(one.log, (Log{"task", "waits", "admit"}));
}

TEST(WorkQueue, WhatAChannelHasBegunGoesAheadOfOtherSteps) {
    Queue one;
    one.step("first", [&] { one.queue.add_first({{}, one.as_step("more of first", [] {}), {}}); });
    one.step("second");
    one.queue.work();
    EXPECT_EQ(one.log, (Log{"first", "more of first", "second"}));
}

TEST(WorkQueue, LongWorkIsCutIntoTurnsAndSaysWhenItIsDone) {
    Queue one;
    for (int i = 0; i < 3; ++i)
        one.step("long", [&] { std::this_thread::sleep_for(2 * WorkQueue::kSlice); });
    one.queue.work();
    EXPECT_EQ(one.log, Log{"long"});
    EXPECT_TRUE(one.queue.is_sliced());
    one.queue.work();
    EXPECT_EQ(one.log, Log{"long"}) << "its turn is posted already";
    one.turns();
    EXPECT_EQ(one.log, (Log{"long", "long", "long", "done"}));
    EXPECT_FALSE(one.queue.is_sliced());
}

TEST(WorkQueue, AtTheEndOnlyWhatIsDecidedIsDone) {
    Queue one;
    one.step("step", [&] { one.task("task"); });
    one.waiting("waits");
    one.queue.finish();
    EXPECT_EQ(one.log, (Log{"step", "task"}));
}

TEST(WorkQueue, NothingIsBegunOnceItIsStopped) {
    Queue one;
    one.step("step", [&] { one.queue.stop(); });
    one.step("never");
    one.queue.work();
    one.queue.finish();
    one.turns();
    EXPECT_EQ(one.log, Log{"step"});
}

}  // namespace work_queue_tests
}  // namespace fatwal::process
