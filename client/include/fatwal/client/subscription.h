// One account's stream, as a worker sees it: its rows, then every change after them, each once and
// in commit order, whatever is killed, stalled or cut in between.
//
//     zmq::context_t context;
//     fatwal::client::SubscriptionOptions options;
//     options.control = {"ipc:///run/fatwal/control.sock"};
//     options.account = fatwal::wire::AccountKey::from_text("42");
//     fatwal::client::Subscription subscription(context, options);
//     fatwal::client::Handlers handlers;
//     handlers.on_snapshot_begin = [&] { rows.clear(); };
//     handlers.on_row = [&](const fatwal::client::Row& row) { rows.add(row); };
//     handlers.on_transaction = [&](const fatwal::client::Transaction& transaction) {
//         transaction.for_each([&](const fatwal::client::Change& change) { rows.apply(change); });
//     };
//     for (;;) subscription.run(handlers, std::chrono::seconds(1));
//
// Effects outside the process, each once: keep cursor() together with the effects of the events, in
// one transaction of your own, and give it as SubscriptionOptions::cursor after a restart.
// portal/example/change_log.cpp does that. With `durable` Postgres keeps the WAL meanwhile.
//
// In an event loop: wait for fd() to be readable, then call next(0ms) until it gives nothing. It
// also has to be called when there is nothing to wait for: time limits and acknowledgements need
// it, and fd() is readable then too.
//
// Threads: a subscription, or a group with all its subscriptions, belongs to one thread at a time.
// Events own what they hold and may go to another thread. Nothing runs in the background but
// libzmq's own thread.
//
// Errors: constructors throw, std::invalid_argument without an endpoint or with keys that are none
// (Keys::check), zmq::error_t when a socket cannot be made (out of descriptors, a malformed
// endpoint), std::system_error. After that what goes wrong comes as an event: Lost (it tries again
// by itself), Resync, StreamError. A name or account that fatwald refuses is Lost with its error,
// every few seconds, until you end it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fatwal/client/cursor.h"
#include "fatwal/client/events.h"
#include "fatwal/client/keys.h"
#include "fatwal/wire/control.h"

namespace zmq {
class context_t;
}

namespace fatwal::client {

struct SubscriptionOptions {
    // Endpoints of the control sockets of the sidecars: one streams, the others wait to take over.
    // List all of them: after a loss the subscription asks each who streams.
    std::vector<std::string> control;
    // For a fatwald on another machine, or one that asks for them: who we are, and whom we trust to
    // be fatwald. It serves us what the credential of our key was granted; what it was not is Lost
    // with error 18 (wire::ErrorCode::Forbidden), whose hint is the statement that grants it. One
    // group may have subscriptions of several keys, and others without.
    std::optional<Keys> keys;
    // AccountKey::from_text("…"); as it is: the operators' stream.
    wire::AccountKey account;
    // Of the subscriber, 1 to 63 bytes on one line: in the sidecar's log. A durable one's is kept
    // in the database, and is its own in the account.
    std::string name = "fatwal";

    // The sidecar, and Postgres, keep what this subscriber has not acknowledged, within the
    // retention that the operator has set. Where it resumes its cursor says: without one, and
    // without snapshots, what is kept is passed over. Costs a row in the database, and disk space
    // for WAL while it is away; call ack(). For workers whose effects nothing else brings back, and
    // which may be away longer than fatwald's memory reaches. Where a snapshot after a restart is
    // cheap, leave it.
    bool durable = false;
    // Where an earlier subscription stood (Subscription::cursor): without one it begins with a
    // snapshot.
    std::optional<Cursor> cursor;
    // How far an earlier subscription of the account came, whose rows are to be read again: the
    // snapshot is taken after that, and CaughtUp does not come before the stream is there. Of
    // another history it means nothing.
    std::optional<Cursor> not_before;
    // Without snapshots it begins with what comes, and Resync says when something is missing: for
    // logs of changes, which have no use for rows. A snapshot costs the database one query of the
    // account's rows, shared by all who ask at about the same time.
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
    // bytes are divided by the largest message that has come (at first 128 KiB). Raise it for a
    // worker that is busy for seconds at a high rate, as each overflow costs a replay; lower it
    // where many subscriptions share a small memory.
    std::size_t max_queue_bytes = 67'108'864;
    // Messages at most, however small: each costs libzmq some 100 bytes beside its content.
    int receive_high_water_mark = 5000;
    // Of one transaction, which is held in memory until its end. A larger one is read to its end
    // and replaced: by a snapshot, or without snapshots by a Resync alone, and the stream resumes
    // behind it. Raise it where transactions are larger and memory is there: loading 1 GB of rows
    // of one account in one transaction takes about that much here.
    std::size_t max_transaction_bytes = 268'435'456;
    // Of messages that wait behind a gap while it is replayed. What does not fit is replayed too: a
    // greater value saves replays at high rates, and costs that memory in each subscription.
    std::size_t max_ahead_bytes = 4'194'304;
    // Bytes of a replay or a snapshot that are asked for at a time, 64 KiB to 32 MiB: so much may
    // be under way. It begins with this and doubles after each full answer that took more than 50
    // ms, up to 32 MiB, so large snapshots are fast over a long path too.
    std::uint32_t credit = 1'048'576;
    // For the answer to an attach, and for the marker of a join; 10 s at least for a durable
    // attach, which waits for the database. Raise it where fatwald has thousands of subscribers
    // that attach at once.
    std::chrono::milliseconds request_timeout{2000};
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

// The head of this file has an example, and what it says of threads and errors.
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
