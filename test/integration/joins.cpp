// joins CONTROL ACCOUNT COUNT: joins an account COUNT times while a writer numbers its rows (column
// n, 1, 2, 3 …, one a transaction), and reads a few after each join. Prints "joins N lost N". A
// loss is a number left out after the marker, or a Resync. Exit status 0 when nothing was lost.
#include <cstdio>
#include <cstdlib>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "test/support/keys.h"

namespace {

using namespace fatwal::client;
using namespace std::chrono_literals;

constexpr int kRowsAfterJoin = 5;

// The rows missed in one join; -1 when it did not come about.
int lost_in_join(zmq::context_t& context, const char* control, const char* account) {
    SubscriptionOptions options;
    options.control = {control};
    options.keys = fatwal::test::keys_from_environment();
    options.snapshots = false;
    options.account = fatwal::wire::AccountKey::from_text(account);
    options.name = "joins";
    Subscription subscription(context, options);
    std::int64_t last = 0;
    int lost = 0;
    int rows = 0;
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (rows < kRowsAfterJoin && std::chrono::steady_clock::now() < deadline) {
        const auto event = subscription.next(500ms);
        if (!event) continue;
        if (std::holds_alternative<Resync>(*event) || std::holds_alternative<StreamError>(*event))
            ++lost;
        if (const auto* transaction = std::get_if<Transaction>(&*event))
            transaction->for_each([&](const Change& change) {
                const auto n = change.new_row ? change.new_row->integer("n") : std::nullopt;
                if (!n) return;
                if (last != 0 && *n != last + 1) ++lost;
                last = *n;
                ++rows;
            });
    }
    return rows < kRowsAfterJoin ? -1 : lost;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    zmq::context_t context;
    const int joins = std::atoi(argv[3]);
    int lost = 0;
    for (int i = 0; i < joins; ++i) {
        const int missed = lost_in_join(context, argv[1], argv[2]);
        if (missed < 0) {
            std::printf("join %d did not come about\n", i);
            return 1;
        }
        lost += missed;
    }
    std::printf("joins %d lost %d\n", joins, lost);
    return lost == 0 ? 0 : 1;
}
