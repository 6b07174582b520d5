#include "sidecar/subscribers/reply_window.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <iterator>
#include <utility>
#include <variant>

#include "sidecar/subscribers/descriptors.h"

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

}  // namespace

ReplyWindow::Queue ReplyWindow::check(Peer& peer, Time now) {
    int unread = 0;
    if (inode_of(peer.descriptor) != peer.inode || ioctl(peer.descriptor, SIOCOUTQ, &unread) != 0)
        return Queue::Closed;
    peer.full = peer.full || unread > 0;
    if (unread > 0 || (!peer.full && now - peer.sent < kHandedOver)) return Queue::Full;
    peer.unread = 0;
    return Queue::Empty;
}

bool ReplyWindow::keep(Request& request, int descriptor, Time now) {
    if (!asks_for_much(request.body)) return false;
    Peer& peer = peers_[request.requester.identity];
    if (peer.descriptor != descriptor) {
        peer.descriptor = descriptor;
        peer.inode = inode_of(descriptor);
    }
    if (peer.requests.empty()) {
        if (peer.unread <= kBytes || check(peer, now) != Queue::Full) return false;
    }
    if (peer.requests.size() < kWaiting) {
        peer.requests.push_back(std::move(request));
        ++waiting_;
    }
    return true;
}

void ReplyWindow::sent(const std::string& identity, std::size_t bytes, Time now) {
    // Who asked for nothing large is bounded by libzmq.
    const auto peer = peers_.find(identity);
    if (peer == peers_.end()) return;
    peer->second.unread += bytes;
    peer->second.sent = now;
    peer->second.full = false;
}

std::optional<Request> ReplyWindow::next(Time now) {
    if (waiting_ == 0) return std::nullopt;
    for (auto at = peers_.begin(); at != peers_.end();) {
        const auto peer = at++;
        if (peer->second.requests.empty()) continue;
        if (check(peer->second, now) == Queue::Closed) {
            forget(peer);
            continue;
        }
        if (peer->second.unread > kBytes) continue;
        Request request = std::move(peer->second.requests.front());
        peer->second.requests.pop_front();
        --waiting_;
        return request;
    }
    return std::nullopt;
}

void ReplyWindow::tick(Time now) {
    for (auto at = peers_.begin(); at != peers_.end();) {
        const auto peer = at++;
        if (peer->second.requests.empty() && check(peer->second, now) != Queue::Full) forget(peer);
    }
}

void ReplyWindow::forget(std::map<std::string, Peer>::iterator peer) {
    waiting_ -= peer->second.requests.size();
    peers_.erase(peer);
}

}  // namespace fatwal::sidecar
