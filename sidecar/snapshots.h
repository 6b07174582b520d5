// Snapshots of accounts: read from the database in threads of their own, one for all who ask at
// about the same time, kept in unlinked files until their readers have them. So neither a large
// account nor a slow reader costs memory.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <zmq.hpp>

#include "connection.h"
#include "fatwal/wire/control.h"
#include "spool.h"

namespace fatwal {

class Snapshots {
public:
    using Time = std::chrono::steady_clock::time_point;
    using Id = std::uint64_t;

    // A snapshot has been taken by the database: its rows are being read.
    struct Taken {
        Id id = 0;
        wire::TransactionSnapshot sees;
        wire::Lsn until = 0;  // every transaction that it sees commits before
    };
    // Some of its messages, as the extension wrote them.
    struct Part {
        std::vector<zmq::message_t> messages;
        std::uint64_t next_offset = 0;
        bool end = false;
    };

    explicit Snapshots(const Settings& settings);
    ~Snapshots();
    Snapshots(const Snapshots&) = delete;
    Snapshots& operator=(const Snapshots&) = delete;

    // The snapshot that serves the account now, a new one if there is none. It goes on at `floor`
    // or later.
    Id find_or_begin(const wire::AccountKey& account, wire::Lsn floor, Time now);
    // Where the stream goes on after it, to be set once it is taken.
    void set_cursor(Id id, wire::Lsn cursor);
    // Takes it anew, as what it does not see is no longer to be had.
    void take_again(Id id, Time now);

    enum class State { Unknown, Waiting, Readable, Failed };
    // Waiting: nothing to read at `offset` yet.
    [[nodiscard]] State state(Id id, std::uint64_t offset) const;
    [[nodiscard]] Failure failure(Id id) const;
    [[nodiscard]] wire::AccountKey account(Id id) const;
    // Of a snapshot that is Readable: the reply without its messages, and about `credit` bytes of
    // those, one at least.
    [[nodiscard]] wire::SnapshotPart head(Id id) const;
    [[nodiscard]] std::optional<Part> read(Id id, std::uint64_t offset, std::size_t credit,
                                           Time now);

    // Readable when a snapshot was taken, has grown, or has ended; then call progress().
    [[nodiscard]] int fd() const { return event_; }
    // What was taken since the last call.
    std::vector<Taken> progress();
    // Begins those that wait for their turn, forgets those that nobody reads any more; gives the
    // ids of the forgotten.
    std::vector<Id> tick(Time now);
    // Forgets all: the stream has begun anew.
    void clear();

    // The newest that was begun, and the oldest that may have been taken but is not known to
    // progress() yet; its number is that of the next one when there is none.
    [[nodiscard]] Id newest_begun() const { return newest_begun_; }
    [[nodiscard]] Id oldest_unknown() const;
    [[nodiscard]] std::uint64_t queries() const { return queries_; }
    [[nodiscard]] std::size_t size() const { return snapshots_.size(); }

private:
    class Job;
    struct Snapshot;
    void begin_waiting(Time now);
    void try_again(Snapshot& snapshot, const Failure& why, Time now);
    [[nodiscard]] Snapshot* find(Id id) const;

    const Settings& settings_;
    int event_;
    Id last_id_ = 0;
    Id newest_begun_ = 0;
    std::uint64_t queries_ = 0;
    std::map<Id, std::unique_ptr<Snapshot>> snapshots_;
};

}  // namespace fatwal
