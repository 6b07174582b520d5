// A sink that appends to a string. Not for the extension.
#pragma once

#include <string>

#include "fatwal/wire/json.h"
#include "fatwal/wire/text.h"

namespace fatwal::wire {

// `text` outlives the sink.
[[nodiscard]] inline Sink sink_to(std::string& text) {
    return {&text, [](void* target, const char* part, std::size_t length) {
                static_cast<std::string*>(target)->append(part, length);
            }};
}

[[nodiscard]] inline std::string lsn_text(Lsn lsn) {
    std::string text;
    render_lsn(lsn, sink_to(text));
    return text;
}

// A name of somebody else's (an account's key, a subscriber) as a person may read it: as it is, or
// as a JSON string where something in it is obeyed by a terminal, turns the direction of the line,
// or looks like words of ours, such as (operators).
[[nodiscard]] inline std::string shown_name(std::string_view name) {
    // U+202A to U+202E and U+2066 to U+2069.
    const auto turns = [](std::string_view text, std::size_t at) {
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
        return at + 2 < text.size() && byte(0) == 0xE2 &&
               ((byte(1) == 0x80 && byte(2) >= 0xAA && byte(2) <= 0xAE) ||
                (byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9));
    };
    bool plain = is_one_line(name) && !name.starts_with('(') && !name.starts_with('"');
    for (std::size_t i = 0; plain && i < name.size(); ++i) plain = !turns(name, i);
    if (plain) return std::string(name);
    std::string quoted;
    render_string(name, sink_to(quoted));
    std::string out;
    for (std::size_t i = 0; i < quoted.size(); ++i) {
        if (!turns(quoted, i)) {
            out += quoted[i];
            continue;
        }
        constexpr std::string_view kDigits = "0123456789abcdef";
        const auto last = static_cast<unsigned char>(quoted[i + 2]);
        const unsigned code =
            (static_cast<unsigned char>(quoted[i + 1]) & 0x3FU) << 6U | (last & 0x3FU);
        out += "\\u20";
        out += kDigits[code >> 4U & 15U];
        out += kDigits[code & 15U];
        i += 2;
    }
    return out;
}

}  // namespace fatwal::wire
