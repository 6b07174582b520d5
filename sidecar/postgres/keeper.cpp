#include "sidecar/postgres/keeper.h"

#include <algorithm>

#include "fatwal/wire/text_sink.h"
#include "sidecar/postgres/patience.h"
#include "sidecar/postgres/published_tables.h"
#include "sidecar/postgres/read_facts.h"

namespace fatwal::sidecar {

namespace {

constexpr std::size_t kRowsPerStatement = 500;
// The server's own limit for a statement, and ours, which must leave it the time to answer.
constexpr char kStatementTimeout[] = "SET statement_timeout = '10s'";
constexpr std::chrono::seconds kKeeperStatementDeadline{13};
// At the end, for what is still to be written.
constexpr std::chrono::seconds kFarewell{2};

// Postgres refuses the values of a statement, not the statement: data exceptions, violated
// constraints (also of triggers), an index row that is too long. Any other error would meet each
// row alike.
bool refuses_values(const Failure& failure) {
    return failure.state.starts_with("22") || failure.state.starts_with("23") ||
           failure.state.starts_with("54") || failure.state == "P0001";
}

// Writes rows of fatwal.subscriber. A walsender's connection takes no parameters, so values are
// literals, several rows in one statement.
class RowWriter {
public:
    RowWriter(PGconn* connection, const Settings& settings)
        : connection_(connection), slot_(quote_literal(connection, settings.slot)) {}

    void insert(const DurableSubscriber* rows, std::size_t count) const {
        const auto row = [this](const DurableSubscriber& subscriber) {
            return key_of(subscriber) + ", '" + wire::lsn_text(subscriber.acknowledged) + "'";
        };
        (void)run(connection_, "cannot write fatwal.subscriber",
                  "INSERT INTO fatwal.subscriber AS s (slot, account_kind, account, subscriber, "
                  "acknowledged) VALUES " +
                      list_of(rows, count, row) +
                      " ON CONFLICT (slot, account_kind, account, subscriber) DO UPDATE "
                      "SET acknowledged = excluded.acknowledged, updated_at = now()");
    }
    void remove(const DurableSubscriber* rows, std::size_t count) const {
        const auto row = [this](const DurableSubscriber& subscriber) { return key_of(subscriber); };
        (void)run(
            connection_, "cannot write fatwal.subscriber",
            "DELETE FROM fatwal.subscriber WHERE (slot, account_kind, account, subscriber) IN (" +
                list_of(rows, count, row) + ")");
    }

private:
    std::string key_of(const DurableSubscriber& subscriber) const {
        return slot_ + ", " + std::to_string(static_cast<int>(subscriber.account.kind)) + ", " +
               quote_literal(connection_, subscriber.account.to_text()) + ", " +
               quote_literal(connection_, subscriber.name);
    }
    template <class Row>
    static std::string list_of(const DurableSubscriber* rows, std::size_t count, Row&& row) {
        std::string list;
        for (std::size_t i = 0; i < count; ++i)
            list += (list.empty() ? "(" : ", (") + row(rows[i]) + ")";
        return list;
    }

    PGconn* connection_;
    std::string slot_;
};

// Gives the rows that are refused.
std::vector<StoreResult::RefusedRow> write_rows(PGconn* connection, const Settings& settings,
                                                const std::vector<DurableSubscriber>& written,
                                                const std::vector<DurableSubscriber>& removed) {
    const RowWriter writer(connection, settings);
    std::vector<StoreResult::RefusedRow> refused;
    // A batch as a whole; if its values are refused, each row by itself.
    const auto write = [&](const std::vector<DurableSubscriber>& rows, auto&& batch) {
        for (std::size_t from = 0; from < rows.size(); from += kRowsPerStatement) {
            const std::size_t count = std::min(rows.size() - from, kRowsPerStatement);
            try {
                batch(rows.data() + from, count);
                continue;
            } catch (const Failure& failure) {
                if (!refuses_values(failure)) throw;
            }
            for (std::size_t i = from; i < from + count; ++i) {
                try {
                    batch(rows.data() + i, std::size_t{1});
                } catch (Failure& failure) {
                    if (!refuses_values(failure)) throw;
                    refused.push_back({rows[i], std::move(failure)});
                }
            }
        }
    };
    write(written,
          [&](const DurableSubscriber* rows, std::size_t count) { writer.insert(rows, count); });
    write(removed,
          [&](const DurableSubscriber* rows, std::size_t count) { writer.remove(rows, count); });
    return refused;
}

std::optional<std::int64_t> number(PGresult* result, int column) {
    if (PQgetisnull(result, 0, column) != 0) return std::nullopt;
    return std::stoll(PQgetvalue(result, 0, column));
}

}  // namespace

Keeper::Keeper(const Settings& settings)
    : settings_(settings),
      thread_("housekeeping", [this](const service::Stop& stop) { loop(stop); }) {}

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
    thread_.end();
}

