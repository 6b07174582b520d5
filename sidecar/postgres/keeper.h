// Housekeeping in the database beside the stream, in a thread of its own: what snapshots see now,
// the slot's health, the table of durable subscribers. Its connection is a walsender's, as a server
// that shuts down does not wait for those.
//
// Durability waits for this connection, so nothing on it may hang. The server ends a statement that
// takes too long (a lock on our tables); a little later we do, which is for a server that is
// silent. Either way the job fails, with a reason in the log, and the next one gets a new
// connection.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fatwal/wire/transaction_snapshot.h"
#include "service/event.h"
#include "service/helper_thread.h"
#include "sidecar/durable_subscriber.h"
#include "sidecar/pgoutput/catalogue.h"
#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

// What all later snapshots see.
struct VisibleSnapshot {
    wire::TransactionSnapshot snapshot;
};
// The columns of pg_replication_slots; nothing when the slot is missing.
struct SlotHealth {
    struct Slot {
        std::string wal_status;
        std::optional<std::int64_t>
            safe_wal_size;                // bytes that can be written before the slot is lost
        std::int64_t retained_bytes = 0;  // WAL from restart_lsn to the end
    };
    std::optional<Slot> slot;
};
struct StoreResult {
    std::uint64_t ticket = 0;  // as given
    // The rows that the table refuses by themselves, and why. All others are stored.
    struct RefusedRow {
        DurableSubscriber row;
        Failure failure;
    };
    std::vector<RefusedRow> refused = {};
};
struct RecordResult {
    wire::Lsn confirmed = 0;  // as given
};
struct KeeperFailure {
    Failure failure;
    std::uint64_t ticket = 0;       // of a store(), else 0
    bool server_goes_down = false;  // it takes no connections any more, or not yet
};
struct FactsResult {
    std::uint64_t ticket = 0;  // as given
    pgoutput::RelationFacts facts;
};
// The publications were compared with how they were.
struct PublicationsNoted {
    std::optional<Failure> lack;  // what the stream is wrong without
    std::chrono::steady_clock::duration took = {};
};
using KeeperEvent = std::variant<VisibleSnapshot, SlotHealth, StoreResult, RecordResult,
                                 FactsResult, PublicationsNoted, KeeperFailure>;

class Keeper {
public:
    explicit Keeper(const Settings& settings);
    ~Keeper();
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;

    void ask_what_is_visible();
    void ask_slot_health();
    // Has the server write its log out to the end, as a commit does: what is not committed yet may
    // wait in its memory, and is not streamed so long.
    void flush_log();
    // What the catalogs say of a table, for a stream that waits for it.
    void ask_facts(const pgoutput::Wanted& wanted, std::uint64_t ticket);
    // Writes down how the publications are, if they were altered: a stream of pgoutput does not say
    // so.
    void note_publications();
    // Writes the subscribers into the table and takes the others out of it. A ticket other than 0
    // asks for a StoreResult. A row that the table refuses costs the others nothing: the batch that
    // it fails is written again row by row.
    void store(std::vector<DurableSubscriber> written, std::vector<DurableSubscriber> removed,
               std::uint64_t ticket);
    // Writes down how far the slot is about to be confirmed.
    void record(wire::Lsn confirmed);

    // Readable when next() has something.
    [[nodiscard]] int fd() const { return event_.fd(); }
    std::optional<KeeperEvent> next();

private:
    struct Job {
        std::uint64_t ticket = 0;
        std::function<std::optional<KeeperEvent>(PGconn*)> work;
    };
    void post(Job job);
    void loop(const service::Stop& stop);
    KeeperEvent perform(const Job& job);

    const Settings& settings_;
    service::Event event_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> jobs_;
    std::deque<KeeperEvent> done_;
    bool stopping_ = false;
    bool ended_ = false;            // the thread has done all that was posted
    std::condition_variable idle_;  // ended_ is set
    // The thread's. The job stays here until its result is handed over.
    std::optional<Job> job_;
    Connection connection_;
    service::HelperThread thread_;
};

}  // namespace fatwal::sidecar
