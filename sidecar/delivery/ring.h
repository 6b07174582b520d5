// What was published, numbered account by account and kept for replay: the newest of it, bounded in
// bytes, in all and for each account.
//
// An account's log is a queue of messages with dense numbers. The ring is one list of all kept
// messages in the order in which they came, over all logs, so the oldest of all goes first when the
// bytes of all pass their bound, and the oldest of an account when its own do:
//
//     ring     a1  b1  a2  a3  b2        list of logs: a b a a b
//     log a    1   2   3                 kept: numbers `sequence - kept + 1` to `sequence`
//     log b    1   2
//
// A log's floor is a position, as subscribers ask by cursors: every message of a transaction that
// commits at the floor or later is kept. A transaction of which a part was dropped is not whole any
// more, so the floor passes its commit.
//
// Invariants: numbers are dense (the last `kept` of them are here); commits come in their order;
// the floor never falls; bytes are the sum of what is kept. One thread: fatwald's loop.
#pragma once

#include <cstdint>
#include <deque>
#include <list>

#include <zmq.hpp>

#include "fatwal/wire/types.h"

namespace fatwal::sidecar {

class AccountLog;

class Ring {
public:
    // Counted for each message besides its own bytes.
    static constexpr std::size_t kOverheadBytes = 256;

    Ring(std::size_t max_bytes, std::size_t max_account_bytes)
        : max_bytes_(max_bytes), max_account_bytes_(max_account_bytes) {}

    [[nodiscard]] std::size_t bytes() const { return bytes_; }

private:
    friend class AccountLog;
    void trim(AccountLog& log);

    std::size_t max_bytes_;
    std::size_t max_account_bytes_;
    std::size_t bytes_ = 0;
    std::list<AccountLog*>
        oldest_first_;  // the log of each message that is kept, in the order in which they came
};

// The messages of one account. Its numbers are dense and begin with 1.
class AccountLog {
public:
    // Nothing of the account that commits at `floor` or later was published before.
    AccountLog(Ring& ring, wire::Lsn floor) : ring_(ring), floor_(floor) {}
    ~AccountLog();
    AccountLog(const AccountLog&) = delete;
    AccountLog& operator=(const AccountLog&) = delete;

    // Gives it the next number. May drop older ones, of this account or of others; the number stays
    // taken.
    std::uint64_t append(zmq::message_t payload, wire::Lsn commit_lsn);

    // The number of the last message; 0 when there was none.
    [[nodiscard]] std::uint64_t sequence() const { return sequence_; }
    // Every message of a transaction that commits at this position or later is kept.
    [[nodiscard]] wire::Lsn floor() const { return floor_; }
    // Where the newest transaction commits; 0 when none was published.
    [[nodiscard]] wire::Lsn newest() const { return newest_; }
    [[nodiscard]] bool empty() const { return kept_.empty(); }

    // Nothing when it is not kept.
    [[nodiscard]] zmq::message_t* find(std::uint64_t sequence);
    // The number of the first message of the transactions that commit at `cursor` or later;
    // sequence() + 1 when there is none. `cursor` is not below floor().
    [[nodiscard]] std::uint64_t first_from(wire::Lsn cursor) const;

private:
    friend class Ring;
    struct Entry {
        zmq::message_t payload;
        std::size_t bytes;  // libzmq forgets the size of a message that is sent
        wire::Lsn commit_lsn;
        std::list<AccountLog*>::iterator in_ring;
    };
    void drop_oldest();

    Ring& ring_;
    std::deque<Entry> kept_;
    std::size_t bytes_ = 0;
    std::uint64_t sequence_ = 0;
    wire::Lsn floor_;
    wire::Lsn newest_ = 0;
};

}  // namespace fatwal::sidecar
