#include "snapshots.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <system_error>

#include <spdlog/spdlog.h>

#include "log_text.h"
#include "patience.h"

namespace fatwal {

namespace {

constexpr std::uint64_t kBytesBetweenSignals = 256 * 1024;
constexpr std::chrono::seconds kFailureKept{5};
// For each statement, and for each row of a snapshot. A row may wait for a lock on its table, or
// for a scan that finds none of the account.
constexpr std::chrono::minutes kStatementDeadline{10};
// The loop waits for a job that ends, so it is short.
constexpr std::chrono::milliseconds kCancelDeadline{200};
// fatwal.snapshot's answer when a table was rewritten after the snapshot was taken: it would be
// empty in it. Another snapshot sees its rows.
constexpr char kSerializationFailure[] = "40001";
// Tries after the first, with a pause before each that doubles, 3 s in all. A try waits for the
// lock of a rewrite that is under way, so only rewrites that end one after the other use the tries
// up; then the subscriber gets the error, and asks again by itself.
constexpr int kTries = 5;
constexpr std::chrono::milliseconds kFirstPause{100};

template <class T>
T from_network(const char* bytes) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i)
        value = static_cast<T>(value << 8U | static_cast<unsigned char>(bytes[i]));
    return value;
}

// The one bytea of each row of COPY (FORMAT binary), without the header and the trailer of the
// whole.
class CopyRows {
public:
    // Of what libpq gave: a row at a time, the header before the first.
    std::optional<std::string_view> row(std::string_view data) {
        if (!header_read_) {
            constexpr std::size_t kSignature = 11;
            if (data.size() < kSignature + 8) throw malformed();
            const std::size_t header =
                kSignature + 8 + from_network<std::uint32_t>(data.data() + kSignature + 4);
            if (data.size() < header) throw malformed();
            data.remove_prefix(header);
            header_read_ = true;
            if (data.empty()) return std::nullopt;
        }
        if (data.size() < 2) throw malformed();
        if (from_network<std::uint16_t>(data.data()) == 0xFFFF) return std::nullopt;
        if (data.size() < 6 || from_network<std::uint16_t>(data.data()) != 1) throw malformed();
        const auto length = from_network<std::uint32_t>(data.data() + 2);
        if (data.size() - 6 != length) throw malformed();
        return data.substr(6);
    }

private:
    static Failure malformed() { return {"the server's COPY is not understood", {}, {}}; }
    bool header_read_ = false;
};

}  // namespace

