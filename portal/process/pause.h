// How long to wait before the next attempt at what keeps failing.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace fatwal::process {

// Doubles with each failure; begins again with the first pause only after all has been well for a
// while, as what fails again soon has not been mended.
class Pause {
public:
    using Duration = std::chrono::milliseconds;
    using Tick = std::chrono::steady_clock::time_point;

    static constexpr Duration kFirst{250};
    static constexpr Duration kLongest{60'000};
    static constexpr Duration kWell{60'000};

    // It has worked at `now`, and has been well since.
    void well(Tick now) {
        if (!well_since_) well_since_ = now;
    }
    // It has failed: the pause before the next attempt.
    [[nodiscard]] Duration failed(Tick now) {
        if (well_since_ && now - *well_since_ >= kWell) next_ = kFirst;
        well_since_.reset();
        return std::exchange(next_, std::min(next_ * 2, kLongest));
    }

private:
    Duration next_ = kFirst;
    std::optional<Tick> well_since_;
};

}  // namespace fatwal::process
