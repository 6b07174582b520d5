#include "service/log.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <utility>

#include "fatwal/wire/json.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::service {
namespace {

// Of write_last_line(), which is called from any thread.
std::atomic<LogFormat> current_format{LogFormat::Text};

std::int64_t microseconds_of(spdlog::log_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

// At most so many bytes of it, and no part of a character.
std::string_view cut_text(std::string_view text, std::size_t most) {
    if (text.size() <= most) return text;
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) --most;
    return text.substr(0, most);
}

std::string json_of(const spdlog::details::log_msg& message, std::string_view text) {
    std::string line = "{\"time\":\"";
    const wire::Sink sink = wire::sink_to(line);
    wire::render_timestamp(
        microseconds_of(message.time) - wire::kPostgresEpochUnixSeconds * 1'000'000, true, sink);
    const auto level = spdlog::level::to_string_view(message.level);
    line += "\",\"level\":\"";
    line.append(level.data(), level.size());
    line += "\",\"message\":";
    wire::render_string(text, sink);
    return line + "}\n";
}

}  // namespace

bool write_line(int fd, std::string_view line) {
    std::string cut(line.substr(0, kLineBytes - 1));
    if (cut.empty() || cut.back() != '\n') cut += '\n';
    pollfd room = {fd, POLLOUT, 0};
    // poll() reports a pipe as writable when a write of PIPE_BUF (4096) bytes does not wait.
    if (poll(&room, 1, 0) <= 0 || (room.revents & POLLOUT) == 0) return false;
    // A socket (systemd's journal) may have room for less.
    ssize_t written = send(fd, cut.data(), cut.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0 && errno == ENOTSOCK) written = write(fd, cut.data(), cut.size());
    return written >= 0;
}

void JsonFormatter::format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) {
    constexpr std::size_t kMost = kLineBytes - 1;  // write_line() cuts what is longer
    std::string_view text(message.payload.data(), message.payload.size());
    text = text.substr(0, kMost);
    std::string json = json_of(message, text);
    // An escape is up to six bytes for one, so what has to go is estimated, and checked again.
    while (json.size() > kMost) {
        text = cut_text(text, text.size() - std::max<std::size_t>((json.size() - kMost) / 6, 1));
        json = json_of(message, text);
    }
    line.append(json.data(), json.data() + json.size());
}

bool LogSink::write(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    return write_line(fd_, {line.data(), line.size()});
}

void LogSink::sink_it_(const spdlog::details::log_msg& message) {
    if (dropped_ > 0) {
        const std::string text =
            std::to_string(dropped_) + " lines of the log were dropped, as nobody read them";
        if (write({message.logger_name, spdlog::level::warn, text})) dropped_ = 0;
    }
    if (dropped_ > 0 || !write(message)) ++dropped_;
}

static_assert(static_cast<int>(LogLevel::Off) == spdlog::level::off);

RecentLines::RecentLines()
    : start_(static_cast<std::uint64_t>(microseconds_of(std::chrono::system_clock::now()))) {
    set_level(spdlog::level::info);
}

void RecentLines::sink_it_(const spdlog::details::log_msg& message) {
    std::string_view text(message.payload.data(), message.payload.size());
    text = cut_text(text, kMostTextBytes);
    lines_.push_back({++newest_, microseconds_of(message.time),
                      static_cast<LogLevel>(message.level), std::string(text)});
    bytes_ += text.size();
    while (lines_.size() > kMostLines || bytes_ > kMostBytes) {
        bytes_ -= lines_.front().text.size();
        lines_.pop_front();
    }
}

std::vector<LogLine> RecentLines::behind(std::uint64_t number, std::size_t most, bool& more) {
    const std::scoped_lock lock(mutex_);
    // The numbers have no gaps, so the place of a line follows from its number.
    const std::uint64_t oldest = newest_ - lines_.size() + 1;
    const std::size_t first = number < oldest ? 0 : std::min(number - oldest + 1, lines_.size());
    const std::size_t count = std::min(most, lines_.size() - first);
    more = first + count < lines_.size();
    const auto begin = lines_.begin() + static_cast<std::ptrdiff_t>(first);
    return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

void begin_log(const char* program, LogLevel level, LogFormat format,
               std::shared_ptr<RecentLines> recent) {
    std::vector<spdlog::sink_ptr> sinks{std::make_shared<LogSink>(STDERR_FILENO)};
    if (recent) sinks.push_back(std::move(recent));
    auto logger = std::make_shared<spdlog::logger>(program, sinks.begin(), sinks.end());
    if (format == LogFormat::Json) logger->set_formatter(std::make_unique<JsonFormatter>());
    current_format = format;
    spdlog::set_default_logger(std::move(logger));
    set_log_level(level);
}

// The logger asks each sink, and drops at once what none of them takes.
void set_log_level(LogLevel level) {
    spdlog::logger& logger = *spdlog::default_logger();
    auto lowest = static_cast<spdlog::level::level_enum>(level);
    for (const spdlog::sink_ptr& sink : logger.sinks()) {
        if (dynamic_cast<RecentLines*>(sink.get()) == nullptr)
            sink->set_level(static_cast<spdlog::level::level_enum>(level));
        lowest = std::min(lowest, sink->level());
    }
    logger.set_level(lowest);
}

void write_last_line(const char* program, std::string_view text) {
    std::string line = program + (": " + std::string(text));
    if (current_format == LogFormat::Json) {
        spdlog::memory_buf_t json;
        JsonFormatter().format({program, spdlog::level::critical, {text.data(), text.size()}},
                               json);
        line.assign(json.data(), json.size());
    }
    (void)write_line(STDERR_FILENO, line);
}

}  // namespace fatwal::service
