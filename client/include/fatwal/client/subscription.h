// One account's stream of transactions, as a worker sees it.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "fatwal/client/assembler.h"
#include "fatwal/wire/control.h"

namespace zmq {
class context_t;
}

namespace fatwal::client {

struct SubscriptionOptions {
    std::string control;                              // endpoint of fatwald's control socket
    wire::AccountKey account;                         // AccountKey::from_text("…"); default: the operators' stream
    std::string name = "fatwal";                      // of the subscriber, for the sidecar's log; 1 to 63 bytes
    int receive_high_water_mark = 5000;               // messages queued before the sidecar's own queue fills
    std::size_t max_transaction_bytes = 268'435'456;  // of one transaction in memory
    std::chrono::milliseconds request_timeout{2000};  // for an answer, and for the marker of a join
};

// The subscription has joined: from here on nothing is missed, or a Gap says so. What was committed between a Lost and the next Joined may
// have been missed: read the database after Joined.
struct Joined {
    std::uint64_t epoch = 0;     // of the sidecar's run
    std::uint64_t sequence = 0;  // of the last message before the join
};

// The sidecar is gone or does not answer, or has refused (then `error` is its answer). The subscription tries again by itself.
struct Lost {
    std::string reason;
    std::optional<wire::ControlError> error;
};

using Event = std::variant<Joined, Transaction, Gap, StreamError, Lost>;

// Not thread-safe: one thread at a time. Throws zmq::error_t only when a socket cannot be made (out of descriptors, a malformed endpoint).
class Subscription {
public:
    // Begins to join at once. `context` outlives the subscription; one context serves all subscriptions of a process.
    Subscription(zmq::context_t& context, SubscriptionOptions options);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    // The next event; nothing when none came within `timeout`. Transactions come in commit order, each once in the life of the
    // subscription.
    std::optional<Event> next(std::chrono::milliseconds timeout);

    // For an event loop: a descriptor that is readable when next() may have something. Then call next(0ms) until it gives nothing. Belongs
    // to the subscription.
    [[nodiscard]] int fd() const;

private:
    class Link;
    std::unique_ptr<Link> link_;
};

}  // namespace fatwal::client
