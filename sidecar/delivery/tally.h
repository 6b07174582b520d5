// How many records of the stream need somebody's attention, for fatwald's status. No I/O.
#pragma once

#include <cstdint>

#include "fatwal/wire/frame.h"

namespace fatwal::sidecar {

// Both kinds are marks of a table whose log records lack the account: they mean more work for
// subscribers (resync) or changes that only operators get (unrouted).
struct Tally {
    std::uint64_t resyncs = 0;   // resync records: each has its subscribers take a snapshot
    std::uint64_t unrouted = 0;  // changes whose account is not known

    // Counts the records of a frame of the stream. The plugin sends both kinds to everyone or to
    // the operators only, so the frames of accounts, which are nearly all, cost one comparison.
    void add(const wire::FrameView& frame) {
        const wire::AccountKind kind = frame.account().kind;
        if (kind != wire::AccountKind::Everyone && kind != wire::AccountKind::Operators) return;
        // Its header is checked; the records are here.
        const auto checked = wire::FrameView::parse(frame.bytes());
        if (!checked) return;
        checked->for_each_record([this](const wire::RecordView& record) {
            if (record.op() == wire::Op::Resync) ++resyncs;
            if (record.has(wire::kUnrouted)) ++unrouted;
            return true;
        });
    }
};

}  // namespace fatwal::sidecar
