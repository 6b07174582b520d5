// Where a message to a session of the account goes: to a session here, or to the process that has
// the session by the directory. Never over the account's stream.
//
// A message that reaches nobody (no such session, a process that is gone or does not take it, one
// that sends it back) comes back to its sender by `undeliverable`, so that whoever waits for an
// answer learns at once that there will be none.
#pragma once

#include <functional>

#include "portal/access/peer_message.h"
#include "portal/access/presence.h"
#include "portal/process/account_context.h"

namespace fatwal::process {

class Router {
public:
    struct Handlers {
        // To a session here; false when there is none. If it ends before the message's turn comes,
        // `undelivered` is called.
        std::function<bool(const access::Address& to, const access::PeerMessage&,
                           std::function<void()> undelivered)>
            deliver;
        std::function<void(const access::Address& sender, const access::PeerMessage&)>
            undeliverable;
    };

    Router(const AccountContext& context, const access::Uuid& account,
           const access::Presence& presence, Handlers handlers);

    void route(const access::Address& sender, access::Address to,
               const access::PeerMessage& message) const;

private:
    [[nodiscard]] access::ProcessId process_of(const access::Address& session) const;

    const AccountContext& context_;
    access::Uuid account_;
    const access::Presence& presence_;
    Handlers handlers_;
};

}  // namespace fatwal::process
