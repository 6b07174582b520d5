// fault_subscriber CONTROL ACCOUNT[,…] NAME[,…] FOLDER [durable] [slow]: follows an account, or
// several in a group, each by its own name, through whatever happens, and checks what it gets.
// Every transaction of test/fault/run raises the account's tally by one; so the worker knows what
// is lost, repeated or out of order. It keeps the account's items, and writes what is wrong to
// FOLDER/NAME.wrong, how far it came to FOLDER/NAME.count. A durable one keeps its state with its
// cursor in FOLDER/NAME.state, and resumes there when it is started again. When FOLDER/finish says
// how far each account came and it has come there, it writes the items to FOLDER/NAME.final and
// leaves. SIGUSR2 cuts its connections. One that is not durable follows the table `extra`, too,
// which comes into the publication and leaves it; so it gets resyncs, and only how its rows
// are at the end is judged. The durable ones do not read that table, and must never
// get one.
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "test/support/keys.h"

namespace {

using namespace fatwal::client;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kSlow = 4ms;  // for each transaction
constexpr auto kSaveInterval = 300ms;
constexpr auto kLookInterval = 200ms;

volatile std::sig_atomic_t cut = 0;
void ask_to_cut(int) { cut = 1; }

void cut_connections() {
    DIR* folder = opendir("/proc/self/fd");
    while (const dirent* entry = readdir(folder)) {
        const int fd = std::atoi(entry->d_name);
        sockaddr_storage peer{};
        socklen_t length = sizeof peer;
        if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0)
            shutdown(fd, SHUT_RDWR);
    }
    closedir(folder);
}

