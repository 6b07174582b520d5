// IP addresses and networks.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fatwal::access {

// IPv4 or IPv6. An IPv4 address that is written as IPv6 (::ffff:a.b.c.d) is the IPv4 address, so
// that a listener of both kinds makes no way around a rule.
struct IpAddress {
    std::array<std::uint8_t, 16> bytes{};  // in network order; the first 4 of IPv4
    bool v6 = false;

    [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
    [[nodiscard]] std::string to_text() const;
    friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

struct Cidr {
    IpAddress base;  // without host bits
    std::uint8_t prefix = 0;

    // "10.1.2.3/8" (host bits are dropped) or a bare address (/32, /128); nothing for any other
    // text.
    [[nodiscard]] static std::optional<Cidr> parse(std::string_view text);
    // An IPv4 network never holds an IPv6 address, nor the other way round.
    [[nodiscard]] bool contains(const IpAddress& address) const;
    [[nodiscard]] std::string to_text() const;
    friend bool operator==(const Cidr&, const Cidr&) = default;
};

// The text of inet without its mask: "100.64.0.1/32" is "100.64.0.1".
[[nodiscard]] std::string host_of_inet(std::string_view text);

}  // namespace fatwal::access
