// What a subscription gives its worker, in this order:
//
//     Joined  [SnapshotBegin SnapshotRows… SnapshotEnd]  Transaction…  CaughtUp  Transaction…
//
// with Lost and Joined wherever a sidecar was lost and another one or the same was found: the
// transactions go on as if nothing had been. Resync comes before a SnapshotBegin that takes the
// place of changes. As callbacks:
//
//     Handlers handlers;
//     handlers.on_transaction = [](const Transaction& transaction) { … };
//     subscription.run(handlers, std::chrono::seconds(1));
//
// or one at a time: std::visit over what Subscription::next() gives. Events own their bytes, and
// may be kept and given to other threads; Row and Change are views into them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "fatwal/client/transaction.h"
#include "fatwal/wire/control.h"

namespace fatwal::client {

// The subscription has joined the account's stream at a sidecar. What follows continues what came
// before.
struct Joined {
    std::uint64_t epoch = 0;     // of the sidecar's stream
    std::uint64_t sequence = 0;  // of the last message before the join
};

// What is known of the account is to be replaced: its rows follow, then SnapshotEnd. When another
// one begins before that, the rows so far are void.
struct SnapshotBegin {};

// Some of the account's rows, of all published tables.
class SnapshotRows {
public:
    // Calls `visit(const Row&)` for each row. A row owns nothing: it is valid as long as this.
    template <class Visit>
    void for_each(Visit&& visit) const {
        frame_.view->for_each_record([&](const wire::RecordView& record) {
            if (const auto row = row_of(record)) visit(*row);
            return true;
        });
    }
    [[nodiscard]] std::size_t size() const { return frame_.view->record_count(); }

private:
    friend class Follower;
    explicit SnapshotRows(Frame frame) : frame_(std::move(frame)) {}
    [[nodiscard]] std::optional<Row> row_of(const wire::RecordView& record) const;

    Frame frame_;
};

// The rows were all. The transactions that they do not hold follow.
struct SnapshotEnd {};

// The worker has been given all that was committed before `position`: all that the sidecar had
// published when the subscription joined, and all that the worker was given before a snapshot
// (SubscriptionOptions::not_before). Comes once after each Joined and once after each SnapshotEnd.
// A snapshot can be some seconds old, so rows that are shown before CaughtUp may be of the past.
struct CaughtUp {
    wire::Lsn position = 0;
};

// Changes cannot be replayed any more, or are too many, or rows changed in a way that the stream
// cannot tell (a resync record; the reason names the table): what the worker knows may be out of
// date. A snapshot follows. Without snapshots (SubscriptionOptions::snapshots) the stream resumes
// behind the missing changes; the transaction with the resync record follows whole.
struct Resync {
    std::string reason;
};

// Something that the stream must not hold, such as a frame of another account or a malformed one:
// it is dropped, and the subscription resumes behind it. A sign of versions that do not fit.
struct StreamError {
    std::string message;
    std::string hint;
};

// The sidecar is gone or does not answer, or has refused (then `error` is its answer). The
// subscription tries again by itself, with pauses up to 5 s, and resumes where it stands.
struct Lost {
    std::string reason;
    std::optional<wire::ControlError> error;
};

using Event = std::variant<Joined, SnapshotBegin, SnapshotRows, SnapshotEnd, Transaction, CaughtUp,
                           Resync, StreamError, Lost>;

// For workers that would rather be called: each may be empty.
struct Handlers {
    std::function<void()> on_snapshot_begin;
    std::function<void(const Row&)> on_row;
    std::function<void()> on_snapshot_end;
    std::function<void(const Transaction&)> on_transaction;
    std::function<void(const CaughtUp&)> on_caught_up;
    std::function<void(const Resync&)> on_resync;
    std::function<void(const Joined&)> on_joined;
    std::function<void(const Lost&)> on_lost;
    std::function<void(const StreamError&)> on_error;

    void operator()(const Event& event) const;
};

}  // namespace fatwal::client
