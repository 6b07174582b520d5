#include "sidecar/log.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include <spdlog/spdlog.h>

namespace fatwal::sidecar {

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

void LogSink::sink_it_(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (dropped_ > 0 && write_line(fd_, "fatwald: " + std::to_string(dropped_) +
                                            " lines of the log were dropped, as nobody read them"))
        dropped_ = 0;
    if (dropped_ > 0 || !write_line(fd_, {line.data(), line.size()})) ++dropped_;
}

static_assert(static_cast<int>(service::LogLevel::Off) == spdlog::level::off);

void begin_log(service::LogLevel level) {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("fatwald", std::make_shared<LogSink>(STDERR_FILENO)));
    spdlog::set_level(static_cast<spdlog::level::level_enum>(level));
}

}  // namespace fatwal::sidecar
