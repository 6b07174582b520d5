// Versions of devices, and what each can express.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fatwal::access {

// A semantic version (semver.org 2.0.0). Build metadata is dropped.
struct Version {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
    std::uint32_t patch = 0;
    std::string pre_release;  // without the hyphen

    // "1.5.4", "1.5.4-rc.1", "1.5.4+abc"; nothing for any other text.
    [[nodiscard]] static std::optional<Version> parse(std::string_view text);

    [[nodiscard]] std::string to_text() const;

    // By precedence: 1.5.0-rc.1 < 1.5.0 < 1.10.0.
    friend std::strong_ordering operator<=>(const Version& a, const Version& b);
    friend bool operator==(const Version&, const Version&) = default;
};

// Whether a client and a gateway of these versions understand each other: the same major, minors at
// most 1 apart.
[[nodiscard]] bool compatible(const Version& a, const Version& b);

// Devices before 1.2.0 know no `**` in a DNS name and read `*` as one label.
[[nodiscard]] bool knows_double_star(const Version& version);

// Devices before 1.3.0 do not know the internet as a resource.
[[nodiscard]] bool knows_internet(const Version& version);

// A DNS name as devices before 1.2.0 write it: a leading `**` becomes `*`, a leading `*` becomes
// `?`; nothing for any other wildcard.
[[nodiscard]] std::optional<std::string> older_dns_address(std::string_view address);

}  // namespace fatwal::access
