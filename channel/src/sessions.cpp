#include "fatwal/channel/sessions.h"

namespace fatwal::channel {

Sessions::Entered Sessions::enter(Device device, const Uuid& id) {
    auto& sessions = device == Device::Client ? clients_ : gateways_;
    const auto found = sessions.find(id);
    if (found == sessions.end()) {
        sessions.emplace(id, next_);
        return {next_++, {}};
    }
    if (device == Device::Gateway) return {};
    const Generation before = found->second;
    found->second = next_;
    return {next_++, before};
}

bool Sessions::leave(Device device, const Uuid& id, Generation generation) {
    auto& sessions = device == Device::Client ? clients_ : gateways_;
    const auto found = sessions.find(id);
    if (found == sessions.end() || found->second != generation) return false;
    sessions.erase(found);
    return true;
}

std::optional<Generation> Sessions::current(Device device, const Uuid& id) const {
    const auto found = of(device).find(id);
    return found == of(device).end() ? std::nullopt : std::optional(found->second);
}

bool Sessions::accepts(const Address& to) const {
    const auto now = current(to.device, to.id);
    return now && (to.generation == 0 || to.generation == *now);
}

}  // namespace fatwal::channel
