// group CONTROL ACCOUNTS COUNT: one SubscriptionGroup of durable subscribers follows accounts 1 to
// ACCOUNTS, the first of them twice, from their snapshots on. The rows of each have n = 1, 2, 3 …;
// at half of COUNT every tenth subscription makes way for a new one that resumes where it stood.
// Prints "ready" when all have joined and, when all have had COUNT rows, once each and in order,
// "had N lost M" (how often one lost its sidecar). Exit status 1 when a row is missing, comes
// twice, or not within a minute.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <unordered_map>
#include <vector>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "test/support/keys.h"

namespace {

using namespace fatwal::client;
using namespace std::chrono_literals;

struct Member {
    int account = 0;
    std::unique_ptr<Subscription> subscription;
    std::int64_t had = 0;
    bool has_rows = false;  // its snapshot has ended
    bool renewed = false;
};

class Fleet {
public:
    Fleet(const char* control, int accounts, std::int64_t count)
        : control_(control), count_(count), members_(static_cast<std::size_t>(accounts) + 1) {
        context_.set(zmq::ctxopt::max_sockets, 2 * accounts + 16);
        int account = 0;
        for (Member& member : members_) {
            member.account = account++ % accounts + 1;
            subscribe(member, std::nullopt);
        }
    }

    // False when something is wrong, which is printed.
    bool run() {
        const auto deadline = std::chrono::steady_clock::now() + 60s;
        bool told = false;
        while (finished_ < members_.size()) {
            if (std::chrono::steady_clock::now() > deadline)
                return fail("not all have come to the end");
            Subscription* const subscription = group_.ready(100ms);
            if (!told && ready_ == members_.size()) {
                told = true;
                std::puts("ready");
                std::fflush(stdout);
            }
            if (subscription == nullptr) continue;
            Member& member = *by_subscription_.at(subscription);
            while (const auto event = subscription->next(0ms))
                if (!take(member, *event)) return false;
            subscription->ack();
            if (member.account % 10 == 0 && !member.renewed && member.had >= count_ / 2 &&
                subscription->cursor())
                renew(member);
        }
        std::printf("had %lld lost %zu\n",
                    static_cast<long long>(count_) * static_cast<long long>(members_.size()),
                    lost_);
        return true;
    }

private:
    static bool fail(const char* what) {
        std::puts(what);
        return false;
    }

    void subscribe(Member& member, std::optional<Cursor> cursor) {
        SubscriptionOptions options;
        options.control = {control_};
        options.keys = fatwal::test::keys_from_environment();
        options.account = fatwal::wire::AccountKey::from_text(std::to_string(member.account));
        options.name = "member/" + std::to_string(&member - members_.data());
        options.durable = true;
        options.cursor = cursor;
        member.subscription = std::make_unique<Subscription>(group_, options);
        by_subscription_[member.subscription.get()] = &member;
    }

    void renew(Member& member) {
        const auto cursor = member.subscription->cursor();
        by_subscription_.erase(member.subscription.get());
        member.subscription.reset();
        subscribe(member, cursor);
        member.renewed = true;
    }

    bool take(Member& member, const Event& event) {
        // A snapshot that is broken off begins again: only its end makes the member ready.
        if (std::holds_alternative<SnapshotEnd>(event) && !std::exchange(member.has_rows, true))
            ++ready_;
        if (std::holds_alternative<Lost>(event)) ++lost_;
        if (std::holds_alternative<SnapshotBegin>(event) && member.had != 0)
            return fail("a second snapshot");
        if (const auto* rows = std::get_if<SnapshotRows>(&event))
            add(member, static_cast<std::int64_t>(rows->size()));
        const auto* transaction = std::get_if<Transaction>(&event);
        bool right = true;
        if (transaction != nullptr)
            transaction->for_each([&](const Change& change) {
                right = right && change.new_row &&
                        change.new_row->integer("account_id") == member.account &&
                        change.new_row->integer("n") == member.had + 1;
                add(member, 1);
            });
        if (!right)
            std::printf("account %d: not row %lld\n", member.account,
                        static_cast<long long>(member.had));
        return right;
    }

    void add(Member& member, std::int64_t rows) {
        if (member.had < count_ && member.had + rows >= count_) ++finished_;
        member.had += rows;
    }

    std::string control_;
    std::int64_t count_;
    zmq::context_t context_;
    SubscriptionGroup group_{context_};
    std::vector<Member> members_;
    std::unordered_map<Subscription*, Member*> by_subscription_;
    std::size_t ready_ = 0;
    std::size_t finished_ = 0;
    std::size_t lost_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    return Fleet(argv[1], std::atoi(argv[2]), std::atoll(argv[3])).run() ? 0 : 1;
}
