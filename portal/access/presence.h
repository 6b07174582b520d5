// Which gateways and clients of an account are online, anywhere in the fleet: the process feeds it.
#pragma once

#include <unordered_map>

#include "portal/access/basics.h"
#include "portal/access/ip.h"
#include "portal/access/location.h"
#include "portal/access/version.h"

namespace fatwal::access {

struct OnlineGateway {
    Uuid id;
    Generation generation = 0;
    ProcessId process =
        0;  // 0: seen online, but no process holds its channel yet: it is sent nothing
    Version version;
    std::optional<Location> location;
    std::optional<IpAddress> remote_ip;
};

// Where the current session of a client is.
struct OnlineClient {
    Generation generation = 0;
    ProcessId process = 0;
};

class Presence {
public:
    // Replaces what was known, unless that came later.
    void online(OnlineGateway gateway);
    void client_online(const Uuid& id, OnlineClient client);
    // Ignored when a later generation is online.
    void offline(const Uuid& id, Generation generation);
    void client_offline(const Uuid& id, Generation generation);
    // All of a process at once, when it has died.
    void process_gone(ProcessId process);

    [[nodiscard]] const OnlineGateway* find(const Uuid& id) const;
    [[nodiscard]] const OnlineClient* client(const Uuid& id) const;
    [[nodiscard]] std::size_t size() const { return gateways_.size(); }
    [[nodiscard]] const std::unordered_map<Uuid, OnlineGateway>& gateways() const {
        return gateways_;
    }
    [[nodiscard]] const std::unordered_map<Uuid, OnlineClient>& clients() const { return clients_; }

private:
    std::unordered_map<Uuid, OnlineGateway> gateways_;
    std::unordered_map<Uuid, OnlineClient> clients_;
};

}  // namespace fatwal::access
