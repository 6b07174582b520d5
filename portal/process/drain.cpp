#include "portal/process/drain.h"

#include <spdlog/spdlog.h>

namespace fatwal::process {

using access::Device;

Drain::Drain(boost::asio::io_context& io, std::chrono::seconds over, Handlers handlers)
    : handlers_(std::move(handlers)), over_(over), timer_(io) {}

void Drain::start() {
    const auto devices = handlers_.count(Device::Client) + handlers_.count(Device::Gateway);
    slice_ = drain_slice(devices, over_);
    spdlog::info("{} devices are sent elsewhere over {} s", devices, over_.count());
    close_devices();
}

void Drain::close_devices() {
    std::size_t left = slice_;
    for (const Device device : {Device::Client, Device::Gateway})
        if (left > 0) left -= handlers_.close_some(device, left);
    if (left < slice_) return later(&Drain::close_devices);
    handlers_.close_relays();
    until_ = std::chrono::steady_clock::now() + kRestWithin;
    finish();
}

void Drain::finish() {
    const Rest rest = handlers_.rest();
    const bool is_late = std::chrono::steady_clock::now() >= until_;
    if ((rest.flows > 0 || rest.registrations > 0 || rest.accounts_at_work) && !is_late)
        return later(&Drain::finish);
    if (rest.flows > 0)
        spdlog::error("{} flows are not written or deleted: the database does not take them",
                      rest.flows);
    handlers_.done();
}

void Drain::later(void (Drain::*next)()) {
    timer_.expires_after(kStep);
    timer_.async_wait([this, next](boost::system::error_code error) {
        if (!error) (this->*next)();
    });
}

std::size_t drain_slice(std::size_t devices, std::chrono::seconds over) {
    const auto steps = static_cast<std::size_t>(over / Drain::kStep);
    return steps == 0 ? devices + 1 : devices / steps + 1;
}

}  // namespace fatwal::process
