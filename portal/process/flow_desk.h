// The rows of flows, from a channel's decision to the database and back to the gateway.
//
// The channels of all accounts write and remove rows here. FlowBatch gathers them and says when a
// batch is due; FlowWriter carries one batch at a time into the database, on its own thread; what
// has become of each row goes to its gateway as a notice.
//
//   write(), remove() ──► FlowBatch ──batch is due──► FlowWriter (its thread) ──► database
//                            ▲                            │
//        notify(notice) ◄────┴────────── written() ◄──────┘ posted to the loop
//
// At most one batch is under way, so a row and its deletion reach the database in the order in
// which they were decided. A batch that has failed as a whole goes again after kRetry, ahead of
// what has come since. All but the writer runs on the loop's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <string>
#include <vector>

#include "portal/access/flow_batch.h"
#include "portal/process/deadline.h"
#include "portal/process/flow_writer.h"

namespace fatwal::process {

class FlowDesk {
public:
    static constexpr std::chrono::milliseconds kRetry{500};

    using Notify = std::function<void(const access::FlowBatch::Notice&)>;

    // `after`: how long the first row of a batch waits for others.
    FlowDesk(boost::asio::io_context& io, std::string database, std::chrono::milliseconds after,
             Notify notify);

    void write(portal::Flows row);
    void remove(const access::Uuid& flow_id);

    // From now on nothing waits for others: the process is about to end.
    void hurry();
    // Rows that are not in the database, and deletions that it has not carried out.
    [[nodiscard]] std::size_t waiting() const { return batch_.waiting(); }
    [[nodiscard]] std::size_t waiting_deletions() const { return batch_.waiting_deletions(); }

private:
    void written(const FlowWriter::Written& result);
    void notify(const std::vector<access::FlowBatch::Notice>& notices) const;
    void send_what_is_due();

    boost::asio::io_context& io_;
    Notify notify_;
    access::FlowBatch batch_;
    bool hurries_ = false;
    Deadline<access::Tick> deadline_;
    FlowWriter writer_;  // last: its thread posts to the rest
};

}  // namespace fatwal::process
