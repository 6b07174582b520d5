// Numbers as the server prints them in the fields of a result.
#pragma once

#include <charconv>
#include <string_view>

namespace fatwal::sidecar {

// 0 for what is none, as a null is.
template <class Integer>
[[nodiscard]] Integer number(std::string_view text) {
    Integer value{};
    (void)std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace fatwal::sidecar
