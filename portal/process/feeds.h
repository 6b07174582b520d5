// The subscriptions of all accounts that the process follows, read as one group on the io_context's
// thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <string>
#include <unordered_map>

#include "fatwal/client/subscription.h"

namespace fatwal::process {

// Outlives its readers.
class Feeds {
public:
    // Who reads a subscription.
    class Reader {
    public:
        Reader() = default;
        Reader(const Reader&) = delete;
        Reader& operator=(const Reader&) = delete;
        virtual ~Reader() = default;
        // Handles some of what has come, for a few milliseconds. For Feeds alone: reading takes the
        // signal that something has come for others too.
        virtual void read() = 0;
    };

    Feeds(boost::asio::io_context& io, zmq::context_t& context);
    ~Feeds();
    Feeds(const Feeds&) = delete;
    Feeds& operator=(const Feeds&) = delete;

    // What comes to it is handled by `reader`.
    [[nodiscard]] std::unique_ptr<client::Subscription> subscribe(
        client::SubscriptionOptions options, const std::shared_ptr<Reader>& reader);
    void remove(const client::Subscription& subscription) { readers_.erase(&subscription); }

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
    std::unordered_map<const client::Subscription*, std::weak_ptr<Reader>> readers_;
    std::string fault_;
};

}  // namespace fatwal::process
