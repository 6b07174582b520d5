#include "portal/access/presence.h"

#include "portal/access/sessions.h"

namespace fatwal::access {

void Presence::online(OnlineGateway gateway) {
    const auto found = gateways_.find(gateway.id);
    if (found != gateways_.end() && came_later(found->second.generation, found->second.process,
                                               gateway.generation, gateway.process))
        return;
    const Uuid id = gateway.id;
    gateways_.insert_or_assign(id, std::move(gateway));
}

void Presence::offline(const Uuid& id, Generation generation) {
    const auto found = gateways_.find(id);
    if (found != gateways_.end() && found->second.generation <= generation) gateways_.erase(found);
}

void Presence::client_online(const Uuid& id, OnlineClient client) {
    const auto found = clients_.find(id);
    if (found != clients_.end() && came_later(found->second.generation, found->second.process,
                                              client.generation, client.process))
        return;
    clients_.insert_or_assign(id, client);
}

void Presence::client_offline(const Uuid& id, Generation generation) {
    const auto found = clients_.find(id);
    if (found != clients_.end() && found->second.generation <= generation) clients_.erase(found);
}

void Presence::process_gone(ProcessId process) {
    std::erase_if(clients_, [&](const auto& entry) { return entry.second.process == process; });
    std::erase_if(gateways_, [&](const auto& entry) { return entry.second.process == process; });
}

const OnlineClient* Presence::client(const Uuid& id) const {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : &found->second;
}

const OnlineGateway* Presence::find(const Uuid& id) const {
    const auto found = gateways_.find(id);
    return found == gateways_.end() ? nullptr : &found->second;
}

}  // namespace fatwal::access
