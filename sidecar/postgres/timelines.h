// Which positions of which timelines hold on the server that is streamed now.
//
// A promotion begins a new timeline at the point where it leaves the old one. Up to that point both
// are the same log, byte for byte:
//
//     timeline 1  ────────●──────── (what only the old primary wrote)
//                         │ the switch point
//     timeline 2          └──────── (now)
//
// So a cursor of timeline 1 holds on timeline 2 if it does not lie beyond the switch point:
// whatever commits at it or later is found there. Beyond it, the two logs differ, and only a new
// snapshot helps. A planned switch-over thus costs no subscriber a snapshot.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "fatwal/wire/control.h"

namespace fatwal::sidecar {

struct Timelines {
    struct Ancestor {
        std::uint32_t timeline = 0;
        wire::Lsn end = 0;  // the switch point
        friend bool operator==(const Ancestor&, const Ancestor&) = default;
    };

    wire::History now;
    std::vector<Ancestor> ancestors;  // of now.timeline

    // What TIMELINE_HISTORY gives: a line for each ancestor, blanks between its number, its switch
    // point and a text. What is not such a line is a comment.
    [[nodiscard]] static std::vector<Ancestor> parse(std::string_view file);

    // Whether `position` of the history `of` means the same now.
    [[nodiscard]] bool holds(const wire::History& of, wire::Lsn position) const;
};

}  // namespace fatwal::sidecar
