#include "portal/process/deadline.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

namespace fatwal::process {

template <class Time>
struct Deadline<Time>::Timer {
    Timer(boost::asio::io_context& io, std::function<void()> call)
        : timer(io), due(std::move(call)) {}
    boost::asio::steady_timer timer;
    std::function<void()> due;
    std::uint64_t set = 0;  // how often; a handler of an earlier one does nothing
};

template <class Time>
Deadline<Time>::Deadline(boost::asio::io_context& io, Time (*clock)(), std::function<void()> due)
    : timer_(std::make_shared<Timer>(io, std::move(due))), clock_(clock) {}

template <class Time>
Deadline<Time>::~Deadline() {
    clear();
}

template <class Time>
void Deadline<Time>::set(std::optional<Time> at) {
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

template <class Time>
std::chrono::microseconds wait_for(Time at, Time now) {
    // Compared before it is subtracted, as the difference may be no number.
    if (at <= now) return std::chrono::microseconds(0);
    if (at > now + kLongestWait) return kLongestWait;
    return at - now;
}

template class Deadline<access::Instant>;
template class Deadline<access::Tick>;
template std::chrono::microseconds wait_for(access::Instant at, access::Instant now);
template std::chrono::microseconds wait_for(access::Tick at, access::Tick now);

}  // namespace fatwal::process