// What the thread and the loop share.
class Snapshots::Job {
public:
    // Begins after `pause`.
    Job(const Settings& settings, wire::AccountKey account, int event,
        std::chrono::milliseconds pause)
        : settings_(settings),
          account_(std::move(account)),
          event_(event),
          stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
          spool_(settings.spool_dir) {
        if (stop_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
        thread_ = std::thread([this, pause] { run_to_end(pause); });
    }
    ~Job() {
        eventfd_write(stop_, 1);
        thread_.join();
        close(stop_);
    }
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    struct View {
        bool taken = false;
        bool ended = false;
        std::optional<Failure> failure;
        bool outdated = false;  // another try may have what this one lacks
        wire::TransactionSnapshot sees;
        wire::Lsn until = 0;
    };
    [[nodiscard]] View view() {
        const std::lock_guard lock(mutex_);
        return view_;
    }
    [[nodiscard]] bool ended() {
        const std::lock_guard lock(mutex_);
        return view_.ended;
    }
    [[nodiscard]] const Spool& spool() const { return spool_; }

private:
    void run_to_end(std::chrono::milliseconds pause) {
        std::optional<Failure> failure;
        pollfd wait = {stop_, POLLIN, 0};
        if (pause.count() > 0) (void)poll(&wait, 1, static_cast<int>(pause.count()));
        try {
            read();
        } catch (Failure& caught) {
            failure = std::move(caught);
        } catch (const std::exception& error) {
            failure = Failure{"cannot take a snapshot", error.what(), {}};
        }
        const std::lock_guard lock(mutex_);
        view_.failure = std::move(failure);
        view_.ended = true;
        eventfd_write(event_, 1);
    }

    void read() {
        const Patience patience(stop_, kStatementDeadline);
        const Connection connection =
            connect(settings_, ConnectAs::Ordinary, "cannot connect for a snapshot");
        PGconn* server = connection.get();
        // Rows that the role may not see are an error, not missing.
        (void)run(server, "cannot prepare a snapshot", "SET row_security = off");
        (void)run(server, "cannot begin a snapshot",
                  "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        // The position is read after the snapshot was taken, as the query itself runs in it.
        const Result taken = run(server, "cannot take a snapshot",
                                 "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn()");
        const auto sees = wire::TransactionSnapshot::from_text(PQgetvalue(taken.get(), 0, 0));
        if (!sees)
            throw Failure{"the snapshot is not understood", PQgetvalue(taken.get(), 0, 0), {}};
        {
            const std::lock_guard lock(mutex_);
            view_.taken = true;
            view_.sees = *sees;
            view_.until = lsn_of(PQgetvalue(taken.get(), 0, 1));
        }
        eventfd_write(event_, 1);
        copy(server);
        (void)run(server, "cannot end a snapshot", "COMMIT");
    }

    void copy(PGconn* server) {
        const std::string account = account_.kind == wire::AccountKind::Operators
                                        ? "NULL"
                                        : quote_literal(server, account_.to_text());
        (void)run(server, "cannot read a snapshot",
                  "COPY (SELECT fatwal.snapshot(" + account + ", " +
                      quote_literal(server, settings_.publication) +
                      ")) TO STDOUT (FORMAT binary)");
        CopyRows rows;
        std::uint64_t signalled = 0;
        for (;;) {
            const CopyRow row = next_copy_row(server);
            const std::unique_ptr<char, void (*)(void*)> data(row.data, PQfreemem);
            if (row.waited != Waited::Ready) {
                cancel(server, kCancelDeadline);
                throw Failure{"cannot read a snapshot",
                              row.waited == Waited::Stopped
                                  ? "It is stopped."
                                  : "The server sent nothing for too long.",
                              {},
                              false};
            }
            if (row.length < 0) break;
            const auto message = rows.row({row.data, static_cast<std::size_t>(row.length)});
            if (!message) continue;
            spool_.append(wire::as_bytes(*message));
            if (spool_.size() - signalled < kBytesBetweenSignals) continue;
            signalled = spool_.size();
            eventfd_write(event_, 1);
        }
        const auto deadline = std::chrono::steady_clock::now() + kStatementDeadline;
        const Result result(next_result(server, deadline).result);
        if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
            Failure failure = failure_of("cannot read a snapshot", server, result.get());
            const char* state =
                result ? PQresultErrorField(result.get(), PG_DIAG_SQLSTATE) : nullptr;
            if (state != nullptr && std::strcmp(state, kSerializationFailure) == 0) {
                const std::lock_guard lock(mutex_);
                view_.outdated = true;
            }
            if (failure.hint.empty() &&
                std::strstr(failure.detail.c_str(), "permission denied") != nullptr)
                failure.hint = "GRANT SELECT on the published tables to fatwald's role.";
            throw failure;
        }
        while (Result(next_result(server, deadline).result)) continue;
    }

    const Settings& settings_;
    wire::AccountKey account_;
    int event_;
    int stop_;
    Spool spool_;
    std::mutex mutex_;
    View view_;
    std::thread thread_;
};

struct Snapshots::Snapshot {
    wire::AccountKey account;
    std::unique_ptr<Job> job;  // none before its turn
    bool told = false;         // progress() has given it
    bool ended = false;
    bool sent = false;  // somebody has some of its rows
    bool gone = false;  // it was not read to its end: whoever has some of its rows begins again,
                        // with another snapshot
    int tries = 0;      // that came to nothing
    std::optional<Failure> failure;
    wire::SnapshotPart head;  // its cursor 0: not known yet
    Time taken;               // when its turn came
    Time touched;             // when somebody read of it, or it ended
};

Snapshots::Snapshots(const Settings& settings)
    : settings_(settings), event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Snapshots::~Snapshots() {
    snapshots_.clear();
    close(event_);
}

Snapshots::Snapshot* Snapshots::find(Id id) const {
    const auto found = snapshots_.find(id);
    return found == snapshots_.end() ? nullptr : found->second.get();
}

Snapshots::Id Snapshots::find_or_begin(const wire::AccountKey& account, wire::Lsn floor, Time now) {
    const auto reuse = std::chrono::milliseconds(settings_.snapshot_reuse_ms);
    for (auto at = snapshots_.rbegin(); at != snapshots_.rend(); ++at) {
        const Snapshot& snapshot = *at->second;
        if (snapshot.account != account || snapshot.failure || snapshot.gone) continue;
        if (snapshot.head.cursor != 0 && snapshot.head.cursor < floor) continue;
        if (!snapshot.ended || now - snapshot.taken <= reuse) return at->first;
    }
    auto snapshot = std::make_unique<Snapshot>();
    snapshot->account = account;
    snapshot->head.snapshot = ++last_id_;
    snapshot->touched = now;
    snapshots_.emplace(last_id_, std::move(snapshot));
    begin_waiting(now);
    return last_id_;
}

void Snapshots::begin_waiting(Time now) {
    int running = 0;
    for (const auto& [id, snapshot] : snapshots_)
        if (snapshot->job && !snapshot->ended) ++running;
    for (auto& [id, snapshot] : snapshots_) {
        if (running >= settings_.snapshot_concurrency) return;
        if (snapshot->job) continue;
        const auto pause = snapshot->tries == 0 ? std::chrono::milliseconds(0)
                                                : kFirstPause * (1 << (snapshot->tries - 1));
        snapshot->job = std::make_unique<Job>(settings_, snapshot->account, event_, pause);
        snapshot->taken = snapshot->touched = now;
        newest_begun_ = std::max(newest_begun_, id);
        ++queries_;
        ++running;
    }
}

void Snapshots::set_cursor(Id id, wire::Lsn cursor) {
    if (Snapshot* snapshot = find(id)) snapshot->head.cursor = cursor;
}

Snapshots::State Snapshots::state(Id id, std::uint64_t offset) const {
    const Snapshot* snapshot = find(id);
    if (snapshot == nullptr || snapshot->gone) return State::Unknown;
    if (snapshot->failure) return State::Failed;
    if (!snapshot->job || snapshot->head.cursor == 0) return State::Waiting;
    return snapshot->ended || snapshot->job->spool().size() > offset ? State::Readable
                                                                     : State::Waiting;
}

Failure Snapshots::failure(Id id) const {
    const Snapshot* snapshot = find(id);
    return snapshot != nullptr && snapshot->failure ? *snapshot->failure : Failure{};
}

wire::AccountKey Snapshots::account(Id id) const {
    const Snapshot* snapshot = find(id);
    return snapshot == nullptr ? wire::AccountKey{} : snapshot->account;
}

wire::SnapshotPart Snapshots::head(Id id) const {
    const Snapshot* snapshot = find(id);
    return snapshot == nullptr ? wire::SnapshotPart{} : snapshot->head;
}

std::optional<Snapshots::Part> Snapshots::read(Id id, std::uint64_t offset, std::size_t credit,
                                               Time now) {
    Snapshot* snapshot = find(id);
    if (snapshot == nullptr || !snapshot->job) return std::nullopt;
    snapshot->touched = now;
    auto read = snapshot->job->spool().read(offset, credit);
    if (!read) return std::nullopt;
    snapshot->sent = true;
    const bool end = snapshot->ended && read->next_offset == snapshot->job->spool().size();
    return Part{std::move(read->messages), read->next_offset, end};
}

void Snapshots::take_again(Id id, Time now) {
    Snapshot* snapshot = find(id);
    if (snapshot == nullptr) return;
    snapshot->job.reset();
    snapshot->told = snapshot->ended = false;
    begin_waiting(now);
}

// A table was rewritten behind the snapshot's back: what was read of it is void, and its rows are
// read in another snapshot. Whoever waits for it waits on. Whoever has rows of it already cannot
// keep them, and offsets into it mean nothing in another one: it is gone for them, and they find a
// new one, with the tries that are left.
void Snapshots::try_again(Snapshot& snapshot, const Failure& why, Time now) {
    spdlog::info("the snapshot of account {} is taken again: {}",
                 log_text(snapshot.account.to_text()), why.text());
    if (!snapshot.sent) {
        ++snapshot.tries;
        snapshot.job.reset();
        snapshot.told = snapshot.ended = false;
        snapshot.head.cursor = 0;
        return;
    }
    snapshot.ended = snapshot.gone = true;
    snapshot.touched = now;
    auto next = std::make_unique<Snapshot>();
    next->account = snapshot.account;
    next->head.snapshot = ++last_id_;
    next->touched = now;
    next->tries = snapshot.tries + 1;
    snapshots_.emplace(last_id_, std::move(next));
}

std::vector<Snapshots::Taken> Snapshots::progress() {
    eventfd_t count = 0;
    eventfd_read(event_, &count);
    std::vector<Taken> taken;
    const auto now = std::chrono::steady_clock::now();
    for (auto& [id, snapshot] : snapshots_) {
        if (!snapshot->job || snapshot->ended) continue;
        const Job::View view = snapshot->job->view();
        if (view.ended && view.outdated && snapshot->tries < kTries) {
            try_again(*snapshot, *view.failure, now);
            continue;
        }
        if (view.taken && !snapshot->told) {
            snapshot->told = true;
            snapshot->head.until = view.until;
            snapshot->head.sees = view.sees;
            taken.push_back({id, view.sees, view.until});
        }
        if (!view.ended) continue;
        snapshot->ended = true;
        snapshot->failure = view.failure;
        snapshot->touched = now;
    }
    begin_waiting(now);
    return taken;
}

std::vector<Snapshots::Id> Snapshots::tick(Time now) {
    const auto kept = std::max<std::chrono::steady_clock::duration>(
        std::chrono::milliseconds(settings_.snapshot_reuse_ms), kFailureKept);
    std::vector<Id> forgotten;
    std::erase_if(snapshots_, [&](const auto& entry) {
        if (!entry.second->ended || now - entry.second->touched <= kept) return false;
        forgotten.push_back(entry.first);
        return true;
    });
    return forgotten;
}

void Snapshots::clear() { snapshots_.clear(); }

Snapshots::Id Snapshots::oldest_unknown() const {
    for (const auto& [id, snapshot] : snapshots_)
        if (snapshot->job && !snapshot->told && !snapshot->ended) return id;
    return newest_begun_ + 1;
}

}  // namespace fatwal
