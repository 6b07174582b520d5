#include "sidecar/subscribers/reply_window.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "sidecar/subscribers/inbound.h"

namespace fatwal::sidecar {

namespace {

// Whether the reply may be large. What is no request is refused in a few bytes.
bool asks_for_much(const wire::ControlBody& body) {
    return std::visit(
        []<class Message>(const Message& message) {
            if constexpr (wire::ControlRequest<Message>)
                return wire::asks_for_much(message);
            else
                return false;
        },
        body);
}

// In memory, about.
std::size_t bytes_of(const Request& request) {
    const auto* describe = std::get_if<wire::Describe>(&request.body);
    return sizeof(Request) + request.requester.caller.credential.size() +
           request.requester.caller.public_key.size() +
           (describe == nullptr ? 0 : describe->schemas.size() * sizeof(wire::SchemaId));
}

}  // namespace

ReplyWindow::Queue ReplyWindow::check(Peer& peer, Time now) {
    int unread = 0;
    if (inbound::inode_of_peer(peer.descriptor) != peer.inode ||
        ioctl(peer.descriptor, SIOCOUTQ, &unread) != 0)
        return Queue::Closed;
    if (unread == 0 || unread != peer.queue) peer.moved = now;
    peer.queue = unread;
    const std::uint32_t handed = inbound::handed_over(peer.descriptor);
    if (unread > 0 || handed - peer.handed < peer.sums.unread) return Queue::Full;
    remove(peer, peer.sums.unread, 0);
    peer.handed = handed;
    return Queue::Empty;
}

void ReplyWindow::add(Peer& peer, std::size_t unread, std::size_t waiting) {
    peer.sums.unread += unread;
    peer.sums.waiting += waiting;
    if (peer.credential.empty()) return;
    Sums& sums = credentials_[peer.credential];
    sums.unread += unread;
    sums.waiting += waiting;
}

void ReplyWindow::remove(Peer& peer, std::size_t unread, std::size_t waiting) {
    peer.sums.unread -= unread;
    peer.sums.waiting -= waiting;
    const auto sums = credentials_.find(peer.credential);
    if (sums == credentials_.end()) return;
    sums->second.unread -= unread;
    sums->second.waiting -= waiting;
    if (sums->second.unread == 0 && sums->second.waiting == 0) credentials_.erase(sums);
}

bool ReplyWindow::has_room(const Peer& peer) const {
    const auto sums = credentials_.find(peer.credential);
    return peer.sums.unread <= kBytes &&
           (sums == credentials_.end() || sums->second.unread <= kBytesOfCredential);
}

bool ReplyWindow::may_wait(const Peer& peer, std::size_t bytes) const {
    const auto sums = credentials_.find(peer.credential);
    return peer.sums.waiting + bytes <= kWaitingBytes &&
           (sums == credentials_.end() ||
            sums->second.waiting + bytes <= kWaitingBytesOfCredential);
}

ReplyWindow::Kept ReplyWindow::keep(Request& request, int descriptor, std::uint64_t inode,
                                    Time now) {
    if (!asks_for_much(request.body)) return Kept::No;
    Peer& peer = peers_[request.requester.identity];
    if (peer.inode != inode || peer.descriptor != descriptor) {
        peer.descriptor = descriptor;
        peer.inode = inode;
        peer.handed = inbound::handed_over(descriptor);
        if (peer.credential.empty()) peer.credential = request.requester.caller.credential;
    }
    if (peer.requests.empty() && !has_room(peer)) (void)check(peer, now);
    if (peer.requests.empty() && has_room(peer)) return Kept::No;
    const std::size_t bytes = bytes_of(request);
    if (!may_wait(peer, bytes)) return Kept::Dropped;
    if (peer.requests.empty()) turn_.push_back(request.requester.identity);
    peer.requests.push_back(std::move(request));
    add(peer, 0, bytes);
    return Kept::Waits;
}

void ReplyWindow::sent(const std::string& identity, std::size_t bytes) {
    // Who asked for nothing large is bounded by libzmq.
    const auto peer = peers_.find(identity);
    if (peer == peers_.end()) return;
    add(peer->second, bytes, 0);
}

std::optional<Request> ReplyWindow::next(Time now) {
    if (now - checked_ >= kInterval) {
        checked_ = now;
        checks_ = std::min(kChecks, static_cast<int>(turn_.size()));
    }
    for (; checks_ > 0 && !turn_.empty(); --checks_) {
        std::string identity = std::move(turn_.front());
        turn_.pop_front();
        const auto at = peers_.find(identity);
        Peer& peer = at->second;
        if (check(peer, now) == Queue::Closed) {
            (void)forget(at);
            continue;
        }
        if (!has_room(peer)) {
            turn_.push_back(std::move(identity));
            continue;
        }
        Request request = std::move(peer.requests.front());
        peer.requests.pop_front();
        remove(peer, 0, bytes_of(request));
        if (!peer.requests.empty()) turn_.push_back(std::move(identity));
        return request;
    }
    return std::nullopt;
}

void ReplyWindow::tick(Time now) {
    for (auto at = peers_.begin(); at != peers_.end();) {
        Peer& peer = at->second;
        const Queue queue = check(peer, now);
        if (queue == Queue::Full && !peer.credential.empty() && now - peer.moved >= kStuck)
            inbound::shut_down(peer.descriptor, peer.inode);
        at = queue != Queue::Full && peer.requests.empty() ? forget(at) : std::next(at);
    }
}

// Whose turn it was is not in turn_ any more.
ReplyWindow::ByIdentity::iterator ReplyWindow::forget(ByIdentity::iterator peer) {
    remove(peer->second, peer->second.sums.unread, peer->second.sums.waiting);
    return peers_.erase(peer);
}

}  // namespace fatwal::sidecar
