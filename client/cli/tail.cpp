#include <zmq.hpp>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>

#include "commands.h"
#include "event_line.h"
#include "fatwal/client/subscription.h"

namespace fatwal::cli {

namespace {

constexpr std::chrono::milliseconds kWait{200};
constexpr int kMissed = 3;

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

class Tail {
public:
    explicit Tail(const TailArguments& arguments) : arguments_(arguments) {
        if (!arguments.operators) account_ = wire::AccountKey::from_text(arguments.account);
    }

    int run() {
        zmq::context_t context;
        client::SubscriptionOptions options;
        options.control = arguments_.control;
        options.account = account_;
        options.name = "fatwal tail";
        client::Subscription subscription(context, options);
        while (stopped == 0 && !done_)
            if (auto event = subscription.next(kWait)) std::visit(*this, *event);
        return status_;
    }

    void operator()(const client::Joined& joined) {
        std::fprintf(stderr, "attached: epoch %llu, after sequence %llu\n", static_cast<unsigned long long>(joined.epoch),
                     static_cast<unsigned long long>(joined.sequence));
        if (lost_) {
            std::fprintf(stderr, "changes committed before this may have been missed\n");
            status_ = kMissed;
        }
        lost_ = false;
        if (!arguments_.ready_file.empty()) std::ofstream(arguments_.ready_file).put('\n');
    }
    void operator()(const client::Transaction& transaction) {
        const std::string account = account_.to_text();
        std::size_t left = transaction.size();
        transaction.for_each([&](const client::Change& change) {
            --left;
            if (done_) return;
            const auto line = arguments_.format == "text" ? text_line : json_line;
            std::puts(line(transaction, change, account, left == 0).c_str());
            done_ = ++printed_ == arguments_.count;
        });
        std::fflush(stdout);
    }
    void operator()(const client::Gap& gap) {
        std::fprintf(stderr, "messages %llu to %llu were lost on the way\n", static_cast<unsigned long long>(gap.expected),
                     static_cast<unsigned long long>(gap.got - 1));
        status_ = kMissed;
    }
    void operator()(const client::StreamError& error) {
        std::fprintf(stderr, "%s. %s\n", error.message.c_str(), error.hint.c_str());
        status_ = kMissed;
    }
    void operator()(const client::Lost& lost) {
        if (!lost_) std::fprintf(stderr, "%s; trying again\n", lost.reason.c_str());
        if (!lost_ && lost.error && !lost.error->hint.empty())
            std::fprintf(stderr, "%s %s\n", lost.error->detail.c_str(), lost.error->hint.c_str());
        lost_ = true;
    }

private:
    const TailArguments& arguments_;
    wire::AccountKey account_;
    std::uint64_t printed_ = 0;
    bool done_ = false;
    bool lost_ = false;
    int status_ = 0;
};

}  // namespace

int tail(const TailArguments& arguments) {
    std::signal(SIGINT, stop);
    std::signal(SIGTERM, stop);
    return Tail(arguments).run();
}

}  // namespace fatwal::cli
