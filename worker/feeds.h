// The subscriptions of all accounts that the process follows, read as one group on the io_context's
// thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <string>
#include <unordered_map>

#include "fatwal/client/subscription.h"

namespace fatwal::worker {

class Feed;

// Outlives its feeds.
class Feeds {
public:
    Feeds(boost::asio::io_context& io, zmq::context_t& context);
    ~Feeds();
    Feeds(const Feeds&) = delete;
    Feeds& operator=(const Feeds&) = delete;

    // What comes to it is handled by `feed`.
    [[nodiscard]] std::unique_ptr<client::Subscription> subscribe(
        client::SubscriptionOptions options, const std::shared_ptr<Feed>& feed);
    void remove(const client::Subscription& subscription) { feeds_.erase(&subscription); }

    // What is wrong with the publication, by which no account's rows can be trusted; empty:
    // nothing.
    void set_fault(std::string fault) { fault_ = std::move(fault); }
    [[nodiscard]] const std::string& fault() const { return fault_; }

private:
    void wait();
    void pump();

    boost::asio::io_context& io_;
    client::SubscriptionGroup group_;
    boost::asio::posix::stream_descriptor readable_;
    std::unordered_map<const client::Subscription*, std::weak_ptr<Feed>> feeds_;
    std::string fault_;
};

}  // namespace fatwal::worker
