// Writes batches of flows into the database, on a thread of its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "fatwal/channel/flow_batch.h"
#include "join_request.h"

namespace fatwal::worker {

// A batch goes in one transaction: by COPY into a table of the session, from there into flows as
// far as all its parents are there; a parent that goes meanwhile makes it row by row. A batch that
// has been written already, its answer lost, is written once.
class FlowWriter {
public:
    struct Written {
        std::uint64_t number = 0;  // of the batch
        bool failed =
            false;  // the database could not be reached, or refused all of it: to go again
        std::vector<channel::Uuid> lost;
    };
    // Called on the writer's thread.
    using Done = std::function<void(Written)>;

    FlowWriter(std::string database, Done done);
    // What was given is written first, if the database is there.
    ~FlowWriter();
    FlowWriter(const FlowWriter&) = delete;
    FlowWriter& operator=(const FlowWriter&) = delete;

    void write(channel::FlowBatch::Batch batch);
    // The last_seen_* columns of a device and its token, which state the context that its flows are
    // judged by after a restart. Not told of.
    void seen(JoinRequest device);

private:
    class Session;
    using Job = std::variant<channel::FlowBatch::Batch, JoinRequest>;
    void loop();

    std::string database_;
    Done done_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> jobs_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace fatwal::worker
