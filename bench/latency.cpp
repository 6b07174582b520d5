// latency CONTROL ACCOUNT: follows an account and prints, for each second, the number of
// transactions and, in microseconds from the commit to their delivery here, the median and the 99th
// percentile: "SECOND COUNT P50 P99". Ends with SIGTERM.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <vector>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "test/support/keys.h"

namespace {

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

}  // namespace

int main(int argc, char** argv) {
    using namespace std::chrono;
    using namespace fatwal::client;
    if (argc != 3) return 2;
    std::signal(SIGTERM, stop);
    zmq::context_t context;
    SubscriptionOptions options;
    options.control = {argv[1]};
    options.keys = fatwal::test::keys_from_environment();
    options.account = fatwal::wire::AccountKey::from_text(argv[2]);
    options.name = "latency";
    options.snapshots = false;
    Subscription subscription(context, options);
    std::vector<std::int64_t> delays;
    auto second = floor<seconds>(system_clock::now());
    while (stopped == 0) {
        const auto event = subscription.next(100ms);
        const auto now = system_clock::now();
        if (floor<seconds>(now) != second && !delays.empty()) {
            std::sort(delays.begin(), delays.end());
            std::printf("%lld %zu %lld %lld\n",
                        static_cast<long long>(second.time_since_epoch().count()), delays.size(),
                        static_cast<long long>(delays[delays.size() / 2]),
                        static_cast<long long>(delays[delays.size() * 99 / 100]));
            std::fflush(stdout);
            delays.clear();
        }
        second = floor<seconds>(now);
        if (!event) continue;
        if (const auto* transaction = std::get_if<Transaction>(&*event))
            delays.push_back(duration_cast<microseconds>(now - transaction->commit_time).count());
        else if (std::holds_alternative<Resync>(*event) || std::holds_alternative<Lost>(*event))
            std::printf("disturbed\n");
    }
    return 0;
}
