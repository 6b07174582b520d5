#include "portal/process/connect_rate.h"

#include <algorithm>

namespace fatwal::process {

bool ConnectRate::admit(const access::IpAddress& from, Tick now) {
    if (now - second_ >= std::chrono::seconds(1)) {
        second_ = now;
        admitted_ = 0;
        suspects_ = 0;
    }
    if (admitted_ >= per_second_) return false;
    if (is_suspect(from, now)) {
        if (suspects_ >= std::max(per_second_ / 2, 1)) return false;
        ++suspects_;
    }
    ++admitted_;
    return true;
}

void ConnectRate::unproven(const access::IpAddress& from, Tick now) {
    const Network network = network_of(from);
    if (unproven_.size() >= kMostAddresses && !unproven_.contains(network))
        unproven_.erase(unproven_.begin());
    Unproven& seen = unproven_[network];
    if (now - seen.last > kRemembered) seen.count = 0;
    seen.count = std::min(seen.count + 1, kSuspectFrom);
    seen.last = now;
}

ConnectRate::Network ConnectRate::network_of(const access::IpAddress& address) {
    Network out{address.v6, address.bytes};
    if (address.v6) std::fill(out.second.begin() + 8, out.second.end(), std::uint8_t{0});
    return out;
}

bool ConnectRate::is_suspect(const access::IpAddress& address, Tick now) const {
    const auto found = unproven_.find(network_of(address));
    return found != unproven_.end() && found->second.count >= kSuspectFrom &&
           now - found->second.last <= kRemembered;
}

}  // namespace fatwal::process
