// Standard output, written so that the caller knows what has reached it: a change may be
// acknowledged only behind that.
#pragma once

#include <csignal>
#include <string>
#include <string_view>

namespace fatwal::cli {

// SIGPIPE must be ignored.
class Output {
public:
    // Once `stopped` is set, a pipe whose reader stands still is not waited for any more: error()
    // is then EINTR.
    explicit Output(const volatile std::sig_atomic_t& stopped) : stopped_(stopped) {}

    // Gathers lines, and writes them when they are many.
    void line(std::string_view text);

    // Writes what was gathered; a regular file is written through to the disk, so that a crash of
    // the machine does not take lines whose cursor it keeps. False when any line was not written
    // whole: a full disk, a closed pipe, a signal; error() says which. Nothing is written any more
    // behind that.
    [[nodiscard]] bool flush();
    [[nodiscard]] int error() const { return error_; }

private:
    void write();
    [[nodiscard]] bool wait() const;

    const volatile std::sig_atomic_t& stopped_;
    std::string buffer_;
    bool written_ = false;  // since the last flush()
    int error_ = 0;
};

}  // namespace fatwal::cli
