// How the rows of the published tables travel, for snapshots of a server without the extension:
// read from the catalogs once for each version of a table, for all snapshots. Sessions share it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "sidecar/pgoutput/plan.h"

namespace fatwal::sidecar {

class SnapshotPlans {
public:
    struct Prepared {
        pgoutput::RelationFacts facts;
        std::unique_ptr<const pgoutput::Plan> plan;
    };
    using Shared = std::shared_ptr<const Prepared>;

    // Nothing when it is not kept, or of another version.
    [[nodiscard]] Shared find(std::uint32_t relation, const std::string& version) {
        const std::lock_guard lock(mutex_);
        const auto found = by_relation_.find(relation);
        return found == by_relation_.end() || found->second.first != version ? nullptr
                                                                             : found->second.second;
    }
    void keep(std::uint32_t relation, const std::string& version, Shared prepared) {
        const std::lock_guard lock(mutex_);
        // Tables come and go; what is still used is made again.
        if (by_relation_.size() >= kMost) by_relation_.clear();
        by_relation_[relation] = {version, std::move(prepared)};
    }

private:
    static constexpr std::size_t kMost = 4096;

    std::mutex mutex_;
    std::map<std::uint32_t, std::pair<std::string, Shared>> by_relation_;
};

}  // namespace fatwal::sidecar