class Worker {
public:
    Worker(std::string account, std::string base, std::string folder, bool durable, bool slow)
        : account_(std::move(account)),
          base_(std::move(base)),
          finish_(folder + "/finish"),
          durable_(durable),
          slow_(slow) {
        wrong_ = open((base_ + ".wrong").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        std::ifstream state(base_ + ".state");
        std::string line;
        if (!durable_ || !std::getline(state, line)) return;
        cursor_ = Cursor::from_text(line);
        state >> tally_;
        for (std::int64_t id = 0, value = 0; state >> id >> value;) items_[id] = value;
    }

    [[nodiscard]] const std::optional<Cursor>& cursor() const { return cursor_; }

    void operator()(const Joined& joined) {
        ++joins_;
        note("joined epoch " + std::to_string(joined.epoch));
    }
    void operator()(const SnapshotBegin&) {
        note("snapshot");
        ++snapshots_;
        items_.clear();
        extras_.clear();
        tally_ = -1;
    }
    void operator()(const SnapshotRows& rows) {
        rows.for_each([&](const Row& row) {
            if (row.schema().table() == "tally") {
                if (tally_ != -1) wrong("twice: the tally is in the snapshot twice");
                tally_ = row.integer("n").value_or(-1);
            } else if (row.schema().table() == "extra") {
                extras_[*row.integer("id")] = *row.integer("value");
            } else if (!items_.emplace(*row.integer("id"), *row.integer("value")).second) {
                wrong("twice: an item is in the snapshot twice");
            }
        });
    }
    void operator()(const SnapshotEnd&) {
        if (tally_ == -1) wrong("lost: the snapshot has no tally");
    }
    void operator()(const Transaction& transaction) {
        int tallies = 0;
        bool rows = false;
        transaction.for_each([&](const Change& change) {
            if (change.op == fatwal::wire::Op::Resync) return;
            rows = true;
            if (change.malformed || change.schema == nullptr)
                return wrong("state: a change that is not understood");
            if (change.schema->table() == "tally") {
                ++tallies;
                apply_tally(change);
            } else if (change.schema->table() == "extra") {
                apply_extra(change);
            } else {
                apply_item(change);
            }
        });
        if (rows && tallies != 1)
            wrong("torn: a transaction with " + std::to_string(tallies) + " tallies");
        ++transactions_;
        if (slow_) usleep(std::chrono::microseconds(kSlow).count());
    }
    void operator()(const fatwal::client::CaughtUp&) {}
    void operator()(const Resync& resync) {
        ++resyncs_;
        // What a durable subscriber has not processed is kept for it.
        // pgoutput does not say which table the publication was altered for.
        const char* plugin = std::getenv("FATWAL_PLUGIN");
        const bool of_all_tables = plugin != nullptr && std::string_view(plugin) == "pgoutput" &&
                                   resync.reason.starts_with("rows changed");
        if (durable_ && !of_all_tables) wrong("resync: " + resync.reason);
    }
    void operator()(const StreamError& error) { wrong("error: " + error.message); }
    void operator()(const Lost& lost) { note(lost.reason); }

    // The old state or the new one is there whenever we are killed.
    void save(const Cursor& cursor) {
        const std::string fresh = base_ + ".state.new";
        std::ofstream state(fresh);
        state << cursor.to_text() << '\n' << tally_ << '\n';
        for (const auto& [id, value] : items_) state << id << ' ' << value << '\n';
        state.close();
        (void)std::rename(fresh.c_str(), (base_ + ".state").c_str());
        count();
    }

    // True when the account's end is reached; then all is written down. The file has the position
    // of the end: a cursor before it may have a snapshot to come.
    bool finished(fatwal::wire::Lsn next) {
        std::ifstream finish(finish_);
        std::string account;
        fatwal::wire::Lsn end = 0;
        finish >> end;
        for (std::int64_t n = 0; finish >> account >> n;) {
            if (account != account_ || n != tally_ || next < end) continue;
            std::ofstream last(base_ + ".final");
            for (const auto& [id, value] : items_) last << id << ' ' << value << '\n';
            if (!durable_)
                for (const auto& [id, value] : extras_)
                    last << "extra " << id << ' ' << value << '\n';
            count();
            return true;
        }
        return false;
    }

private:
    // For whoever looks for the reason of a failure.
    void note(const std::string& what) const {
        std::fprintf(stderr, "%lld %s; at tally %lld\n", static_cast<long long>(std::time(nullptr)),
                     what.c_str(), static_cast<long long>(tally_));
    }

    void wrong(const std::string& what) const {
        const std::string line = what + "; at tally " + std::to_string(tally_) + '\n';
        (void)!write(wrong_, line.data(), line.size());
    }

    void count() const {
        std::ofstream(base_ + ".count")
            << transactions_ << ' ' << joins_ << ' ' << snapshots_ << ' ' << resyncs_ << '\n';
    }

    void apply_tally(const Change& change) {
        const std::int64_t n = change.new_row->integer("n").value_or(-1);
        if (n > tally_ + 1) wrong("lost: the tally is " + std::to_string(n));
        if (n <= tally_)
            wrong((n == tally_ ? "twice: the tally is " : "order: the tally is ") +
                  std::to_string(n));
        tally_ = n;
    }

    void apply_item(const Change& change) {
        const auto value_of = [](const std::optional<Row>& row) {
            return row ? row->integer("value").value_or(-1) : -1;
        };
        const std::int64_t id =
            (change.new_row ? change.new_row : change.old_row)->integer("id").value_or(-1);
        if (change.op != fatwal::wire::Op::Insert) {
            const auto found = items_.find(id);
            if (found == items_.end() || found->second != value_of(change.old_row))
                wrong("state: item " + std::to_string(id) + " is not as it was");
            items_.erase(id);
        }
        if (change.op != fatwal::wire::Op::Delete &&
            !items_.emplace(id, value_of(change.new_row)).second)
            wrong("state: item " + std::to_string(id) + " is there already");
    }

    // Changes come also while its snapshot is owed, of rows that were never sent.
    void apply_extra(const Change& change) {
        const std::int64_t id =
            (change.new_row ? change.new_row : change.old_row)->integer("id").value_or(-1);
        extras_.erase(id);
        if (change.op != fatwal::wire::Op::Delete)
            extras_[id] = change.new_row->integer("value").value_or(-1);
    }

    std::string account_;
    std::string base_;
    std::string finish_;
    bool durable_;
    bool slow_;
    int wrong_ = -1;
    std::optional<Cursor> cursor_;
    std::map<std::int64_t, std::int64_t> items_;
    std::map<std::int64_t, std::int64_t> extras_;
    std::int64_t tally_ = -1;
    std::uint64_t transactions_ = 0;
    std::uint64_t joins_ = 0;
    std::uint64_t snapshots_ = 0;
    std::uint64_t resyncs_ = 0;
};

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(',', at), text.size());
        parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) return 2;
    const auto flag = [&](const char* name) {
        return std::any_of(argv + 5, argv + argc,
                           [&](const char* given) { return std::string(given) == name; });
    };
    const bool durable = flag("durable");
    std::signal(SIGUSR2, ask_to_cut);
    const std::vector<std::string> accounts = split(argv[2]);
    const std::vector<std::string> names = split(argv[3]);
    if (accounts.size() != names.size()) return 2;
    const std::string folder = argv[4];
    zmq::context_t context;
    SubscriptionGroup group(context);
    std::map<Subscription*, Worker> workers;
    std::vector<std::unique_ptr<Subscription>> subscriptions;
    for (std::size_t i = 0; i < accounts.size(); ++i) {
        std::string file = names[i];
        std::replace(file.begin(), file.end(), '/', '-');
        Worker worker(accounts[i], folder + '/' + file, folder, durable, flag("slow"));
        SubscriptionOptions options;
        options.control = split(argv[1]);
        options.keys = fatwal::test::keys_from_environment();
        options.account = fatwal::wire::AccountKey::from_text(accounts[i]);
        options.name = names[i];
        options.durable = durable;
        options.cursor = worker.cursor();
        options.resync_interval = 2s;
        if (durable) options.resync_tables = {"public.tally", "public.item"};
        options.receive_high_water_mark = 50;
        options.max_ahead_bytes = 65'536;
        options.credit = 65'536;
        subscriptions.push_back(std::make_unique<Subscription>(group, options));
        workers.emplace(subscriptions.back().get(), std::move(worker));
    }
    auto save_at = Clock::now() + kSaveInterval;
    auto look_at = Clock::now() + kLookInterval;
    for (;;) {
        Subscription* const ready = group.ready(50ms);
        const auto event = ready != nullptr ? ready->next(0ms) : std::nullopt;
        if (event) std::visit(workers.at(ready), *event);
        if (cut != 0) {
            cut = 0;
            cut_connections();
        }
        const auto now = Clock::now();
        if (durable && now >= save_at) {
            save_at = now + kSaveInterval;
            for (auto& [subscription, worker] : workers) {
                if (const auto cursor = subscription->cursor()) {
                    worker.save(*cursor);
                    subscription->ack(*cursor);
                }
            }
        }
        if (now < look_at || (event && !std::holds_alternative<Transaction>(*event))) continue;
        look_at = now + kLookInterval;
        if (std::all_of(workers.begin(), workers.end(), [](auto& member) {
                const auto cursor = member.first->cursor();
                return cursor && member.second.finished(cursor->next);
            }))
            return 0;
    }
}
