#include "portal/process/deadline.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

namespace fatwal::process {

struct Deadline::Timer {
    Timer(boost::asio::io_context& io, std::function<void()> call)
        : timer(io), due(std::move(call)) {}
    boost::asio::steady_timer timer;
    std::function<void()> due;
    std::uint64_t set = 0;  // how often; a handler of an earlier one does nothing
};

Deadline::Deadline(boost::asio::io_context& io, access::Time (*clock)(), std::function<void()> due)
    : timer_(std::make_shared<Timer>(io, std::move(due))), clock_(clock) {}

Deadline::~Deadline() { clear(); }

void Deadline::set(std::optional<access::Time> at) {
    if (at == at_) return;
    at_ = at;
    const auto number = ++timer_->set;
    timer_->timer.cancel();
    if (!at) return;
    timer_->timer.expires_after(wait_for(*at, clock_()));
    // cancel() does not reach a handler that is queued already, so the number decides.
    timer_->timer.async_wait([weak = std::weak_ptr(timer_), number](boost::system::error_code) {
        const auto timer = weak.lock();
        if (!timer || timer->set != number) return;
        const auto due = timer->due;  // a copy, as it may destroy this deadline
        due();
    });
}

std::chrono::microseconds wait_for(access::Time at, access::Time now) {
    // Compared before it is subtracted, as the difference may be no number.
    if (at <= now) return std::chrono::microseconds(0);
    if (at > now + Deadline::kLongestWait) return Deadline::kLongestWait;
    return at - now;
}

}  // namespace fatwal::process
