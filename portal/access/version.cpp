#include "portal/access/version.h"

#include <algorithm>
#include <charconv>

namespace fatwal::access {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool all_digits(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

// Takes a number without leading zeros from the front of `text`.
bool take_number(std::string_view& text, std::uint32_t& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    const auto length = static_cast<std::size_t>(end - text.data());
    if (error != std::errc() || (length > 1 && text.front() == '0')) return false;
    text.remove_prefix(length);
    return true;
}

bool take(std::string_view& text, char c) {
    if (text.empty() || text.front() != c) return false;
    text.remove_prefix(1);
    return true;
}

// Takes the part up to the next dot.
std::string_view take_identifier(std::string_view& text) {
    const std::string_view out = text.substr(0, text.find('.'));
    text.remove_prefix(std::min(text.size(), out.size() + 1));
    return out;
}

bool valid_identifiers(std::string_view text, bool leading_zeros) {
    if (text.empty() || text.back() == '.') return false;
    while (!text.empty()) {
        const std::string_view identifier = take_identifier(text);
        if (identifier.empty() || !std::all_of(identifier.begin(), identifier.end(), [](char c) {
                return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
            }))
            return false;
        if (!leading_zeros && identifier.size() > 1 && identifier.front() == '0' &&
            all_digits(identifier))
            return false;
    }
    return true;
}

std::strong_ordering compare_identifiers(std::string_view a, std::string_view b) {
    const bool a_number = all_digits(a);
    const bool b_number = all_digits(b);
    if (a_number != b_number)
        return a_number ? std::strong_ordering::less : std::strong_ordering::greater;
    // Without leading zeros the longer number is the greater one.
    if (a_number && a.size() != b.size()) return a.size() <=> b.size();
    return a.compare(b) <=> 0;
}

std::strong_ordering compare_pre_releases(std::string_view a, std::string_view b) {
    if (a.empty() || b.empty())
        return a.empty() <=> b.empty();  // a release is later than what comes before it
    while (!a.empty() && !b.empty()) {
        const auto order = compare_identifiers(take_identifier(a), take_identifier(b));
        if (order != std::strong_ordering::equal) return order;
    }
    return !a.empty() <=> !b.empty();
}

bool at_least(const Version& version, std::uint32_t major, std::uint32_t minor) {
    return version.major != major ? version.major > major : version.minor >= minor;
}

}  // namespace

std::optional<Version> Version::parse(std::string_view text) {
    Version out;
    if (!take_number(text, out.major) || !take(text, '.') || !take_number(text, out.minor) ||
        !take(text, '.') || !take_number(text, out.patch))
        return std::nullopt;
    const std::size_t plus = text.find('+');
    if (plus != std::string_view::npos) {
        if (!valid_identifiers(text.substr(plus + 1), true)) return std::nullopt;
        text = text.substr(0, plus);
    }
    if (take(text, '-')) {
        if (!valid_identifiers(text, false)) return std::nullopt;
        out.pre_release = text;
    } else if (!text.empty()) {
        return std::nullopt;
    }
    return out;
}

std::string Version::to_text() const {
    std::string out =
        std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(patch);
    if (!pre_release.empty()) out += '-' + pre_release;
    return out;
}

std::strong_ordering operator<=>(const Version& a, const Version& b) {
    if (const auto order = a.major <=> b.major; order != 0) return order;
    if (const auto order = a.minor <=> b.minor; order != 0) return order;
    if (const auto order = a.patch <=> b.patch; order != 0) return order;
    return compare_pre_releases(a.pre_release, b.pre_release);
}

bool compatible(const Version& a, const Version& b) {
    return a.major == b.major && (a.minor > b.minor ? a.minor - b.minor : b.minor - a.minor) <= 1;
}

// A pre-release of 1.2.0 has what 1.2.0 has.
bool knows_double_star(const Version& version) { return at_least(version, 1, 2); }
bool knows_internet(const Version& version) { return at_least(version, 1, 3); }

std::optional<std::string> older_dns_address(std::string_view address) {
    std::string out;
    if (address.substr(0, 2) == "**") {
        out = "*";
        address.remove_prefix(2);
    } else if (address.substr(0, 1) == "*") {
        out = "?";
        address.remove_prefix(1);
    }
    if (address.find_first_of("*?") != std::string_view::npos) return std::nullopt;
    return out.append(address);
}

}  // namespace fatwal::access
