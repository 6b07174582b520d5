// How severe a line of the log has to be.
#pragma once

#include <cstdint>

#include "service/settings.h"

namespace fatwal::service {

// In spdlog's order and with its numbers.
enum class LogLevel : std::uint8_t { Trace, Debug, Info, Warning, Error, Critical, Off };

inline Names<LogLevel> log_levels() {
    return {{"trace", LogLevel::Trace}, {"debug", LogLevel::Debug},
            {"info", LogLevel::Info},   {"warning", LogLevel::Warning},
            {"error", LogLevel::Error}, {"critical", LogLevel::Critical},
            {"off", LogLevel::Off}};
}

}  // namespace fatwal::service
