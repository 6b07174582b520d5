#include "service/log.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>

#include "fatwal/wire/json.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::service {
namespace {

// Of write_last_line(), which is called from any thread.
std::atomic<LogFormat> current_format{LogFormat::Text};

std::string json_of(const spdlog::details::log_msg& message, std::string_view text) {
    const auto since_epoch =
        std::chrono::duration_cast<std::chrono::microseconds>(message.time.time_since_epoch());
    std::string line = "{\"time\":\"";
    const wire::Sink sink = wire::sink_to(line);
    wire::render_timestamp(since_epoch.count() - wire::kPostgresEpochUnixSeconds * 1'000'000, true,
                           sink);
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
        std::size_t kept = text.size() - std::max<std::size_t>((json.size() - kMost) / 6, 1);
        while (kept > 0 && (static_cast<unsigned char>(text[kept]) & 0xC0U) == 0x80U) --kept;
        text = text.substr(0, kept);
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

void begin_log(const char* program, LogLevel level, LogFormat format) {
    auto sink = std::make_shared<LogSink>(STDERR_FILENO);
    auto logger = std::make_shared<spdlog::logger>(program, std::move(sink));
    if (format == LogFormat::Json) logger->set_formatter(std::make_unique<JsonFormatter>());
    current_format = format;
    spdlog::set_default_logger(std::move(logger));
    set_log_level(level);
}

void set_log_level(LogLevel level) {
    spdlog::set_level(static_cast<spdlog::level::level_enum>(level));
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
