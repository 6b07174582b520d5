// crowd CONTROL ACCOUNT COUNT: so many subscribers attach to an account at once, each takes a
// snapshot and follows the stream until it has seen a row whose n is -1, inserted when all have
// their snapshots (it prints "ready"). Prints "subscribers N rows R" when each has had the same R
// rows; exit status 1 when one has not within a minute.
#include <algorithm>
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

struct Member {
    std::unique_ptr<Subscription> subscription;
    std::size_t rows = 0;
    bool has_snapshot = false;
    bool done = false;
};

void look(Member& member) {
    while (const auto event = member.subscription->next(0ms)) {
        if (std::holds_alternative<SnapshotBegin>(*event)) member.rows = 0;
        if (const auto* rows = std::get_if<SnapshotRows>(&*event)) member.rows += rows->size();
        if (std::holds_alternative<SnapshotEnd>(*event)) member.has_snapshot = true;
        if (const auto* transaction = std::get_if<Transaction>(&*event))
            transaction->for_each([&](const Change& change) {
                ++member.rows;
                if (change.new_row && change.new_row->integer("n") == -1) member.done = true;
            });
    }
}

bool all(const std::vector<Member>& members, bool Member::*what) {
    return std::all_of(members.begin(), members.end(),
                       [&](const Member& member) { return member.*what; });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const int count = std::atoi(argv[3]);
    zmq::context_t context;
    context.set(zmq::ctxopt::max_sockets, 3 * count + 16);
    std::vector<Member> members(static_cast<std::size_t>(count));
    for (Member& member : members) {
        SubscriptionOptions options;
        options.control = {argv[1]};
        options.keys = fatwal::test::keys_from_environment();
        options.account = fatwal::wire::AccountKey::from_text(argv[2]);
        options.name = "crowd";
        options.request_timeout = 10s;
        member.subscription = std::make_unique<Subscription>(context, options);
    }
    bool told = false;
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!all(members, &Member::done)) {
        if (std::chrono::steady_clock::now() > deadline) {
            std::printf("not all have come to the end\n");
            return 1;
        }
        for (Member& member : members) look(member);
        if (!told && all(members, &Member::has_snapshot)) {
            told = true;
            std::puts("ready");
            std::fflush(stdout);
        }
    }
    const std::size_t rows = members.front().rows;
    if (!std::all_of(members.begin(), members.end(),
                     [&](const Member& member) { return member.rows == rows; })) {
        std::printf("not all have had the same rows\n");
        return 1;
    }
    std::printf("subscribers %d rows %zu\n", count, rows);
    return 0;
}
