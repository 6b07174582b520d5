#include "portal/access/time_windows.h"

#include <date/tz.h>

#include <algorithm>
#include <charconv>
#include <exception>

namespace fatwal::access {
namespace {

constexpr int kLastSecond = 86'399;
constexpr std::string_view kDays = "UMTWRFS";  // by date::weekday's number, Sunday first

// H[:M[:S[.fraction]]] as seconds of the day.
std::optional<int> parse_time(std::string_view text) {
    constexpr int kLimits[] = {24, 60, 60};
    int seconds = 0;
    for (int part = 0; part < 3; ++part) {
        std::string_view digits = text.substr(0, text.find(':'));
        text.remove_prefix(std::min(text.size(), digits.size() + 1));
        if (part == 2) {
            const std::size_t dot = digits.find('.');
            const std::string_view fraction =
                dot == std::string_view::npos ? "0" : digits.substr(dot + 1);
            if (fraction.empty() ||
                fraction.find_first_not_of("0123456789") != std::string_view::npos)
                return std::nullopt;
            digits = digits.substr(0, dot);
        }
        int value = 0;
        if (digits.empty() || digits.size() > 2) return std::nullopt;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (error != std::errc() || end != digits.data() + digits.size() || value < 0 ||
            value >= kLimits[part])
            return std::nullopt;
        constexpr int kUnits[] = {3600, 60, 1};
        seconds += value * kUnits[part];
        if (text.empty()) return seconds;
    }
    return std::nullopt;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
}

// A zone's clock around an instant.
class Clock {
public:
    Clock(const date::time_zone& zone, Instant now)
        : zone_(zone), info_(zone.get_info(date::floor<std::chrono::seconds>(now))) {
        today_ = date::local_days(date::floor<date::days>(now.time_since_epoch() + info_.offset));
    }

    [[nodiscard]] date::local_days today() const { return today_; }

    // Within a gap this is the instant of the jump, and of two instants the earlier.
    [[nodiscard]] Instant to_utc(date::local_days day, int second_of_day) const {
        const auto local = day + std::chrono::seconds(second_of_day);
        const date::sys_seconds utc(local.time_since_epoch() - info_.offset);
        // Far enough from the last jump, no other instant can show the same.
        constexpr auto kLongestJump = date::days(1);
        if (info_.begin + kLongestJump <= utc && utc < info_.end) return utc;
        return Instant(zone_.to_sys(local, date::choose::earliest).time_since_epoch());
    }

private:
    const date::time_zone& zone_;
    date::sys_info info_;
    date::local_days today_;
};

}  // namespace

bool TimeWindows::parse_one(std::string_view text, std::vector<Zone>& zones) {
    const std::size_t first = text.find('/');
    if (first != 1) return false;
    const std::size_t second = text.find('/', first + 1);
    if (second == std::string_view::npos) return false;
    const std::size_t day = kDays.find(text.front());
    if (day == std::string_view::npos) return false;
    std::string_view ranges = trimmed(text.substr(first + 1, second - first - 1));
    if (ranges.empty()) return false;

    std::vector<Range> parsed;
    if (ranges == "true") {
        parsed.push_back({0, kLastSecond});
        ranges = {};
    }
    bool more = !ranges.empty();
    while (more) {
        const std::size_t comma = ranges.find(',');
        const std::string_view range = trimmed(ranges.substr(0, comma));
        more = comma != std::string_view::npos;
        if (more) ranges.remove_prefix(comma + 1);
        const std::size_t dash = range.find('-');
        if (dash == std::string_view::npos) return false;
        const auto start = parse_time(trimmed(range.substr(0, dash)));
        const auto end = parse_time(trimmed(range.substr(dash + 1)));
        if (!start || !end || *start > *end) return false;
        parsed.push_back({*start, *end});
    }

    const date::time_zone* zone = nullptr;
    try {
        zone = date::locate_zone(std::string(text.substr(second + 1)));
        (void)zone->get_info(date::sys_seconds{});  // reads its file, which may be broken
    } catch (const std::exception&) {
        return false;
    }
    auto found = std::find_if(zones.begin(), zones.end(),
                              [&](const Zone& known) { return known.zone == zone; });
    if (found == zones.end()) found = zones.insert(zones.end(), Zone{zone, {}});
    auto& ranges_of_day = found->days.at(day);
    ranges_of_day.insert(ranges_of_day.end(), parsed.begin(), parsed.end());
    return true;
}

void TimeWindows::merge(std::vector<Range>& ranges) {
    std::sort(ranges.begin(), ranges.end(),
              [](const Range& a, const Range& b) { return a.start < b.start; });
    std::vector<Range> merged;
    for (const Range& range : ranges) {
        if (!merged.empty() && range.start <= merged.back().end)
            merged.back().end = std::max(merged.back().end, range.end);
        else
            merged.push_back(range);
    }
    ranges = std::move(merged);
}

std::shared_ptr<const TimeWindows> TimeWindows::parse(const std::vector<std::string>& values) {
    auto out = std::make_shared<TimeWindows>();
    for (const std::string& value : values)
        if (!parse_one(value, out->zones_)) return nullptr;
    for (Zone& zone : out->zones_)
        for (auto& day : zone.days) merge(day);
    return out;
}

TimeWindows::At TimeWindows::at(const Zone& zone, Instant now) {
    constexpr int kMostDays =
        8;  // with a hole anywhere a window ends on the same day of the next week at the latest
    const Clock clock(*zone.zone, now);
    At out;
    std::optional<Instant> start;  // of the window that is being gathered; not after now
    Instant end;
    bool joins = false;  // it reaches midnight
    int joined_days = 0;
    const auto change_at = [&out](Instant time) {
        out.next_change = out.next_change ? std::min(*out.next_change, time) : time;
    };
    const auto finish = [&] {
        if (!start || end < now) return;
        out.open = true;
        out.until = end;
        change_at(end + Instant::duration(1));
    };
    // From yesterday, whose last window a gap at midnight can push into today, to the first window
    // that is yet to come.
    for (int offset = -1; offset <= kMostDays + 1; ++offset) {
        const auto day = clock.today() + date::days(offset);
        const auto& ranges = zone.days.at(date::weekday(day).c_encoding());
        for (const Range& range : ranges) {
            if (!start || !joins || range.start != 0) {
                const Instant next = clock.to_utc(day, range.start);
                finish();
                if (next > now) {
                    change_at(next);
                    return out;
                }
                start = next;
                joined_days = 0;
            }
            end = clock.to_utc(day, range.end);
            if (++joined_days > kMostDays) return {true, {}, {}};
            joins = range.end == kLastSecond;
        }
        if (ranges.empty()) joins = false;
    }
    finish();
    return out;
}

const TimeWindows::At& TimeWindows::at(Instant now) const {
    if (kept_from_ && *kept_from_ <= now && (!kept_.next_change || now < *kept_.next_change))
        return kept_;
    kept_ = {};
    bool endless = false;
    for (const Zone& zone : zones_) {
        const At one = at(zone, now);
        if (one.open) {
            kept_.open = true;
            if (!one.until) endless = true;
            if (one.until && (!kept_.until || *one.until > *kept_.until)) kept_.until = one.until;
        }
        if (one.next_change && (!kept_.next_change || *one.next_change < *kept_.next_change))
            kept_.next_change = one.next_change;
    }
    if (endless) kept_.until.reset();
    kept_from_ = now;
    return kept_;
}

}  // namespace fatwal::access
