#include "portal/access/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace fatwal::access {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

bool is_mapped(const IpAddress& address) {
    return address.v6 && std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin());
}

IpAddress unmapped(const IpAddress& address) {
    IpAddress out;
    std::copy_n(address.bytes.begin() + 12, 4, out.bytes.begin());
    return out;
}

// As it is written, mapped or not.
std::optional<IpAddress> parse_written(std::string_view text) {
    char buffer[INET6_ADDRSTRLEN + 1];
    if (text.empty() || text.size() >= sizeof buffer) return std::nullopt;
    std::memcpy(buffer, text.data(), text.size());
    buffer[text.size()] = '\0';
    if (std::strlen(buffer) != text.size()) return std::nullopt;
    IpAddress out;
    out.v6 = text.find(':') != std::string_view::npos;
    if (inet_pton(out.v6 ? AF_INET6 : AF_INET, buffer, out.bytes.data()) != 1) return std::nullopt;
    return out;
}

std::uint8_t mask_of_byte(unsigned prefix, unsigned byte) {
    if (prefix >= 8 * (byte + 1)) return 0xFF;
    if (prefix <= 8 * byte) return 0;
    return static_cast<std::uint8_t>(0xFF00U >> (prefix - 8 * byte));
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    auto out = parse_written(text);
    if (out && is_mapped(*out)) out = unmapped(*out);
    return out;
}

std::string IpAddress::to_text() const {
    char buffer[INET6_ADDRSTRLEN];
    return inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), buffer, sizeof buffer) != nullptr
               ? buffer
               : "";
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto base = parse_written(text.substr(0, slash));
    if (!base) return std::nullopt;
    Cidr out{*base, static_cast<std::uint8_t>(base->v6 ? 128 : 32)};
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        unsigned prefix = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
        if (error != std::errc() || end != digits.data() + digits.size() || prefix > out.prefix)
            return std::nullopt;
        out.prefix = static_cast<std::uint8_t>(prefix);
    }
    if (is_mapped(out.base) && out.prefix >= 96)
        out = {unmapped(out.base), static_cast<std::uint8_t>(out.prefix - 96)};
    for (unsigned i = 0; i < out.base.bytes.size(); ++i)
        out.base.bytes[i] &= mask_of_byte(out.prefix, i);
    return out;
}

bool Cidr::contains(const IpAddress& address) const {
    if (address.v6 != base.v6) return false;
    for (unsigned i = 0; 8 * i < prefix; ++i)
        if ((address.bytes[i] & mask_of_byte(prefix, i)) != base.bytes[i]) return false;
    return true;
}

std::string Cidr::to_text() const { return base.to_text() + '/' + std::to_string(prefix); }

std::string host_of_inet(std::string_view text) {
    return std::string(text.substr(0, text.find('/')));
}

}  // namespace fatwal::access
