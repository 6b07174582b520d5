#include "keeper.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "fatwal/wire/text_sink.h"
#include "patience.h"

namespace fatwal {

namespace {

constexpr std::size_t kRowsPerStatement = 500;
// The server's own limit for a statement, and ours, which must leave it the time to answer.
constexpr char kStatementTimeout[] = "SET statement_timeout = '10s'";
constexpr std::chrono::seconds kStatementDeadline{13};
// At the end, for what is still to be written.
constexpr std::chrono::seconds kFarewell{2};

std::string key_of(const Settings& settings, const DurableSubscriber& subscriber) {
    return quote_literal(settings.slot) + ", " +
           std::to_string(static_cast<int>(subscriber.account.kind)) + ", " +
           quote_literal(subscriber.account.to_text()) + ", " + quote_literal(subscriber.name);
}

// Several rows in one statement: a walsender's connection knows no prepared ones.
template <class Row>
std::string list_of(const std::vector<DurableSubscriber>& subscribers, std::size_t from,
                    Row&& row) {
    std::string list;
    for (std::size_t i = from; i < std::min(subscribers.size(), from + kRowsPerStatement); ++i)
        list += (list.empty() ? "(" : ", (") + row(subscribers[i]) + ")";
    return list;
}

void write_rows(PGconn* connection, const Settings& settings,
                const std::vector<DurableSubscriber>& written,
                const std::vector<DurableSubscriber>& removed) {
    for (std::size_t from = 0; from < written.size(); from += kRowsPerStatement)
        (void)run(connection, "cannot write fatwal.subscriber",
                  "INSERT INTO fatwal.subscriber AS s (slot, account_kind, account, subscriber, "
                  "acknowledged) VALUES " +
                      list_of(written, from,
                              [&](const DurableSubscriber& row) {
                                  return key_of(settings, row) + ", '" +
                                         wire::lsn_text(row.acknowledged) + "'";
                              }) +
                      " ON CONFLICT (slot, account_kind, account, subscriber) DO UPDATE "
                      "SET acknowledged = excluded.acknowledged, updated_at = now()");
    for (std::size_t from = 0; from < removed.size(); from += kRowsPerStatement)
        (void)run(
            connection, "cannot write fatwal.subscriber",
            "DELETE FROM fatwal.subscriber WHERE (slot, account_kind, account, subscriber) IN (" +
                list_of(removed, from,
                        [&](const DurableSubscriber& row) { return key_of(settings, row); }) +
                ")");
}

std::optional<std::int64_t> number(PGresult* result, int column) {
    if (PQgetisnull(result, 0, column) != 0) return std::nullopt;
    return std::stoll(PQgetvalue(result, 0, column));
}

}  // namespace

Keeper::Keeper(const Settings& settings)
    : settings_(settings),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0 || stop_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    thread_ = std::thread([this] { loop(); });
}

Keeper::~Keeper() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    {
        std::unique_lock lock(mutex_);
        idle_.wait_for(lock, kFarewell, [this] { return ended_; });
        jobs_.clear();
    }
    eventfd_write(stop_, 1);
    thread_.join();
    close(event_);
    close(stop_);
}

void Keeper::post(Job job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
}

void Keeper::loop() {
    const Patience patience(stop_, kStatementDeadline);
    for (;;) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
            // What is to be stored still is.
            if (jobs_.empty()) {
                ended_ = true;
                idle_.notify_one();
                return;
            }
            job = std::move(jobs_.front());
            jobs_.pop_front();
        }
        Kept kept = perform(job);
        {
            const std::lock_guard lock(mutex_);
            done_.push_back(std::move(kept));
        }
        eventfd_write(event_, 1);
    }
}

Kept Keeper::perform(const Job& job) {
    KeeperFailed failed{{}, job.ticket, false};
    for (int attempt = 0; attempt < 2; ++attempt) {
        try {
            if (!connection_ || PQstatus(connection_.get()) != CONNECTION_OK) {
                connection_ = connect(settings_, ConnectAs::Replication,
                                      "cannot open the housekeeping connection");
                (void)run(connection_.get(), "cannot prepare the housekeeping connection",
                          kStatementTimeout);
                // A standby that is away must not keep the subscribers from being written down.
                (void)run(connection_.get(), "cannot prepare the housekeeping connection",
                          "SET synchronous_commit = local");
            }
            return job.work(connection_.get()).value_or(Stored{job.ticket});
        } catch (ConnectFailure& failure) {
            failed.server_goes_down = failure.refused_for_now;
            failed.failure = std::move(failure);
            failed.failure.fatal = false;
            connection_.reset();
            return failed;
        } catch (Failure& failure) {
            failed.failure = std::move(failure);
            const bool hangs = connection_ && still_runs(connection_.get());
            if (hangs) connection_.reset();
            // A deadline has passed: another one is for the next job.
            if (hangs || PQstatus(connection_.get()) == CONNECTION_OK) return failed;
        }
        // The connection was lost since the last job: once more on a new one.
    }
    return failed;
}

void Keeper::look_what_is_seen() {
    post({0, [](PGconn* connection) -> std::optional<Kept> {
              const Result result = run(connection, "cannot read the current snapshot",
                                        "SELECT pg_current_snapshot()");
              const auto snapshot =
                  wire::TransactionSnapshot::from_text(PQgetvalue(result.get(), 0, 0));
              if (!snapshot)
                  throw Failure{
                      "the current snapshot is not understood", PQgetvalue(result.get(), 0, 0), {}};
              return Seen{*snapshot};
          }});
}

void Keeper::look_at_slot() {
    post({0, [this](PGconn* connection) -> std::optional<Kept> {
              const Result result =
                  run(connection, "cannot read the slot's state",
                      "SELECT wal_status, safe_wal_size, "
                      "pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::bigint "
                      "FROM pg_replication_slots WHERE slot_name = " +
                          quote_literal(settings_.slot));
              if (PQntuples(result.get()) == 0) return SlotHealth{};
              return SlotHealth{SlotHealth::Slot{PQgetvalue(result.get(), 0, 0),
                                                 number(result.get(), 1),
                                                 number(result.get(), 2).value_or(0)}};
          }});
}

void Keeper::store(std::vector<DurableSubscriber> written, std::vector<DurableSubscriber> removed,
                   std::uint64_t ticket) {
    post({ticket,
          [this, written = std::move(written),
           removed = std::move(removed)](PGconn* connection) -> std::optional<Kept> {
              write_rows(connection, settings_, written, removed);
              return std::nullopt;
          }});
}

void Keeper::record(wire::Lsn confirmed) {
    post({0, [this, confirmed](PGconn* connection) -> std::optional<Kept> {
              (void)run(connection, "cannot write fatwal.slot",
                        "INSERT INTO fatwal.slot AS s (slot, confirmed) VALUES (" +
                            quote_literal(settings_.slot) + ", '" + wire::lsn_text(confirmed) +
                            "') ON CONFLICT (slot) DO UPDATE SET confirmed = greatest(s.confirmed, "
                            "excluded.confirmed), updated_at = now()");
              return Recorded{confirmed};
          }});
}

std::optional<Kept> Keeper::take() {
    const std::lock_guard lock(mutex_);
    eventfd_t count = 0;
    if (done_.empty()) {
        eventfd_read(event_, &count);
        return std::nullopt;
    }
    Kept kept = std::move(done_.front());
    done_.pop_front();
    return kept;
}

}  // namespace fatwal
