// Writes batches of flows into the database, on a thread of its own.
//
// One batch at a time, as FlowDesk gives them; batches that come meanwhile wait in order. What each
// try has done is kept in Progress until the batch has succeeded, as the next try may be another
// session's:
//
//   BEGIN, COPY into the session's table, INSERT of what has all its parents, COMMIT
//          │                                                                   │
//          └ refused: in halves, down to the row ("lost")                      └ no answer: in
//          doubt
//
// In doubt, nothing is written again before it is known how that transaction ended: a row that was
// committed and deleted since would otherwise come back.
//
// Invariants: a row is written at most once, however often its batch is tried; a row that is
// reported as lost was not written; `done` is called for each batch, in their order. The thread's
// own members are touched by it alone (see portal/process/background_thread.h for those that are
// shared).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "portal/access/flow_batch.h"
#include "portal/process/background_thread.h"

namespace fatwal::process {

// A batch goes by COPY into a table of the session, and from there into flows as far as all its
// parents are there. What somebody else's transaction has locked (an account that is being deleted,
// a policy) is passed over and goes again later, so that it waits alone. When the database refuses
// a row, the batch goes in halves, down to that row.
//
// A batch whose try has failed comes again. What was committed all the same is not written again,
// as somebody may have deleted it meanwhile: when the answer to a COMMIT is lost, the server is
// asked how that transaction ended (pg_xact_status). Where its number may be another transaction's
// (after a crash or a failover), its rows are looked for instead.
class FlowWriter {
public:
    struct Written {
        std::uint64_t number = 0;  // of the batch
        bool failed =
            false;  // the database could not be reached, or refused all of it: to go again
        access::FlowBatch::Result result;
    };
    // Called on the writer's thread.
    using Done = std::function<void(Written)>;

    FlowWriter(std::string database, Done done);
    // Waits for the batch under way, about 12 s at most.
    ~FlowWriter();
    FlowWriter(const FlowWriter&) = delete;
    FlowWriter& operator=(const FlowWriter&) = delete;

    void write(access::FlowBatch::Batch batch);

private:
    class Session;
    // What the tries of a batch have done, until one of them succeeds.
    struct Progress {
        access::Ids written;
        std::string in_doubt;   // the transaction whose COMMIT was not answered; empty: none
        std::string numbering;  // of the server that gave its number
        access::Ids its_rows;
        void forget_doubt() {
            in_doubt.clear();
            its_rows.clear();
        }
    };
    void loop();
    [[nodiscard]] Written write_next();

    std::string database_;
    Done done_;
    std::deque<access::FlowBatch::Batch> batches_;  // shared with the thread
    // Of the thread.
    std::optional<access::FlowBatch::Batch> under_way_;  // until `done_` has been called for it
    std::optional<Written> written_;                     // likewise: not to be written again
    Progress progress_;
    std::unique_ptr<Session> session_;
    BackgroundThread thread_;
};

}  // namespace fatwal::process
