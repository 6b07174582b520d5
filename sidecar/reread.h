// Reads the log of one account again, from a position that Postgres still holds: a temporary copy of the slot on a connection of its own,
// so the stream is not disturbed. A thread reads; it waits while its reader is slower.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include <zmq.hpp>

#include "connection.h"
#include "fatwal/wire/control.h"

namespace fatwal {

class Reread {
public:
    // `event` is an eventfd that is written when take() may have more.
    Reread(const Settings& settings, wire::AccountKey account, wire::Lsn from, int event);
    ~Reread();
    Reread(const Reread&) = delete;
    Reread& operator=(const Reread&) = delete;

    struct Message {
        zmq::message_t payload;
        bool ends_transaction = false;  // of the account
        wire::Lsn commit_lsn = 0;       // 0 of a schema
    };
    // Every transaction that commits before it was given.
    struct Reached {
        wire::Lsn position = 0;
    };
    using Item = std::variant<Message, Reached, Failure>;
    std::optional<Item> take();

private:
    void read_to_end();
    void read();
    bool put(Item item, std::size_t bytes);
    void take_message(wire::Bytes message);

    const Settings& settings_;
    wire::AccountKey account_;
    wire::Lsn from_;
    int event_;
    int stop_;
    std::mutex mutex_;
    std::condition_variable room_;
    std::deque<std::pair<Item, std::size_t>> items_;
    std::size_t bytes_ = 0;
    bool stopping_ = false;
    wire::Lsn done_ = 0;
    std::thread thread_;
};

}  // namespace fatwal
