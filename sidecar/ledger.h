// What was received from the slot, what is settled, what may be confirmed. No I/O: events in, answers out.
#pragma once

#include <cstdint>

#include "fatwal/wire/frame.h"

namespace fatwal {

class Ledger {
public:
    // Takes the next frame of the stream. False when it was published before the connection was lost and must not be published again:
    // the server begins again at the confirmed position, and the plugin cuts a transaction into the same frames each time.
    [[nodiscard]] bool admit(const wire::FrameView& frame);

    // The admitted frame was handed to its sockets.
    void published(const wire::FrameView& frame);

    // All up to here was sent by the server.
    void keepalive(wire::Lsn wal_end);

    // The connection is lost: what comes next begins at or before the last confirmed position.
    void restart() {
        frames_of_transaction_ = 0;
        in_transaction_ = false;
    }

    // The position before which nothing is unsettled; 0 before anything is known.
    [[nodiscard]] wire::Lsn settled() const { return settled_; }
    [[nodiscard]] wire::Lsn received() const { return received_; }
    // Whether a transaction is received in part.
    [[nodiscard]] bool in_transaction() const { return in_transaction_; }

private:
    wire::Lsn settled_ = 0;
    wire::Lsn received_ = 0;
    wire::Lsn transaction_ = 0;  // commit LSN of the newest transaction seen
    bool transaction_done_ = true;
    bool in_transaction_ = false;
    std::uint64_t published_of_transaction_ = 0;  // frames of `transaction_`, in this run
    std::uint64_t frames_of_transaction_ = 0;     // frames of `transaction_`, on this connection
};

}  // namespace fatwal
