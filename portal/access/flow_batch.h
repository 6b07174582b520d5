// The rows of flows on their way into the database: gathered, written by COPY in batches (by the
// process), confirmed to their gateways.
//
//     add()    ─► rows_ ──────┐ take()               ┌─► written(): FlowsDurable, FlowsLost
//     remove() ─► deletions_ ─┴────────► under_way_ ─┼─► blocked: again, behind what waits
//                                                    └─► failed(): again, ahead of what waits
//
// One batch is under way at a time, so rows and deletions of one flow keep their order. A batch is
// due 1 s after the first row that waits, or at once when there are 10,000.
//
// While the database cannot be reached nothing that it holds grows without bound. Rows beyond
// max_waiting are lost, and their gateways reject the flows. A deletion must not be lost: the row
// would say that something is let through. So each is kept, once, and none for a row that was lost.
//
// Rule of threads: one of a process, over its accounts; one thread at a time.
//
// Invariants:
// - There are never more deletions than max_waiting and one for each row: beyond max_waiting of
//   them no row is taken.
// - known_ has the ids of rows_, deleting_ those of deletions_; of_account_ counts rows_.
// - Each row ends as durable or lost, which its gateway learns, or is dropped before it has left,
//   as a channel wanted.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "portal/access/action.h"

namespace fatwal::access {

class FlowBatch {
public:
    struct Options {
        std::chrono::milliseconds after =
            std::chrono::seconds(1);    // the oldest row waits no longer
        std::size_t max_rows = 10'000;  // of a batch
        std::size_t max_waiting =
            200'000;  // of rows, and of deletions: beyond either, new rows are lost at once
        std::size_t max_of_account = 20'000;  // of rows of one account, likewise
    };

    // To a gateway of an account; the process looks up where its session is.
    struct Notice {
        Uuid account_id;
        Uuid gateway_id;
        PeerMessage message;  // FlowsDurable or FlowsLost
    };
    // One step of the writer. The rows first, then the deletions; all of it in one transaction or
    // several.
    struct Batch {
        std::uint64_t number = 0;
        std::vector<portal::Flows> rows;
        std::vector<Uuid> deletions;
    };

    explicit FlowBatch(Options options);
    FlowBatch() : FlowBatch(Options{}) {}

    // Notices only when too much waits: FlowsLost of this row.
    [[nodiscard]] std::vector<Notice> add(portal::Flows row, Tick now);
    // A row that has not left is dropped, of one that was lost nothing is left to do; else its
    // deletion goes with the next batch.
    void remove(const Uuid& flow_id, Tick now);

    // A batch, when one is due and none is under way.
    [[nodiscard]] std::optional<Batch> take(Tick now);
    // How the batch ended.
    struct Result {
        std::vector<Uuid> lost;  // of its rows: could not be written
        // Of its rows and of its deletions: somebody has locked what they need, so they go again,
        // behind what waits. All others are committed, by this try or an earlier one.
        Ids blocked;
    };
    [[nodiscard]] std::vector<Notice> written(std::uint64_t number, const Result& result, Tick now);
    // The database could not be reached: the batch goes again, ahead of what waits.
    void failed(std::uint64_t number, Tick now);

    [[nodiscard]] std::optional<Tick> next_deadline() const;
    [[nodiscard]] std::size_t waiting() const { return rows_.size() + under_way_.rows.size(); }
    [[nodiscard]] std::size_t waiting_deletions() const {
        return deletions_.size() + under_way_.deletions.size();
    }

private:
    void wait_until(Tick time);
    void enqueue(portal::Flows row);
    void lose(const Uuid& flow_id);
    [[nodiscard]] static std::vector<Notice> notices(const std::vector<portal::Flows>& rows,
                                                     const Ids& lost);

    Options options_;
    std::deque<portal::Flows> rows_;
    Ids dropped_;                                       // of rows_
    Ids known_;                                         // the ids of rows_
    std::unordered_map<Uuid, std::size_t> of_account_;  // how many of rows_
    std::deque<Uuid> deletions_;
    Ids deleting_;  // the ids of deletions_
    Ids lost_;      // the last that have no row: at most max_waiting
    std::deque<Uuid> lost_in_order_;
    std::optional<Tick> due_;
    Tick not_before_ = Tick::min();  // after a failure
    Batch under_way_;                // number 0: none
    std::uint64_t last_number_ = 0;
};

}  // namespace fatwal::access
