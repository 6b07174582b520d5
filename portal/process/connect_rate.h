// How many devices may begin to join in a second, so that a crowd is let in by and by.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "portal/access/ip.h"

namespace fatwal::process {

// Whoever guesses tokens could use up the rate and keep all others out. So an address that is left
// unproven again and again shares one half of each second with all others of that kind; the
// other half is for everybody else. It is slowed and never shut out, as real devices can stand
// behind the same address. Of IPv6 a network of 64 bits counts as one address: that is what one
// customer has.
class ConnectRate {
public:
    using Tick = std::chrono::steady_clock::time_point;

    static constexpr int kSuspectFrom =
        20;  // times unproven, each within kRemembered of the one before
    static constexpr std::chrono::seconds kRemembered{60};
    static constexpr std::size_t kMostAddresses = 10'000;  // beyond it one of them is forgotten

    explicit ConnectRate(int per_second) : per_second_(per_second) {}

    // Whether a device at this address may begin to join; counts it if so.
    [[nodiscard]] bool admit(const access::IpAddress& from, Tick now);
    // A device at this address had a token that is none, or did not wait for the answer.
    void unproven(const access::IpAddress& from, Tick now);

private:
    struct Unproven {
        int count = 0;
        Tick last;
    };
    using Network = std::pair<bool, std::array<std::uint8_t, 16>>;

    [[nodiscard]] static Network network_of(const access::IpAddress& address);
    [[nodiscard]] bool is_suspect(const access::IpAddress& address, Tick now) const;

    int per_second_;
    Tick second_;       // the beginning of the current one
    int admitted_ = 0;  // in it
    int suspects_ = 0;  // among them
    std::map<Network, Unproven> unproven_;
};

}  // namespace fatwal::process
