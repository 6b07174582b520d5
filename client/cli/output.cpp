#include "client/cli/output.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace fatwal::cli {

namespace {

constexpr std::size_t kLarge = 1'048'576;  // bytes
constexpr int kPollMs = 200;               // between looks whether a signal has come

bool is_regular_file() {
    struct stat about {};
    return ::fstat(STDOUT_FILENO, &about) == 0 && S_ISREG(about.st_mode);
}

}  // namespace

void Output::line(std::string_view text) {
    buffer_.append(text).push_back('\n');
    if (buffer_.size() >= kLarge) write();
}

// Waits until standard output takes bytes. False when a signal has come and it does not.
bool Output::wait() const {
    pollfd output{STDOUT_FILENO, POLLOUT, 0};
    while (::poll(&output, 1, kPollMs) <= 0)
        if (stopped_ != 0) return false;
    return true;
}

// write(2) and no stdio: stdio keeps what it could not write, and would write it at exit, behind
// the error that was reported. Where poll() says that a pipe takes bytes, it takes PIPE_BUF of them
// without waiting, so no write hangs; a regular file takes any number.
void Output::write() {
    std::string_view rest = buffer_;
    const std::size_t most = is_regular_file() ? rest.size() : PIPE_BUF;
    while (!rest.empty() && error_ == 0) {
        errno = EINTR;
        const ssize_t written =
            wait() ? ::write(STDOUT_FILENO, rest.data(), std::min(rest.size(), most)) : -1;
        if (written < 0)
            error_ = errno;
        else
            rest.remove_prefix(static_cast<std::size_t>(written));
        written_ = true;
    }
    buffer_.clear();
}

bool Output::flush() {
    write();
    if (error_ == 0 && written_ && is_regular_file() && ::fdatasync(STDOUT_FILENO) != 0)
        error_ = errno;
    written_ = false;
    return error_ == 0;
}

}  // namespace fatwal::cli
