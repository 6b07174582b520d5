// The wait before another attempt: doubles up to a bound, with jitter so that many do not come back
// at once.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace fatwal::sidecar {

class Backoff {
public:
    explicit Backoff(std::uint64_t seed) : random_(seed) {}

    std::chrono::milliseconds next() {
        const auto most = next_;
        next_ = std::min(next_ * 2, kMost);
        return std::chrono::milliseconds(
            std::uniform_int_distribution<std::int64_t>(most.count() / 2, most.count())(random_));
    }
    void reset() { next_ = kLeast; }

private:
    static constexpr std::chrono::milliseconds kLeast{200};
    static constexpr std::chrono::milliseconds kMost{10'000};

    std::mt19937_64 random_;
    std::chrono::milliseconds next_ = kLeast;
};

}  // namespace fatwal::sidecar
