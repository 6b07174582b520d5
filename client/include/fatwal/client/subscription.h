// One account's stream, as a worker sees it: its rows, then every change after them, each once and
// in commit order, whatever is killed, stalled or cut in between.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fatwal/client/cursor.h"
#include "fatwal/client/events.h"
#include "fatwal/wire/control.h"

namespace zmq {
class context_t;
}

namespace fatwal::client {

struct SubscriptionOptions {
    std::vector<std::string> control;  // endpoints of the control sockets of the sidecars: one
                                       // streams, the others wait to take over
    wire::AccountKey account;     // AccountKey::from_text("…"); default: the operators' stream
    std::string name = "fatwal";  // of the subscriber, for the sidecar's log and, of a durable one,
                                  // its memory; 1 to 63 bytes

    // The sidecar, and Postgres, keep what this subscriber has not acknowledged, within the
    // retention that the operator has set. The name is its own in the account. Where it goes on its
    // cursor says: without one, and without snapshots, what is kept is passed over.
    bool durable = false;
    // Where an earlier subscription stood (Subscription::cursor): without one it begins with a
    // snapshot.
    std::optional<Cursor> cursor;
    // How far an earlier subscription of the account came, whose rows are to be read again: the
    // snapshot is taken after that, and CaughtUp does not come before the stream is there. Of
    // another history it means nothing.
    std::optional<Cursor> not_before;
    // Without snapshots it begins with what comes, and is told by Resync when something is missing.
    bool snapshots = true;
    // A transaction that committed longer ago is not delivered any more; a new snapshot is taken
    // instead, at most one in such a time. Ages are by Postgres's clock alone, which the sidecar
    // sends along: this machine's may be wrong. 0: any is delivered.
    std::chrono::seconds resync_after{1800};
    // The least time from a snapshot that a resync record asked for (wire::Op::Resync) to the next
    // one. The first record is replaced by a snapshot at once. A record within the interval is
    // delivered as a change, and one snapshot follows for all of them when the interval is over;
    // until then cursor() stays before the first. A shorter interval costs the database more
    // snapshots: a table without REPLICA IDENTITY FULL that is written to all the time asks for one
    // in each interval. 0: each record asks at once.
    std::chrono::milliseconds resync_interval{10'000};
    // The tables that the worker reads, as schema.table; none: all. The resync record of another
    // table is delivered as a change and asks for no snapshot.
    std::vector<std::string> resync_tables;

    // What waits on the data socket while the worker is busy, in bytes: beyond it the sidecar's own
    // queue fills, then messages are dropped and replayed later. ZeroMQ counts messages, so the
    // bytes are divided by the largest message that has come (at first 128 KiB).
    std::size_t max_queue_bytes = 67'108'864;
    int receive_high_water_mark = 5000;  // messages at most, however small
    // Of one transaction, which is held in memory until its end. A larger one is read to its end
    // and replaced: by a snapshot, or without snapshots by a Resync alone, and the stream resumes
    // behind it. Raise it where transactions are larger and memory is there: loading 1 GB of rows
    // of one account in one transaction takes about that much here.
    std::size_t max_transaction_bytes = 268'435'456;
    std::size_t max_ahead_bytes = 4'194'304;  // of messages that wait behind a gap
    std::uint32_t credit =
        1'048'576;  // bytes of a replay or a snapshot that are asked for at a time
    std::chrono::milliseconds request_timeout{
        2000};  // for the answer to an attach, and for the marker of a join
};

class Link;
class Sockets;
class Subscription;

// For a process that follows many accounts: its subscriptions share one control socket and, where
// the sidecar's accounts share a socket, one data socket, and are waited for together. Not
// thread-safe: one thread for the group and its subscriptions.
class SubscriptionGroup {
public:
    // `context` outlives the group, and the group its subscriptions.
    explicit SubscriptionGroup(zmq::context_t& context);
    ~SubscriptionGroup();
    SubscriptionGroup(const SubscriptionGroup&) = delete;
    SubscriptionGroup& operator=(const SubscriptionGroup&) = delete;

    // A subscription whose next(0ms) gives an event, each in turn; nullptr when none came within
    // `timeout`. Those that pause are passed over (Subscription::pause()).
    Subscription* ready(std::chrono::milliseconds timeout);

    // For an event loop: a descriptor that is readable when ready() may have something. Then call
    // ready(0ms) until it gives nothing. Belongs to the group.
    [[nodiscard]] int fd() const;

private:
    friend class Subscription;
    std::unique_ptr<Sockets> sockets_;
};

// Not thread-safe: one thread at a time. Throws zmq::error_t only when a socket cannot be made (out
// of descriptors, a malformed endpoint).
class Subscription {
public:
    // Begins to join at once. `context` outlives the subscription; one context serves all
    // subscriptions of a process.
    Subscription(zmq::context_t& context, SubscriptionOptions options);
    Subscription(SubscriptionGroup& group, SubscriptionOptions options);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    // The next event; nothing when none came within `timeout`.
    std::optional<Event> next(std::chrono::milliseconds timeout);

    // The same by callbacks: waits up to `timeout` for one, then calls them for all that is there.
    // Gives how many events there were.
    std::size_t run(const Handlers& handlers, std::chrono::milliseconds timeout);

    // For an event loop: a descriptor that is readable when next() may have something. Then call
    // next(0ms) until it gives nothing. Belongs to the subscription, or is its group's.
    [[nodiscard]] int fd() const;

    // How far the worker has come with all that next() has given; nothing before a snapshot is
    // whole. Kept together with the effects of the events, it makes them exactly once.
    [[nodiscard]] std::optional<Cursor> cursor() const;

    // All that next() has given is processed, or all before an earlier cursor(). Sent along in
    // batches; without effect if not durable.
    void ack();
    void ack(const Cursor& processed);
    // A durable subscriber that will not come back: nothing is kept for it any more.
    void forget();

    // For a member of a group that has much to do for the last event: the group's ready() passes it
    // over until resume(). What comes for it waits, up to 16 MiB; then nothing is read for the
    // whole group until resume(), and ready() gives nothing. resume() makes fd() readable when
    // something waits.
    void pause();
    void resume();

private:
    std::unique_ptr<Sockets> own_;  // none in a group
    Sockets& sockets_;
    std::unique_ptr<Link> link_;
};

}  // namespace fatwal::client
