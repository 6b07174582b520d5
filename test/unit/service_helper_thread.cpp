#include <gtest/gtest.h>
#include <poll.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <sstream>

#include "service/event.h"
#include "service/failure.h"
#include "service/helper_thread.h"

namespace fatwal::service {
namespace helper_thread_tests {

using std::chrono::milliseconds;

bool is_readable(int fd) {
    pollfd wait{fd, POLLIN, 0};
    return poll(&wait, 1, 0) == 1;
}

// What is logged while it exists.
class Log {
public:
    Log() : before_(spdlog::default_logger()) {
        spdlog::set_default_logger(std::make_shared<spdlog::logger>(
            "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)));
    }
    ~Log() { spdlog::set_default_logger(before_); }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;
    [[nodiscard]] std::string text() const { return text_.str(); }

private:
    std::ostringstream text_;
    std::shared_ptr<spdlog::logger> before_;
};

TEST(Event, IsReadableFromSetToClear) {
    const Event event;
    EXPECT_FALSE(is_readable(event.fd()));
    event.set();
    event.set();
    EXPECT_TRUE(is_readable(event.fd()));
    event.clear();
    EXPECT_FALSE(is_readable(event.fd()));
    event.clear();
}

TEST(Failure, HasItsMessageForEveryHandlerAndAllPartsForThoseThatAsk) {
    const Failure whole("it failed", "It is red.", "Paint it.");
    EXPECT_STREQ(whole.what(), "it failed");
    EXPECT_EQ(text_of(whole), "it failed\n  detail: It is red.\n  hint: Paint it.");
    EXPECT_EQ(text_of(Failure("it failed", {}, "Paint it.")), "it failed\n  hint: Paint it.");
    EXPECT_EQ(whole.sentences(), "it failed. It is red. Paint it.");
    EXPECT_EQ(Failure("it failed", "Is it red?").sentences(), "it failed. Is it red?");
    EXPECT_EQ(text_of(std::runtime_error("no Failure")), "no Failure");
}

TEST(HelperThread, RunsItsBodyAgainAfterAnyExceptionAndReportsIt) {
    const Log log;
    const Event done;
    std::atomic<int> runs{0};
    HelperThread thread(
        "planted",
        [&](const Stop&) {
            switch (++runs) {
                case 1: throw std::bad_alloc();
                case 2: throw Failure("it failed", "It is red.", "Paint it.");
                case 3: throw std::system_error(EMFILE, std::generic_category(), "eventfd");
                default: done.set();
            }
        },
        milliseconds(1));
    thread.join();
    EXPECT_EQ(runs, 4);
    EXPECT_TRUE(is_readable(done.fd()));
    for (const char* words :
         {"the thread planted failed and is started again: std::bad_alloc", "detail: It is red."})
        EXPECT_NE(log.text().find(words), std::string::npos) << log.text();
}

TEST(HelperThread, EndsWhateverItsBodyWaitsFor) {
    std::mutex mutex;
    std::condition_variable_any wake;
    const HelperThread by_token("by-token", [&](const Stop& stop) {
        std::unique_lock lock(mutex);
        wake.wait(lock, stop.token(), [] { return false; });
    });
    const HelperThread by_descriptor("by-descriptor", [&](const Stop& stop) {
        pollfd wait{stop.fd(), POLLIN, 0};
        while (poll(&wait, 1, -1) != 1) continue;
    });
    const HelperThread by_time(
        "by-time", [&](const Stop& stop) { EXPECT_TRUE(stop.wait_for(std::chrono::hours(1))); });
    const Log log;
    const HelperThread between_runs(
        "between-runs", [](const Stop&) { throw std::bad_alloc(); }, std::chrono::hours(1));
}

TEST(HelperThread, CanBeStartedAgainWhenItsBodyHasEnded) {
    std::atomic<int> runs{0};
    HelperThread thread;
    thread.join();
    for (int i = 0; i < 3; ++i) {
        thread.start("again", [&](const Stop& stop) {
            EXPECT_FALSE(stop.wait_for(milliseconds(1)));
            ++runs;
        });
        thread.join();
    }
    EXPECT_EQ(runs, 3);
}

}  // namespace helper_thread_tests
}  // namespace fatwal::service
