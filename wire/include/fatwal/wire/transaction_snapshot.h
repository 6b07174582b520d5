// Which transactions a snapshot of the database sees. Not for the extension: it owns its list.
//
//     const auto seen = TransactionSnapshot::from_text("10:20:10,14");
//     seen->sees(9);      // true: all before 10 have ended
//     seen->sees(14);     // false: it was in progress
//
// A subscriber uses it behind a snapshot, to drop the transactions that the rows have already. A
// value; sees() is a binary search and neither allocates nor throws.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fatwal::wire {

// As Postgres's pg_snapshot: 64-bit ids of top-level transactions, with the epoch that a frame's
// xid lacks.
struct TransactionSnapshot {
    std::uint64_t xmin = 0;                  // all before it have ended
    std::uint64_t xmax = 0;                  // none from it on has
    std::vector<std::uint64_t> in_progress;  // between the two, rising

    // In the order of a message of the control protocol (control.h).
    static void fields(auto& self, auto& wire) {
        wire(self.xmin);
        wire(self.xmax);
        wire.list32(self.in_progress);
    }

    // Of a transaction that is known to commit: whether its changes are in what the snapshot shows.
    // `xid` is taken for the nearest to xmax that ends so, so ask only about transactions less than
    // 2^31 away.
    [[nodiscard]] bool sees(std::uint32_t xid) const noexcept {
        const auto distance = static_cast<std::int32_t>(xid - static_cast<std::uint32_t>(xmax));
        if (distance >= 0) return false;
        const std::uint64_t full =
            xmax + static_cast<std::uint64_t>(static_cast<std::int64_t>(distance));
        return full < xmin || !std::binary_search(in_progress.begin(), in_progress.end(), full);
    }

    // The text of a pg_snapshot, "10:20:10,14"; nothing when it is none.
    [[nodiscard]] static std::optional<TransactionSnapshot> from_text(std::string_view text);
    [[nodiscard]] std::string to_text() const;

    friend bool operator==(const TransactionSnapshot&, const TransactionSnapshot&) = default;
};

}  // namespace fatwal::wire
