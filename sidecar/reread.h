// Reads the log of one account again, from a position that Postgres still holds up to what is published when it begins: by a temporary copy
// of the slot on a connection of its own, so the stream is not disturbed. A thread reads, into a file, as fast as Postgres gives it; so a
// slow reader keeps nothing busy, and several read the same.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "connection.h"
#include "fatwal/wire/control.h"
#include "spool.h"

namespace fatwal {

class Reread {
public:
    // `event` is an eventfd that is written when there is more, or all.
    Reread(const Settings& settings, wire::AccountKey account, wire::Lsn from, wire::Lsn until, int event);
    ~Reread();
    Reread(const Reread&) = delete;
    Reread& operator=(const Reread&) = delete;

    struct State {
        bool ended = false;
        std::optional<Failure> failure;
    };
    [[nodiscard]] State state() const;
    // The account's messages: schemas, and the frames from `from` on, whole transactions in commit order.
    [[nodiscard]] const Spool& spool() const { return spool_; }
    // Every transaction of the account that commits before it is in the file, once it has ended.
    [[nodiscard]] wire::Lsn until() const { return until_; }

private:
    void read_to_end();
    void read();
    void take_message(wire::Bytes message);

    const Settings& settings_;
    wire::AccountKey account_;
    wire::Lsn from_;
    wire::Lsn until_;
    int event_;
    int stop_;
    Spool spool_;
    wire::Lsn done_;  // the thread's
    mutable std::mutex mutex_;
    State state_;
    std::thread thread_;
};

}  // namespace fatwal
