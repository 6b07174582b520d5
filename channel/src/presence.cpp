#include "fatwal/channel/presence.h"

namespace fatwal::channel {

void Presence::online(OnlineGateway gateway) {
    const auto found = gateways_.find(gateway.id);
    if (found != gateways_.end() && found->second.generation > gateway.generation) return;
    const Uuid id = gateway.id;
    gateways_.insert_or_assign(id, std::move(gateway));
}

void Presence::offline(const Uuid& id, Generation generation) {
    const auto found = gateways_.find(id);
    if (found != gateways_.end() && found->second.generation <= generation) gateways_.erase(found);
}

void Presence::process_gone(ProcessId process) {
    std::erase_if(gateways_, [&](const auto& entry) { return entry.second.process == process; });
}

const OnlineGateway* Presence::find(const Uuid& id) const {
    const auto found = gateways_.find(id);
    return found == gateways_.end() ? nullptr : &found->second;
}

}  // namespace fatwal::channel
