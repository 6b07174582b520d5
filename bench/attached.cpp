// attached CONTROL FIRST ACCOUNTS SUBSCRIBERS [group]: follows accounts FIRST, FIRST+1, … with so
// many subscribers each, all in this process, each by itself or all in a group. Prints "ready" when
// all have joined, then each time that nothing more comes how many transactions they had, and how
// often one was disturbed: "had N disturbed N". Ends at SIGTERM.
#include <sys/epoll.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "test/support/keys.h"

namespace {

using namespace fatwal::client;
using namespace std::chrono_literals;

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

struct Counts {
    std::size_t joined = 0;
    std::size_t transactions = 0;
    std::size_t disturbed = 0;

    void take(Subscription& subscription) {
        while (const auto event = subscription.next(0ms)) {
            joined += std::holds_alternative<Joined>(*event) ? 1 : 0;
            transactions += std::holds_alternative<Transaction>(*event) ? 1 : 0;
            disturbed +=
                std::holds_alternative<Resync>(*event) || std::holds_alternative<Lost>(*event) ? 1
                                                                                               : 0;
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5 || argc > 6) return 2;
    std::signal(SIGTERM, stop);
    const int first = std::atoi(argv[2]);
    const int accounts = std::atoi(argv[3]);
    const int each = std::atoi(argv[4]);
    zmq::context_t context;
    context.set(zmq::ctxopt::max_sockets, 4 * accounts * each + 16);
    SubscriptionGroup group(context);
    const bool in_group = argc == 6;
    std::vector<std::unique_ptr<Subscription>> all;
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int account = first; account < first + accounts; ++account)
        for (int i = 0; i < each; ++i) {
            SubscriptionOptions options;
            options.control = {argv[1]};
            options.keys = fatwal::test::keys_from_environment();
            options.account = fatwal::wire::AccountKey::from_text(std::to_string(account));
            options.name = "attached";
            options.snapshots = false;
            options.request_timeout = 30s;
            epoll_event event{};
            event.events = EPOLLIN;
            auto subscription = in_group ? std::make_unique<Subscription>(group, options)
                                         : std::make_unique<Subscription>(context, options);
            event.data.ptr = all.emplace_back(std::move(subscription)).get();
            if (!in_group) epoll_ctl(epoll, EPOLL_CTL_ADD, all.back()->fd(), &event);
        }
    Counts counts;
    bool told = false;
    std::size_t printed = 0;
    std::size_t before = 0;
    auto changed = std::chrono::steady_clock::now();
    while (stopped == 0) {
        if (in_group) {
            if (Subscription* const subscription = group.ready(100ms)) counts.take(*subscription);
        } else {
            std::vector<epoll_event> events(1024);
            const int count =
                epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 100);
            for (int i = 0; i < count; ++i)
                counts.take(
                    *static_cast<Subscription*>(events[static_cast<std::size_t>(i)].data.ptr));
        }
        if (!told && counts.joined == all.size()) {
            told = true;
            std::puts("ready");
            std::fflush(stdout);
        }
        const auto now = std::chrono::steady_clock::now();
        if (counts.transactions != before) changed = now;
        before = counts.transactions;
        if (before == printed || now - changed < 300ms) continue;
        printed = before;
        std::printf("had %zu disturbed %zu\n", counts.transactions, counts.disturbed);
        std::fflush(stdout);
    }
    return 0;
}
