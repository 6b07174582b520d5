// Which connection of a device is the current one.
#pragma once

#include <optional>
#include <unordered_map>

#include "fatwal/channel/basics.h"
#include "fatwal/channel/peer_message.h"

namespace fatwal::channel {

// Of all accounts of a process. Generations only grow: they start from a number that the process
// draws from its wall clock, so that they grow over restarts too.
class Sessions {
public:
    explicit Sessions(Generation first) : next_(first == 0 ? 1 : first) {}

    struct Entered {
        Generation generation = 0;  // 0: refused, the established one stays
        std::optional<Generation>
            taken_over{};  // the earlier connection, to be disconnected with replaced
    };

    // A second connection of a client takes over from the first (a phone that has changed its
    // network); of a gateway the established one stays, as its flows hang on it.
    Entered enter(Device device, const Uuid& id);
    // The connection is gone. False when another has taken over: then nothing of the device's
    // session may be undone.
    bool leave(Device device, const Uuid& id, Generation generation);

    [[nodiscard]] std::optional<Generation> current(Device device, const Uuid& id) const;
    // Whether a message with this address is for the current session; generation 0 is for whichever
    // there is.
    [[nodiscard]] bool accepts(const Address& to) const;

private:
    [[nodiscard]] const std::unordered_map<Uuid, Generation>& of(Device device) const {
        return device == Device::Client ? clients_ : gateways_;
    }

    Generation next_;
    std::unordered_map<Uuid, Generation> clients_;
    std::unordered_map<Uuid, Generation> gateways_;
};

}  // namespace fatwal::channel
