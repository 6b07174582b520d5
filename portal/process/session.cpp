#include "portal/process/session.h"

#include <algorithm>

#include "fatwal/wire/invariant.h"
#include "portal/process/clock.h"

namespace fatwal::process {

using access::Address;
using access::Device;

Session::Session(boost::asio::io_context& io, Address own, std::shared_ptr<Link> device,
                 SessionInfo shown, const Rates& rates, std::function<void()> due)
    : address(own),
      info(std::move(shown)),
      link(std::move(device)),
      limit(rates),
      deadline(io, wall_clock, std::move(due)) {}

void Session::keep_deadline() {
    deadline.set(call([](auto& one) { return one.next_deadline(); }));
}

Session& SessionTable::add(std::unique_ptr<Session> session) {
    auto& place = sessions_[{session->address.device, session->address.id}];
    FATWAL_INVARIANT(!place, "a device's earlier session has ended before the next one begins");
    place = std::move(session);
    return *place;
}

std::unique_ptr<Session> SessionTable::remove(const Address& address) {
    if (find(address) == nullptr) return nullptr;
    return std::move(sessions_.extract({address.device, address.id}).mapped());
}

Session* SessionTable::find(const Address& address) const {
    Session* session = find(address.device, address.id);
    const bool is_it = session != nullptr && (address.generation == 0 ||
                                              address.generation == session->address.generation);
    return is_it ? session : nullptr;
}

Session* SessionTable::find(Device device, const Uuid& id) const {
    const auto found = sessions_.find({device, id});
    return found == sessions_.end() ? nullptr : found->second.get();
}

std::size_t SessionTable::count(Device device) const {
    return static_cast<std::size_t>(
        std::count_if(sessions_.begin(), sessions_.end(),
                      [&](const auto& entry) { return entry.first.first == device; }));
}

std::vector<Address> SessionTable::addresses() const {
    std::vector<Address> out;
    out.reserve(sessions_.size());
    for (const auto& [key, session] : sessions_) out.push_back(session->address);
    return out;
}

std::vector<Address> SessionTable::addresses(Device device) const {
    std::vector<Address> out;
    for (const auto& [key, session] : sessions_)
        if (key.first == device) out.push_back(session->address);
    return out;
}

std::vector<Address> SessionTable::gateways_with(const access::Pair& pair) const {
    std::vector<Address> out;
    for (const auto& [key, session] : sessions_)
        if (session->is_gateway() && session->gateway().holds(pair))
            out.push_back(session->address);
    return out;
}

}  // namespace fatwal::process
