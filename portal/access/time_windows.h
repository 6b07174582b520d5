// Weekly time windows in time zones: the values of current_utc_datetime.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "portal/access/basics.h"

namespace date {
class time_zone;
}

namespace fatwal::access {

// Each value is "D/ranges/Zone": D one of M T W R F S U; ranges "H[:M[:S]]-H[:M[:S]]" with commas
// between, or "true" for the whole day; Zone an IANA name. Both ends are in the window, start <=
// end; a fraction of a second in the text is cut off. Windows that overlap or touch are one; so are
// one to 23:59:59 and one from 00:00 of the next day. A boundary that a zone's clock skips is the
// first instant after the gap, one that it shows twice the earlier.
class TimeWindows {
public:
    struct At {
        bool open = false;
        std::optional<Instant> until;  // when open: the last instant; nothing: always open
        std::optional<Instant>
            next_change;  // the first instant after at which `open` or `until` can differ
    };

    // Nothing when any value is malformed or names an unknown zone.
    [[nodiscard]] static std::shared_ptr<const TimeWindows> parse(
        const std::vector<std::string>& values);

    // Keeps the last answer for as long as it is one, hence not for several threads at once.
    [[nodiscard]] const At& at(Instant now) const;

private:
    struct Range {
        int start = 0;  // seconds of the day
        int end = 0;    // included
    };
    struct Zone {
        const date::time_zone* zone = nullptr;
        std::array<std::vector<Range>, 7> days;  // Sunday first; sorted and merged
    };

    [[nodiscard]] static bool parse_one(std::string_view text, std::vector<Zone>& zones);
    static void merge(std::vector<Range>& ranges);
    [[nodiscard]] static At at(const Zone& zone, Instant now);

    std::vector<Zone> zones_;
    mutable At kept_;
    mutable std::optional<Instant>
        kept_from_;  // kept_ answers from here until before its next change
};

}  // namespace fatwal::access
