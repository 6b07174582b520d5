// fatwal tail: events out as lines, and only then the cursor kept and the changes acknowledged.
//
// Events are taken in batches: as many as are there within 200 ms. A batch is
// written out, then the cursor file, then it is acknowledged; each step waits until the one before
// is on the disk or in the pipe. Whatever fails or is killed in between, what was not written out
// comes again. A batch costs one fsync each, so the rate is not bounded by the disk.
#include <zmq.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <system_error>

#include "client/cli/commands.h"
#include "client/cli/control_socket.h"
#include "client/cli/cursor_file.h"
#include "client/cli/event_line.h"
#include "client/cli/output.h"
#include "fatwal/client/subscription.h"

namespace fatwal::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kWait{200};  // for an event, and the longest for a batch
constexpr int kFailed = 1;
constexpr int kMissed = 3;

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

class Tail {
public:
    explicit Tail(const TailArguments& arguments)
        : arguments_(arguments), cursor_file_(arguments.cursor_file) {
        if (!arguments.operators) {
            account_ = wire::AccountKey::from_text(arguments.account);
            style_.account = account_.to_text();
        }
        style_.text = arguments.format == "text";
        style_.numbers = arguments.numbers == "json" ? wire::Numbers::Json : wire::Numbers::Strings;
    }

    int run() {
        zmq::context_t context;
        client::SubscriptionOptions options;
        options.control = arguments_.control;
        options.keys = load_keys(arguments_.keys);
        options.account = account_;
        options.name = arguments_.durable.empty() ? "fatwal tail" : arguments_.durable;
        options.durable = !arguments_.durable.empty();
        options.snapshots = arguments_.snapshot;
        options.resync_after = std::chrono::seconds(0);
        options.max_transaction_bytes = arguments_.max_transaction_bytes;
        options.resync_interval = std::chrono::milliseconds(arguments_.resync_interval_ms);
        options.cursor = cursor_file_.load();
        client::Subscription subscription(context, options);
        while (stopped == 0 && !done_) {
            print_batch(subscription);
            if (!output_.flush()) return cannot_write();
            if (!printed_to_) continue;
            cursor_file_.keep(*printed_to_);
            subscription.ack(*printed_to_);
        }
        return status_;
    }

    void operator()(const client::Joined& joined) {
        std::fprintf(stderr, "attached: epoch %llu, after sequence %llu\n",
                     static_cast<unsigned long long>(joined.epoch),
                     static_cast<unsigned long long>(joined.sequence));
        lost_ = false;
        if (!arguments_.ready_file.empty() && !std::ofstream(arguments_.ready_file).put('\n'))
            throw std::system_error(errno, std::generic_category(),
                                    "--ready-file " + arguments_.ready_file);
    }
    void operator()(const client::SnapshotBegin&) {
        std::fprintf(stderr, "snapshot begins\n");
        output_.line(snapshot_line(true, style_));
    }
    void operator()(const client::SnapshotRows& rows) {
        rows.for_each([&](const client::Row& row) { print(row_line(row, style_)); });
    }
    void operator()(const client::SnapshotEnd&) {
        std::fprintf(stderr, "snapshot ends\n");
        output_.line(snapshot_line(false, style_));
    }
    void operator()(const client::Transaction& transaction) {
        std::size_t left = transaction.size();
        transaction.for_each([&](const client::Change& change) {
            print(change_line(transaction, change, --left == 0, style_));
        });
    }
    void operator()(const client::CaughtUp&) {}
    void operator()(const client::Resync& resync) {
        std::fprintf(stderr, "changes were missed: %s\n", resync.reason.c_str());
        output_.line(resync_line(resync.reason, style_));
        if (!arguments_.snapshot) status_ = kMissed;
    }
    void operator()(const client::StreamError& error) {
        std::fprintf(stderr, "%s. %s\n", error.message.c_str(), error.hint.c_str());
        output_.line(error_line(error, style_));
        status_ = kMissed;
    }
    void operator()(const client::Lost& lost) {
        if (!lost_) std::fprintf(stderr, "%s; trying again\n", lost.reason.c_str());
        if (!lost_ && lost.error && !lost.error->hint.empty())
            std::fprintf(stderr, "%s %s\n", lost.error->detail.c_str(), lost.error->hint.c_str());
        lost_ = true;
    }

private:
    // Takes events until none is there, and notes how far the events came whose lines are all
    // there. An event that --count cuts is not among them: it comes again as a whole.
    void print_batch(client::Subscription& subscription) {
        const auto end = Clock::now() + kWait;
        auto event = subscription.next(kWait);
        if (!event) printed_to_ = subscription.cursor();
        while (event) {
            std::visit(*this, *event);
            if (cut_) return;
            printed_to_ = subscription.cursor();
            if (done_ || stopped != 0 || output_.error() != 0 || Clock::now() >= end) return;
            event = subscription.next(std::chrono::milliseconds(0));
        }
    }

    // A change or a row: what --count counts.
    void print(const std::string& line) {
        cut_ = done_;
        if (done_) return;
        output_.line(line);
        done_ = ++printed_ == arguments_.count;
    }

    int cannot_write() const {
        if (output_.error() == EINTR && stopped != 0) return status_;
        std::fprintf(stderr,
                     "fatwal: standard output cannot be written: %s. What was not written is not "
                     "acknowledged.\n",
                     std::generic_category().message(output_.error()).c_str());
        return kFailed;
    }

    const TailArguments& arguments_;
    wire::AccountKey account_;
    LineStyle style_;
    CursorFile cursor_file_;
    Output output_{stopped};
    std::optional<client::Cursor> printed_to_;  // nothing while a snapshot is not whole
    std::uint64_t printed_ = 0;
    bool done_ = false;  // as many as --count says are printed
    bool cut_ = false;   // an event had more of them than --count let through
    bool lost_ = false;
    int status_ = 0;
};

}  // namespace

int tail(const TailArguments& arguments) {
    std::signal(SIGINT, stop);
    std::signal(SIGTERM, stop);
    std::signal(SIGPIPE, SIG_IGN);
    return Tail(arguments).run();
}

}  // namespace fatwal::cli
