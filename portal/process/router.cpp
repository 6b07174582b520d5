#include "portal/process/router.h"

#include "portal/process/directory.h"
#include "portal/process/fleet.h"

namespace fatwal::process {

using access::Address;
using access::Device;

Router::Router(const AccountContext& context, const access::Uuid& account,
               const access::Presence& presence, Handlers handlers)
    : context_(context), account_(account), presence_(presence), handlers_(std::move(handlers)) {}

// Of a session that the directory does not know this process says that it is not there.
access::ProcessId Router::process_of(const Address& session) const {
    const auto of = [&](const auto* online) {
        return online == nullptr ? context_.directory.own() : online->process;
    };
    return session.device == Device::Gateway ? of(presence_.find(session.id))
                                             : of(presence_.client(session.id));
}

void Router::route(const Address& sender, Address to, const access::PeerMessage& message) const {
    if (to.process == 0) to.process = process_of(to);
    const bool is_sent =
        to.process == context_.directory.own()
            ? handlers_.deliver(
                  to, message,
                  [back = handlers_.undeliverable, sender, message] { back(sender, message); })
            : context_.fleet.send(to.process,
                                  to_json(Delivery{account_, false, sender, to, message, {}}));
    if (!is_sent) handlers_.undeliverable(sender, message);
}

}  // namespace fatwal::process
