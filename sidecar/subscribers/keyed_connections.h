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
// A connection is known by its descriptor and inode, as the number may be another's by now.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "sidecar/credential.h"

namespace fatwal::sidecar {

class KeyedConnections {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::milliseconds kNotice{500};

    // It has sent something.
    void note(int descriptor, std::uint64_t inode, const Caller& caller);
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
            cut(at->first, connection.inode);
            at = connections_.erase(at);
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
    static void cut(int descriptor, std::uint64_t inode);

    std::map<int, Connection> connections_;  // at most as many as there are descriptors
};

}  // namespace fatwal::sidecar
