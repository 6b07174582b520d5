// The connections of keyed peers, by what they have sent: so that one whose key is revoked can be
// ended. libzmq asks its ZAP handler once, when a connection begins, and has no call that ends one;
// but it tells the descriptor of each message's connection, and shutdown() on that is for both ends
// like any broken connection.
//
// It is ended a moment after its key does not hold any more, so that what says why arrives. Nothing
// else goes to it in that moment: its attachments have ended, and what it asks is refused.
//
// A peer that has sent nothing is not known here. It receives nothing either, as fatwald sends only
// to whom it has read a subscription or a request of.
//
// A connection is known by its descriptor and inode, as the number may be another's by now. A
// message that was under way when its connection closed names one that has come since: the next
// message of that one says whose it is.
//
// One credential has a part of all connections, so that it cannot take the places of the others.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "sidecar/credential.h"
#include "sidecar/subscribers/inbound.h"

namespace fatwal::sidecar {

class KeyedConnections {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::milliseconds kNotice{500};

    // `most_of_credential`: connections that one credential may have.
    explicit KeyedConnections(std::size_t most_of_credential)
        : most_(std::max<std::size_t>(most_of_credential, 1)) {}

    // It has sent something. False: its credential has too many, and this one was cut.
    [[nodiscard]] bool note(int descriptor, std::uint64_t inode, const Caller& caller);
    // Ends those of callers that do not hold any more, of which `holds(caller)` says it: with the
    // first call behind kNotice after the one that found it.
    template <class Holds>
    void cut_unless(Holds&& holds, Time now) {
        for (auto at = connections_.begin(); at != connections_.end();) {
            Connection& connection = at->second;
            if (holds(connection.caller))
                connection.ends_at.reset();
            else if (!connection.ends_at)
                connection.ends_at = now + kNotice;
            if (!connection.ends_at || now < *connection.ends_at) {
                ++at;
                continue;
            }
            inbound::shut_down(at->first, connection.inode);
            at = forget(at);
        }
    }
    // Forgets those that are closed.
    void tick();

    [[nodiscard]] std::size_t size() const { return connections_.size(); }

private:
    struct Connection {
        std::uint64_t inode = 0;
        Caller caller;
        std::optional<Time> ends_at;
    };
    using ByDescriptor = std::map<int, Connection>;
    ByDescriptor::iterator forget(ByDescriptor::iterator connection);

    const std::size_t most_;
    ByDescriptor connections_;  // at most as many as inbound.h lets in
    std::map<std::string, std::size_t> of_credential_;
};

}  // namespace fatwal::sidecar
