// Which connection of a device is the current one.
#pragma once

#include <compare>
#include <map>
#include <optional>

#include "portal/access/basics.h"
#include "portal/access/peer_message.h"

namespace fatwal::access {

// A device of an account; two accounts may well name a device by one id.
struct SessionKey {
    Uuid account_id;
    Device device = Device::Client;
    Uuid id;
    friend auto operator<=>(const SessionKey&, const SessionKey&) = default;
};

// The sessions that a process holds, of all accounts, and the clock that orders them over the
// fleet.
//
// Generations are a Lamport clock: each is greater than every one that was heard before it, from
// whichever process. So a device that moves gets a greater one than where it was, whatever the
// processes' wall clocks say and whichever started first. The first comes from the wall clock, so
// that they grow over restarts of the whole fleet too.
class Sessions {
public:
    explicit Sessions(Generation first) : next_(first == 0 ? 1 : first) {}

    // Another process has given this one.
    void hear(Generation generation);

    struct Entered {
        Generation generation = 0;  // 0: refused, the established one stays
        std::optional<Generation>
            taken_over{};  // the earlier connection, to be disconnected with replaced
    };

    // A second connection of a client takes over from the first (a phone that has changed its
    // network); of a gateway the established one stays, as its flows hang on it.
    Entered enter(const SessionKey& key);
    // The connection is gone. False when another has taken over: then nothing of the device's
    // session may be undone.
    bool leave(const SessionKey& key, Generation generation);

    [[nodiscard]] std::optional<Generation> current(const SessionKey& key) const;

private:
    Generation next_;
    std::map<SessionKey, Generation> sessions_;
};

// Whether the session of another process came after one of this process. Two that entered at the
// same time without having heard of each other are ordered by their processes.
[[nodiscard]] inline bool came_later(Generation theirs, ProcessId their_process, Generation ours,
                                     ProcessId our_process) {
    return theirs != ours ? theirs > ours : their_process > our_process;
}

}  // namespace fatwal::access
