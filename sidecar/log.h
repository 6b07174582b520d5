// The log goes to standard error, and never waits for its reader. A pipe that nobody reads is full
// after 64 KiB; a blocking write to it would stop the stream. A line that would have to wait is
// dropped and counted, and the count is the next line that finds room.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include <spdlog/sinks/base_sink.h>

#include "service/log_level.h"

namespace fatwal::sidecar {

// Writes one line without waiting; false when there is no room for it. A line is at most kLineBytes
// long, as only so much is written in one piece to a pipe that says that it has room.
constexpr std::size_t kLineBytes = 4096;
bool write_line(int fd, std::string_view line);

class LogSink : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit LogSink(int fd) : fd_(fd) {}

protected:
    void sink_it_(const spdlog::details::log_msg& message) override;
    void flush_() override {}

private:
    int fd_;
    std::uint64_t dropped_ = 0;
};

// The process's logger, of this level and above.
void begin_log(service::LogLevel level);

}  // namespace fatwal::sidecar
