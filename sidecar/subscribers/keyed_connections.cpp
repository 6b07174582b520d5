#include "sidecar/subscribers/keyed_connections.h"

#include <iterator>

namespace fatwal::sidecar {

bool KeyedConnections::note(int descriptor, std::uint64_t inode, const Caller& caller) {
    if (inode == 0) return true;  // it has closed
    const auto known = connections_.find(descriptor);
    if (known != connections_.end()) {
        if (known->second.inode == inode && known->second.caller == caller) return true;
        (void)forget(known);
    }
    std::size_t& count = of_credential_[caller.credential];
    if (count >= most_) {
        inbound::shut_down(descriptor, inode);
        return false;
    }
    ++count;
    connections_.emplace(descriptor, Connection{inode, caller, {}});
    return true;
}

KeyedConnections::ByDescriptor::iterator KeyedConnections::forget(
    ByDescriptor::iterator connection) {
    const auto count = of_credential_.find(connection->second.caller.credential);
    if (--count->second == 0) of_credential_.erase(count);
    return connections_.erase(connection);
}

void KeyedConnections::tick() {
    for (auto at = connections_.begin(); at != connections_.end();)
        at = inbound::inode_of_peer(at->first) == at->second.inode ? std::next(at) : forget(at);
}

}  // namespace fatwal::sidecar
