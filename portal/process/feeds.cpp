#include "portal/process/feeds.h"

#include <boost/asio/post.hpp>

namespace fatwal::process {
namespace {

// For which the feeds are at work before the devices have their turn.
constexpr auto kFeedsSlice = std::chrono::milliseconds(5);

}  // namespace

Feeds::Feeds(boost::asio::io_context& io, zmq::context_t& context)
    : io_(io), group_(context), readable_(io, group_.fd()) {
    wait();
}

// The descriptor is the group's.
Feeds::~Feeds() { readable_.release(); }

std::unique_ptr<client::Subscription> Feeds::subscribe(client::SubscriptionOptions options,
                                                       const std::shared_ptr<Reader>& reader) {
    auto subscription = std::make_unique<client::Subscription>(group_, std::move(options));
    readers_[subscription.get()] = reader;
    return subscription;
}

void Feeds::wait() {
    readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this](boost::system::error_code error) {
                             if (!error) pump();
                         });
}

void Feeds::pump() {
    const auto until = std::chrono::steady_clock::now() + kFeedsSlice;
    while (std::chrono::steady_clock::now() < until) {
        const client::Subscription* const subscription = group_.ready(std::chrono::milliseconds(0));
        if (subscription == nullptr) return wait();
        if (const auto reader = readers_.at(subscription).lock()) reader->read();
    }
    // There may be more, of which the descriptor says nothing.
    boost::asio::post(io_, [this] { pump(); });
}

}  // namespace fatwal::process
