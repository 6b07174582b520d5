// The log goes to standard error, and never waits for its reader. A pipe that nobody reads is full
// after 64 KiB; a blocking write to it would stop the stream. A line that would have to wait is
// dropped and counted, and the count is the next line that finds room.
//
// Lines are text, or with LogFormat::Json an object each:
//
//     {"time":"2026-11-29T09:15:02.123456Z","level":"warning","message":"the stream is stalled: …"}
#pragma once

#include <spdlog/formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "service/log_level.h"
#include "service/settings.h"

namespace fatwal::service {

enum class LogFormat : std::uint8_t { Text, Json };

inline Names<LogFormat> log_formats() {
    return {{"text", LogFormat::Text}, {"json", LogFormat::Json}};
}

// Writes one line without waiting; false when there is no room for it. A line is at most kLineBytes
// long, as only so much is written in one piece to a pipe that says that it has room.
constexpr std::size_t kLineBytes = 4096;
bool write_line(int fd, std::string_view line);

// Any text as an object of at most kLineBytes with its line's end. Of a text that is too long the
// end is missing, and the object is whole.
class JsonFormatter : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override;
    [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<JsonFormatter>();
    }
};

class LogSink : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit LogSink(int fd) : fd_(fd) {}

protected:
    void sink_it_(const spdlog::details::log_msg& message) override;
    void flush_() override {}

private:
    [[nodiscard]] bool write(const spdlog::details::log_msg& message);

    int fd_;
    std::uint64_t dropped_ = 0;
};

// The process's logger, of this level and above. `program` lives as long as the process.
void begin_log(const char* program, LogLevel level, LogFormat format);
void set_log_level(LogLevel level);

// The line with which a process ends: written whatever the level is, and without the logger, whose
// lock somebody may have. Also before begin_log(); then it is text. Any thread.
void write_last_line(const char* program, std::string_view text);

}  // namespace fatwal::service
