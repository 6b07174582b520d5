// Since when WAL is kept: how long ago the stream was at a position. No I/O.
//
//     noted       10:00        10:01        10:02       10:03
//     --------------|------------|---|--------|-----------|------> LSN
//                                    `- a position: what lies behind it came at 10:02
//
// Postgres does not say how old the WAL is that a slot keeps. So the loop notes once a second how
// far it has received, and the age of a position is the age of the first note beyond it. What came
// before this process began counts from its beginning.
//
// When the notes are kMost, those go whose neighbours are close for their age: an age is then too
// small by at most a part in kPart, and the notes of a year are some 600. One thread: fatwald's
// loop.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

#include "fatwal/wire/types.h"

namespace fatwal::sidecar {

class PositionAges {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::size_t kMost = 1024;
    static constexpr int kPart = 32;

    // A position that is less than the last one belongs to another stream: notes begin again.
    void note(wire::Lsn position, Time now);
    // What lies behind `position` has been here for so long; 0 when nothing does.
    [[nodiscard]] std::chrono::nanoseconds behind(wire::Lsn position, Time now) const;

private:
    struct Note {
        wire::Lsn position;
        Time at;
    };
    std::deque<Note> notes_;  // in their order
};

}  // namespace fatwal::sidecar