void Keeper::post(Job job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
}

void Keeper::loop(const service::Stop& stop) {
    const Patience patience(stop.fd(), kKeeperStatementDeadline);
    for (;;) {
        if (!job_) {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
            // What is to be stored still is.
            if (jobs_.empty()) {
                ended_ = true;
                idle_.notify_one();
                return;
            }
            job_ = std::move(jobs_.front());
            jobs_.pop_front();
        }
        KeeperEvent event = perform(*job_);
        {
            const std::lock_guard lock(mutex_);
            done_.push_back(std::move(event));
        }
        job_.reset();
        event_.set();
    }
}

KeeperEvent Keeper::perform(const Job& job) {
    KeeperFailure failed{{}, job.ticket, false};
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
            return job.work(connection_.get()).value_or(StoreResult{job.ticket});
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
        } catch (const std::exception& error) {
            failed.failure = {"housekeeping failed", error.what(), {}, false};
            return failed;
        }
        // The connection was lost since the last job: once more on a new one.
    }
    return failed;
}

void Keeper::ask_what_is_visible() {
    post({0, [](PGconn* connection) -> std::optional<KeeperEvent> {
              const Result result = run(connection, "cannot read the current snapshot",
                                        "SELECT pg_current_snapshot()");
              const auto snapshot =
                  wire::TransactionSnapshot::from_text(PQgetvalue(result.get(), 0, 0));
              if (!snapshot)
                  throw Failure{
                      "the current snapshot is not understood", PQgetvalue(result.get(), 0, 0), {}};
              return VisibleSnapshot{*snapshot};
          }});
}

// A transaction that has a number and has written nothing commits without a flush of its own, and
// has the WAL writer flush.
void Keeper::flush_log() {
    post({0, [](PGconn* connection) -> std::optional<KeeperEvent> {
              (void)run(connection, "cannot have the log flushed", "SELECT pg_current_xact_id()");
              return std::nullopt;
          }});
}

void Keeper::ask_slot_health() {
    post({0, [this](PGconn* connection) -> std::optional<KeeperEvent> {
              const Result result =
                  run(connection, "cannot read the slot's state",
                      "SELECT wal_status, safe_wal_size, "
                      "pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::bigint "
                      "FROM pg_replication_slots WHERE slot_name = " +
                          quote_literal(connection, settings_.slot));
              if (PQntuples(result.get()) == 0) return SlotHealth{};
              return SlotHealth{SlotHealth::Slot{PQgetvalue(result.get(), 0, 0),
                                                 number(result.get(), 1),
                                                 number(result.get(), 2).value_or(0)}};
          }});
}

void Keeper::ask_facts(const pgoutput::Wanted& wanted, std::uint64_t ticket) {
    post({0, [wanted, ticket](PGconn* connection) -> std::optional<KeeperEvent> {
              return FactsResult{ticket, read_facts(connection, wanted)};
          }});
}

void Keeper::note_publications() {
    post({0, [this](PGconn* connection) -> std::optional<KeeperEvent> {
              const auto begin = std::chrono::steady_clock::now();
              PublicationsNoted noted;
              sidecar::note_publications(connection, settings_);
              if (auto own = unpublished_own_tables(connection, settings_);
                  own && own->stream_is_wrong) {
                  noted.lack = std::move(own->failure);
                  noted.lack->fatal = false;  // it may be mended
              }
              noted.took = std::chrono::steady_clock::now() - begin;
              return noted;
          }});
}

void Keeper::store(std::vector<DurableSubscriber> written, std::vector<DurableSubscriber> removed,
                   std::uint64_t ticket) {
    post({ticket,
          [this, ticket, written = std::move(written),
           removed = std::move(removed)](PGconn* connection) -> std::optional<KeeperEvent> {
              return StoreResult{ticket, write_rows(connection, settings_, written, removed)};
          }});
}

void Keeper::record(wire::Lsn confirmed) {
    post({0, [this, confirmed](PGconn* connection) -> std::optional<KeeperEvent> {
              (void)run(connection, "cannot write fatwal.slot",
                        "INSERT INTO fatwal.slot AS s (slot, confirmed) VALUES (" +
                            quote_literal(connection, settings_.slot) + ", '" +
                            wire::lsn_text(confirmed) +
                            "') ON CONFLICT (slot) DO UPDATE SET confirmed = greatest(s.confirmed, "
                            "excluded.confirmed), updated_at = now()");
              return RecordResult{confirmed};
          }});
}

std::optional<KeeperEvent> Keeper::next() {
    const std::lock_guard lock(mutex_);
    if (done_.empty()) {
        event_.clear();
        return std::nullopt;
    }
    KeeperEvent event = std::move(done_.front());
    done_.pop_front();
    return event;
}

}  // namespace fatwal::sidecar
