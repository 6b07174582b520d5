// Where a message to a session of the account goes: to a session here, or to the process that has
// the session by the directory. Never over the account's stream.
//
// A message that reaches nobody (no such session, a process that is gone or does not take it, one
// that sends it back) comes back to its sender by `undeliverable`, so that whoever waits for an
// answer learns at once that there will be none.
#pragma once

#include <functional>

#include "fatwal/channel/peer_message.h"
#include "fatwal/channel/presence.h"
#include "worker/account_context.h"

namespace fatwal::worker {

class Router {
public:
    struct Handlers {
        // To a session here; false when there is none. If it ends before the message's turn comes,
        // `undelivered` is called.
        std::function<bool(const channel::Address& to, const channel::PeerMessage&,
                           std::function<void()> undelivered)>
            deliver;
        std::function<void(const channel::Address& sender, const channel::PeerMessage&)>
            undeliverable;
    };

    Router(const AccountContext& context, const channel::Uuid& account,
           const channel::Presence& presence, Handlers handlers);

    void route(const channel::Address& sender, channel::Address to,
               const channel::PeerMessage& message) const;

private:
    [[nodiscard]] channel::ProcessId process_of(const channel::Address& session) const;

    const AccountContext& context_;
    channel::Uuid account_;
    const channel::Presence& presence_;
    Handlers handlers_;
};

}  // namespace fatwal::worker
