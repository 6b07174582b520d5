// pausing CONTROL: a group follows accounts 1 and 2, and pauses that of account 1. Of account 2 it
// has to have row 1 all the same; row 2, which follows 20 MiB of account 1, only once it has
// resumed, as what waits for one that pauses is bounded. Prints "ready" when both have joined, then
// "row 1" and "row 2". Exit status 1 when the paused one is handed out, when it comes to hold more,
// or when something does not come within a minute.
#include <poll.h>

#include <cstdio>
#include <memory>
#include <string>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "test/support/keys.h"

namespace {

using namespace fatwal::client;
using namespace std::chrono_literals;

std::unique_ptr<Subscription> follow(SubscriptionGroup& group, const char* control,
                                     const char* account) {
    SubscriptionOptions options;
    options.control = {control};
    options.keys = fatwal::test::keys_from_environment();
    options.account = fatwal::wire::AccountKey::from_text(account);
    options.name = std::string("pausing ") + account;
    return std::make_unique<Subscription>(group, options);
}

class Pausing {
public:
    explicit Pausing(const char* control)
        : first_(follow(group_, control, "1")), second_(follow(group_, control, "2")) {}

    bool run() {
        while (live_ < 2)
            if (!take_one(60s)) return fail("not both have joined");
        first_->pause();
        say("ready");
        while (rows_ < 1)
            if (!take_one(60s)) return fail("row 1 did not come");
        say("row 1");
        // More than this can come to nobody, though it is there.
        const auto until = std::chrono::steady_clock::now() + 3s;
        while (std::chrono::steady_clock::now() < until) (void)take_one(10ms);
        if (rows_ != 1) return fail("row 2 came");
        if (was_handed_out_) return fail("the one that pauses was handed out");
        first_->resume();
        pollfd descriptor{group_.fd(), POLLIN, 0};
        if (poll(&descriptor, 1, 60'000) != 1) return fail("the descriptor is not readable");
        paused_ = false;
        while (rows_ < 2)
            if (!take_one(60s)) return fail("row 2 did not come");
        say("row 2");
        return bytes_ > std::size_t{16} << 20 || fail("account 1 had too little");
    }

private:
    static bool fail(const char* what) {
        say(what);
        return false;
    }

    static void say(const char* what) {
        std::puts(what);
        std::fflush(stdout);
    }

    // Whether there was an event, of one that does not pause.
    bool take_one(std::chrono::milliseconds timeout) {
        Subscription* const ready = group_.ready(timeout);
        if (ready == nullptr) return false;
        if (ready == first_.get() && live_ == 2 && paused_) was_handed_out_ = true;
        if (was_handed_out_) return false;
        const auto event = ready->next(0ms);
        if (!event) return true;
        if (std::holds_alternative<CaughtUp>(*event) && ready->cursor()) ++live_;
        if (const auto* transaction = std::get_if<Transaction>(&*event))
            transaction->for_each([&](const Change& change) {
                if (ready == second_.get())
                    ++rows_;
                else
                    bytes_ += change.new_row->text("filler").value_or("").size();
            });
        return true;
    }

    zmq::context_t context_;
    SubscriptionGroup group_{context_};
    std::unique_ptr<Subscription> first_;
    std::unique_ptr<Subscription> second_;
    int live_ = 0;
    bool paused_ = true;
    bool was_handed_out_ = false;  // the first, while it pauses
    int rows_ = 0;                 // of account 2
    std::size_t bytes_ = 0;        // of account 1
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    return Pausing(argv[1]).run() ? 0 : 1;
}
