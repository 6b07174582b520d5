#include "sidecar/subscribers/keyed_connections.h"

#include <sys/socket.h>

#include "sidecar/subscribers/descriptors.h"

namespace fatwal::sidecar {

void KeyedConnections::note(int descriptor, std::uint64_t inode, const Caller& caller) {
    if (descriptor < 0 || inode == 0) return;
    Connection& known = connections_[descriptor];
    if (known.inode != inode) known = {inode, caller, {}};
}

void KeyedConnections::cut(int descriptor, std::uint64_t inode) {
    if (inode_of(descriptor) == inode) shutdown(descriptor, SHUT_RDWR);
}

void KeyedConnections::tick() {
    std::erase_if(connections_,
                  [](const auto& entry) { return inode_of(entry.first) != entry.second.inode; });
}

}  // namespace fatwal::sidecar
