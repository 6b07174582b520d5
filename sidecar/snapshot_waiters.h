// The subscribers that wait for a snapshot to be taken or to grow. By snapshot: whatever happens to
// one of them concerns its own waiters, and a crowd waits for thousands.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "sidecar/control.h"
#include "sidecar/snapshots.h"

namespace fatwal::sidecar {

class SnapshotWaiters {
public:
    struct Waiting {
        Requester requester;
        wire::SnapshotRequest request;
    };

    // A subscriber waits once for a snapshot: who asks again replaces its request.
    void add(Snapshots::Id id, Waiting waiting) {
        const wire::Nonce nonce = waiting.request.nonce;
        by_snapshot_[id].insert_or_assign(nonce, std::move(waiting));
    }
    // Those that wait for it, who wait no more.
    [[nodiscard]] std::vector<Waiting> take(Snapshots::Id id) {
        std::vector<Waiting> taken;
        if (auto found = by_snapshot_.extract(id))
            for (auto& [nonce, waiting] : found.mapped()) taken.push_back(std::move(waiting));
        return taken;
    }
    // This subscriber waits for nothing any more.
    void forget(const wire::Nonce& nonce) {
        for (auto& [id, waiting] : by_snapshot_) waiting.erase(nonce);
    }
    void clear() { by_snapshot_.clear(); }

private:
    std::map<Snapshots::Id, std::map<wire::Nonce, Waiting>> by_snapshot_;
};

}  // namespace fatwal::sidecar
