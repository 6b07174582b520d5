// The types of typed rows that the standard library does not have.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace fatwal::client {

using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;

struct Uuid {
    std::array<std::byte, 16> bytes{};

    // Nothing unless it is 8-4-4-4-12 hexadecimal digits.
    [[nodiscard]] static std::optional<Uuid> from_text(std::string_view text) {
        if (text.size() != 36) return std::nullopt;
        Uuid out;
        std::size_t digit = 0;
        for (std::size_t i = 0; i < text.size(); ++i) {
            const char c = text[i];
            if (i == 8 || i == 13 || i == 18 || i == 23) {
                if (c != '-') return std::nullopt;
                continue;
            }
            int value = -1;
            if (c >= '0' && c <= '9') value = c - '0';
            if (c >= 'a' && c <= 'f') value = c - 'a' + 10;
            if (c >= 'A' && c <= 'F') value = c - 'A' + 10;
            if (value < 0) return std::nullopt;
            out.bytes[digit / 2] |= static_cast<std::byte>(digit % 2 == 0 ? value << 4 : value);
            ++digit;
        }
        return out;
    }
    [[nodiscard]] std::string to_text() const {
        static constexpr char kDigits[] = "0123456789abcdef";
        std::string out;
        out.reserve(36);
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
            out += kDigits[std::to_integer<unsigned>(bytes[i]) >> 4];
            out += kDigits[std::to_integer<unsigned>(bytes[i]) & 15U];
        }
        return out;
    }
    friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

}  // namespace fatwal::client

template <>
struct std::hash<fatwal::client::Uuid> {
    std::size_t operator()(const fatwal::client::Uuid& id) const noexcept {
        std::uint64_t a = 0;
        std::uint64_t b = 0;
        std::memcpy(&a, id.bytes.data(), 8);
        std::memcpy(&b, id.bytes.data() + 8, 8);
        return a ^ (b * 0x9E3779B97F4A7C15ULL);
    }
};
