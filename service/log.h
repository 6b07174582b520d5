// The log goes to standard error, and never waits for its reader. A pipe that nobody reads is full
// after 64 KiB; a blocking write to it would stop the stream. A line that would have to wait is
// dropped and counted, and the count is the next line that finds room.
//
// Lines are text, or with LogFormat::Json an object each:
//
//     {"time":"2026-11-29T09:15:02.123456Z","level":"warning","message":"the stream is stalled: …"}
//
// RecentLines keeps the newest lines in memory, for who cannot read standard error. It has its own
// level, so it has lines that log_level leaves out of standard error.
#pragma once

#include <spdlog/formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

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

struct LogLine {
    std::uint64_t number = 0;  // rises by one, from 1
    std::int64_t unix_us = 0;
    LogLevel level = LogLevel::Info;
    std::string text;
};

// The newest lines of level info and above. When there are more than kMostLines or kMostBytes, the
// oldest go. Written and read by any thread.
class RecentLines : public spdlog::sinks::base_sink<std::mutex> {
public:
    static constexpr std::size_t kMostLines = 1000;
    static constexpr std::size_t kMostBytes = 256 * 1024;  // of all texts
    static constexpr std::size_t kMostTextBytes = 1024;    // of one

    RecentLines();

    // When this process began to log, in microseconds since 1970: which process the numbers are of.
    [[nodiscard]] std::uint64_t start() const { return start_; }
    // At most so many of the lines behind this number, the oldest first, and whether there are
    // more.
    [[nodiscard]] std::vector<LogLine> behind(std::uint64_t number, std::size_t most, bool& more);

protected:
    void sink_it_(const spdlog::details::log_msg& message) override;
    void flush_() override {}

private:
    const std::uint64_t start_;
    std::deque<LogLine> lines_;
    std::size_t bytes_ = 0;
    std::uint64_t newest_ = 0;
};

// The process's logger. Standard error has lines of this level and above; `recent`, if it is there,
// all from info on. `program` lives as long as the process.
void begin_log(const char* program, LogLevel level, LogFormat format,
               std::shared_ptr<RecentLines> recent = nullptr);
// Of standard error.
void set_log_level(LogLevel level);

// The line with which a process ends: written whatever the level is, and without the logger, whose
// lock somebody may have. Also before begin_log(); then it is text. Any thread.
void write_last_line(const char* program, std::string_view text);

}  // namespace fatwal::service
