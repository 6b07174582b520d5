#include "feeds.h"

#include <boost/asio/post.hpp>

#include "feed.h"

namespace fatwal::worker {
namespace {

constexpr int kTurnsAtATime = 64;  // of feeds, so that the devices have theirs

}  // namespace

Feeds::Feeds(boost::asio::io_context& io, zmq::context_t& context)
    : io_(io), group_(context), readable_(io, group_.fd()) {
    wait();
}

// The descriptor is the group's.
Feeds::~Feeds() { readable_.release(); }

std::unique_ptr<client::Subscription> Feeds::subscribe(client::SubscriptionOptions options,
                                                       const std::shared_ptr<Feed>& feed) {
    auto subscription = std::make_unique<client::Subscription>(group_, std::move(options));
    feeds_[subscription.get()] = feed;
    return subscription;
}

void Feeds::wait() {
    readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this](boost::system::error_code error) {
                             if (!error) pump();
                         });
}

void Feeds::pump() {
    for (int turn = 0; turn < kTurnsAtATime; ++turn) {
        const client::Subscription* const subscription = group_.ready(std::chrono::milliseconds(0));
        if (subscription == nullptr) return wait();
        if (const auto feed = feeds_.at(subscription).lock()) feed->take();
    }
    // There may be more, of which the descriptor says nothing.
    boost::asio::post(io_, [this] { pump(); });
}

}  // namespace fatwal::worker
