#include "sidecar/subscribers/stuck_peers.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "sidecar/log_text.h"
#include "sidecar/subscribers/inbound.h"

namespace fatwal::sidecar {

void StuckPeers::watch(int descriptor, std::uint64_t inode, const std::string& who, Time now) {
    if (inode == 0) return;
    Peer& peer = peers_[descriptor];
    if (peer.inode != inode) peer = {inode, who, 0, 0, now};
}

StuckPeers::Queue StuckPeers::check(int descriptor, Peer& peer, Time now) {
    int unread = 0;
    if (ioctl(descriptor, SIOCOUTQ, &unread) != 0) return Queue::Closed;
    const std::uint32_t handed = inbound::handed_over(descriptor);
    if (unread != 0 && unread == peer.unread && handed == peer.handed) return Queue::Waits;
    peer.unread = unread;
    peer.handed = handed;
    peer.moved = now;
    return Queue::Moves;
}

void StuckPeers::cut(const Peer& peer, int descriptor, Time now) {
    if (inbound::inode_of_peer(descriptor) != peer.inode) return;
    inbound::shut_down(descriptor, peer.inode);
    ++cuts_;
    log_.warn("a subscriber of " + log_text(peer.who) + " does not read: cut off until it does",
              now);
}

void StuckPeers::tick(Time now) {
    suspects_.clear();
    log_.tick(now);
    for (auto at = peers_.begin(); at != peers_.end();) {
        auto& [descriptor, peer] = *at;
        const Queue queue = check(descriptor, peer, now);
        const bool stuck = queue == Queue::Waits && now - peer.moved >= kStuck;
        if (stuck) cut(peer, descriptor, now);
        if (!stuck && queue != Queue::Closed) {
            if (peer.unread != 0) suspects_.insert(descriptor);
            ++at;
        } else {
            at = peers_.erase(at);
        }
    }
    next_check_ = now + kCheckInterval;
}

void StuckPeers::check_suspects(Time now) {
    if (suspects_.empty() || now < next_check_) return;
    next_check_ = now + kCheckInterval;
    std::erase_if(suspects_, [&](int descriptor) {
        const auto peer = peers_.find(descriptor);
        return peer == peers_.end() || check(descriptor, peer->second, now) != Queue::Waits;
    });
}

}  // namespace fatwal::sidecar
