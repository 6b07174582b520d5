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
        options.name = arguments_.durable.empty() ? "fatwal tail" : arguments_.durable;
        options.durable = !arguments_.durable.empty();
        options.snapshots = arguments_.snapshot;
        options.resync_after = std::chrono::seconds(0);
        if (!load_cursor(options.cursor)) return 1;
        client::Subscription subscription(context, options);
        while (stopped == 0 && !done_) {
            const auto event = subscription.next(kWait);
            if (event) std::visit(*this, *event);
            if (!subscription.cursor()) continue;
            if (!keep_cursor(*subscription.cursor())) return 1;
            subscription.ack();
        }
        return status_;
    }

    void operator()(const client::Joined& joined) {
        std::fprintf(stderr, "attached: epoch %llu, after sequence %llu\n",
                     static_cast<unsigned long long>(joined.epoch),
                     static_cast<unsigned long long>(joined.sequence));
        lost_ = false;
        if (!arguments_.ready_file.empty()) std::ofstream(arguments_.ready_file).put('\n');
    }
    void operator()(const client::SnapshotBegin&) { std::fprintf(stderr, "snapshot begins\n"); }
    void operator()(const client::SnapshotRows& rows) {
        rows.for_each([&](const client::Row& row) {
            if (done_) return;
            print(row_line(row, account_.to_text(), arguments_.format == "text"));
        });
        std::fflush(stdout);
    }
    void operator()(const client::SnapshotEnd&) { std::fprintf(stderr, "snapshot ends\n"); }
    void operator()(const client::Transaction& transaction) {
        const std::string account = account_.to_text();
        std::size_t left = transaction.size();
        transaction.for_each([&](const client::Change& change) {
            --left;
            if (done_) return;
            const auto line = arguments_.format == "text" ? text_line : json_line;
            print(line(transaction, change, account, left == 0));
        });
        std::fflush(stdout);
    }
    void operator()(const client::Resync& resync) {
        std::fprintf(stderr, "changes were missed: %s\n", resync.reason.c_str());
        if (!arguments_.snapshot) status_ = kMissed;
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
    void print(const std::string& line) {
        std::puts(line.c_str());
        done_ = ++printed_ == arguments_.count;
    }

    bool load_cursor(std::optional<client::Cursor>& cursor) {
        std::ifstream file(arguments_.cursor_file);
        std::string text;
        if (arguments_.cursor_file.empty() || !std::getline(file, text)) return true;
        cursor = kept_ = client::Cursor::from_text(text);
        if (!cursor)
            std::fprintf(stderr, "fatwal: %s holds no cursor; remove it to begin anew\n",
                         arguments_.cursor_file.c_str());
        return cursor.has_value();
    }

    // The old one or the new one is there whenever we are killed.
    bool keep_cursor(const client::Cursor& cursor) {
        if (arguments_.cursor_file.empty() || kept_ == cursor) return true;
        kept_ = cursor;
        const std::string fresh = arguments_.cursor_file + ".new";
        std::ofstream file(fresh);
        file << cursor.to_text() << '\n';
        file.close();
        if (file && std::rename(fresh.c_str(), arguments_.cursor_file.c_str()) == 0) return true;
        std::perror(("fatwal: cannot write " + arguments_.cursor_file).c_str());
        return false;
    }

    const TailArguments& arguments_;
    wire::AccountKey account_;
    std::uint64_t printed_ = 0;
    std::optional<client::Cursor> kept_;
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
