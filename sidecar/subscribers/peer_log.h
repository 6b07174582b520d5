// Log lines about peers, of which there are as many as peers want: they share one budget of bytes
// (log_text.h), and what passes it is counted and logged as a number.
#pragma once

#include <chrono>
#include <string>

#include <spdlog/spdlog.h>

#include "sidecar/log_text.h"

namespace fatwal::sidecar {

class PeerLog {
public:
    using Time = LogBudget::Time;

    void warn(const std::string& line, Time now) {
        if (budget_.admits(line.size(), now)) spdlog::warn("{}", line);
    }
    void tick(Time now) {
        if (const auto lines = budget_.left_out(now))
            spdlog::warn("{} more lines about subscribers were left out", *lines);
    }

private:
    LogBudget budget_;
};

}  // namespace fatwal::sidecar
