#include "fatwal/client/subscription.h"

#include "client/src/link.h"
#include "client/src/sockets.h"

namespace fatwal::client {

namespace {

Clock::time_point until(std::chrono::milliseconds timeout) { return Clock::now() + timeout; }

}  // namespace

SubscriptionGroup::SubscriptionGroup(zmq::context_t& context)
    : sockets_(std::make_unique<Sockets>(context)) {}
SubscriptionGroup::~SubscriptionGroup() = default;
Subscription* SubscriptionGroup::ready(std::chrono::milliseconds timeout) {
    SocketUser* user = sockets_->ready();
    if (user == nullptr) {
        sockets_->pump(nullptr, until(timeout));
        user = sockets_->ready();
    }
    return user == nullptr ? nullptr : &user->subscription();
}
int SubscriptionGroup::fd() const { return sockets_->fd(); }

Subscription::Subscription(zmq::context_t& context, SubscriptionOptions options)
    : own_(std::make_unique<Sockets>(context)),
      sockets_(*own_),
      link_(std::make_unique<Link>(sockets_, *this, std::move(options))) {}
Subscription::Subscription(SubscriptionGroup& group, SubscriptionOptions options)
    : sockets_(*group.sockets_),
      link_(std::make_unique<Link>(sockets_, *this, std::move(options))) {}
Subscription::~Subscription() = default;
std::optional<Event> Subscription::next(std::chrono::milliseconds timeout) {
    if (!link_->has_events()) sockets_.pump(link_.get(), until(timeout));
    return link_->take();
}
std::size_t Subscription::run(const Handlers& handlers, std::chrono::milliseconds timeout) {
    std::size_t events = 0;
    for (auto event = next(timeout); event; event = next(std::chrono::milliseconds(0))) {
        handlers(*event);
        ++events;
    }
    return events;
}
int Subscription::fd() const { return sockets_.fd(); }
std::optional<Cursor> Subscription::cursor() const { return link_->cursor(); }
void Subscription::ack() {
    if (const auto cursor = link_->cursor()) link_->ack(*cursor);
}
void Subscription::ack(const Cursor& processed) { link_->ack(processed); }
void Subscription::forget() { link_->detach(true); }
void Subscription::pause() { link_->pause(); }
void Subscription::resume() { link_->resume(); }

}  // namespace fatwal::client
