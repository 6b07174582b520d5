// What peers chose (names, keys), as it may stand in a log line, and how many such lines there are.
//
// Whoever can reach the control socket chooses names, and causes lines about them. A name is
// written as a JSON string, so it can neither end a line nor reach a terminal as a command. The
// lines share one budget of bytes: it fills again by the second, and lines beyond it are counted
// instead of written, so that no peer can fill the disk that the log is on.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fatwal/wire/json.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::sidecar {

// `text` in quotes, on one line.
[[nodiscard]] inline std::string log_text(std::string_view text) {
    std::string out;
    wire::render_string(text, wire::sink_to(out));
    return out;
}

class LogBudget {
public:
    using Time = std::chrono::steady_clock::time_point;
    // Enough for a herd of subscribers that all come back at once; then about one line a
    // millisecond at most.
    static constexpr std::uint64_t kBurstBytes = 64 * 1024;
    static constexpr std::uint64_t kBytesPerSecond = 8 * 1024;

    // Whether a line of so many bytes may be written; if not it is counted.
    [[nodiscard]] bool admits(std::size_t bytes, Time now) {
        const auto passed =
            std::chrono::duration_cast<std::chrono::milliseconds>(now - filled_).count();
        if (passed > 0) {
            // A pause of a minute fills it, however much longer it was.
            const auto counted = static_cast<std::uint64_t>(std::min<std::int64_t>(passed, 60'000));
            left_ = std::min(kBurstBytes, left_ + counted * kBytesPerSecond / 1000);
            filled_ = now;
        }
        if (left_ < bytes) {
            ++left_out_;
            return false;
        }
        left_ -= bytes;
        return true;
    }
    // How many lines were left out since the last call that gave a number.
    [[nodiscard]] std::optional<std::uint64_t> left_out(Time now) {
        if (left_out_ == 0 || now - said_ < std::chrono::seconds(10)) return std::nullopt;
        said_ = now;
        return std::exchange(left_out_, 0);
    }

private:
    std::uint64_t left_ = kBurstBytes;
    std::uint64_t left_out_ = 0;
    Time filled_;
    Time said_;
};

}  // namespace fatwal::sidecar
