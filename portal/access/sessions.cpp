#include "portal/access/sessions.h"

namespace fatwal::access {
namespace {

// No process counts as far in thousands of years; what claims to would end the counting.
constexpr Generation kMost = Generation{1} << 62U;

}  // namespace

void Sessions::hear(Generation generation) {
    if (generation < kMost && generation >= next_) next_ = generation + 1;
}

Sessions::Entered Sessions::enter(const SessionKey& key) {
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) {
        sessions_.emplace(key, next_);
        return {next_++, {}};
    }
    if (key.device == Device::Gateway) return {};
    const Generation before = found->second;
    found->second = next_;
    return {next_++, before};
}

bool Sessions::leave(const SessionKey& key, Generation generation) {
    const auto found = sessions_.find(key);
    if (found == sessions_.end() || found->second != generation) return false;
    sessions_.erase(found);
    return true;
}

std::optional<Generation> Sessions::current(const SessionKey& key) const {
    const auto found = sessions_.find(key);
    return found == sessions_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace fatwal::access
