// Work for many accounts, a piece for each, that leaves the loop to others in between.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <set>
#include <utility>

#include "portal/access/basics.h"

namespace fatwal::process {

// A turn of the loop begins pieces for kSlice. What is left follows in the next turn, which is
// posted behind all that the loop has to do already. A piece is not interrupted: one that is long
// itself resumes by turns of its own, and they come before the next turn here. Accounts have their
// pieces in a circle, so that none waits for ever while others are added again and again.
class Turns {
public:
    static constexpr std::chrono::milliseconds kSlice{5};

    // `work` does not throw.
    Turns(boost::asio::io_context& io, std::function<void(const access::Uuid& account)> work)
        : io_(io), work_(std::move(work)) {}

    // In a later turn; once for an account that is added again before its piece has begun.
    void add(const access::Uuid& account) {
        waiting_.insert(waiting_.end(), account);
        if (!std::exchange(is_posted_, true)) post();
    }

private:
    void post() {
        boost::asio::post(io_, [this] { turn(); });
    }
    void turn() {
        const auto until = std::chrono::steady_clock::now() + kSlice;
        while (!waiting_.empty() && std::chrono::steady_clock::now() < until) {
            const auto next = waiting_.upper_bound(last_);
            last_ = *(next == waiting_.end() ? waiting_.begin() : next);
            waiting_.erase(last_);
            work_(last_);
        }
        is_posted_ = !waiting_.empty();
        if (is_posted_) post();
    }

    boost::asio::io_context& io_;
    std::function<void(const access::Uuid&)> work_;
    std::set<access::Uuid> waiting_;
    access::Uuid last_{};  // whose piece was begun last
    bool is_posted_ = false;
};

}  // namespace fatwal::process
