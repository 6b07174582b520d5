// The end of a process that others replace: SIGTERM sends its devices to them, little by little.
//
//   devices (over drain_s) ──► relays ──► flows, registrations (kRestWithin at most) ──► done
//
// Clients go first: a client finds another gateway while its own is still here; the other way round
// it would wait. Of devices as many go in each step as empty the process in the time; all at once
// would meet the connect rate of the processes that are left. Relays go when no device is left that
// uses them. Then what was decided is written, and whoever registers is answered, as far as the
// database allows. One thread, the loop's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>

#include "portal/access/peer_message.h"

namespace fatwal::process {

class Drain {
public:
    static constexpr std::chrono::milliseconds kStep{100};
    static constexpr std::chrono::seconds kRestWithin{10};  // once the devices are gone

    struct Rest {
        std::size_t flows = 0;  // rows and deletions that the database does not have
        std::size_t registrations = 0;
        bool accounts_at_work = false;
    };
    struct Handlers {
        std::function<std::size_t(access::Device)> count;
        // Closes at most so many; how many it has closed.
        std::function<std::size_t(access::Device, std::size_t most)> close_some;
        std::function<void()> close_relays;
        // What is left to do; is called again and again until there is nothing.
        std::function<Rest()> rest;
        std::function<void()> done;
    };

    // `over`: the time in which devices go.
    Drain(boost::asio::io_context& io, std::chrono::seconds over, Handlers handlers);

    void start();

private:
    void close_devices();
    void finish();
    void later(void (Drain::*next)());

    Handlers handlers_;
    std::chrono::seconds over_;
    boost::asio::steady_timer timer_;
    std::size_t slice_ = 0;  // devices of one step
    std::chrono::steady_clock::time_point until_;
};

// How many of the devices go in one step, so that all have gone after `over`.
[[nodiscard]] std::size_t drain_slice(std::size_t devices, std::chrono::seconds over);

}  // namespace fatwal::process
