// Messages on their way into the replication stream.
//
// Frames that are written in one go travel in one CopyData, up to kBatchBytes: a walsender pays for
// each CopyData, and nothing waits for it, since all of them are written before the callback
// returns.
#pragma once

#include "extension/memory.h"
#include "wire/encoding/transaction.h"

namespace fatwal::plugin {

// The output of one callback; it lasts no longer.
class Output {
public:
    static constexpr int kBatchBytes = 64 * 1024;

    explicit Output(LogicalDecodingContext* ctx) : ctx_(ctx) {}

    // Adds the message to the CopyData that is being gathered, which is written when the next one
    // would pass kBatchBytes.
    void put(wire::Bytes message);
    void end_batch();
    // Writes a message in a CopyData of its own. No batch is open.
    void write_message(wire::Bytes message);

private:
    void append(wire::Bytes message);
    void write();

    LogicalDecodingContext* ctx_;
    bool in_batch_ = false;
};

using Transaction = wire::Transaction<ServerMemory, Output>;

}  // namespace fatwal::plugin
