#include "client/cli/cursor_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

namespace fatwal::cli {

namespace {

class Descriptor {
public:
    Descriptor(const std::string& path, int flags)
        : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    [[nodiscard]] bool write(std::string_view text) const {
        return fd_ >= 0 &&
               ::write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    }
    [[nodiscard]] bool sync() const { return fd_ >= 0 && ::fsync(fd_) == 0; }

private:
    int fd_;
};

// With the reason of errno.
[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::generic_category().message(errno));
}

}  // namespace

std::optional<client::Cursor> CursorFile::load() {
    if (path_.empty()) return std::nullopt;
    errno = 0;
    std::ifstream file(path_);
    if (!file) {
        if (errno == ENOENT) return std::nullopt;
        fail("the cursor file " + path_ + " cannot be read");
    }
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (file.bad()) fail("the cursor file " + path_ + " cannot be read");
    // The newline is the end of the line: without it an LSN may lack digits and still be one.
    if (!text.empty() && text.back() == '\n')
        kept_ = client::Cursor::from_text({text.data(), text.size() - 1});
    if (!kept_)
        throw std::runtime_error(
            "the cursor file " + path_ +
            (text.empty() ? " is empty" : " does not hold one whole line with a cursor") +
            ": it does not say how far the printing came. Remove it to begin again without it; "
            "changes that were not printed are then missed, unless --snapshot prints the rows");
    return kept_;
}

void CursorFile::keep(const client::Cursor& cursor) {
    if (path_.empty() || kept_ == cursor) return;
    // Written through before it takes the old one's name, and the folder written through behind
    // that: a file system may otherwise keep the new name and lose what stands in the file.
    const std::string fresh = path_ + ".new";
    const std::string what = "the cursor file " + path_ + " cannot be written";
    {
        const Descriptor file(fresh, O_WRONLY | O_CREAT | O_TRUNC);
        if (!file.write(cursor.to_text() + '\n') || !file.sync()) fail(what);
    }
    if (::rename(fresh.c_str(), path_.c_str()) != 0) fail(what);
    const auto folder = std::filesystem::path(path_).parent_path();
    if (!Descriptor(folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY).sync())
        fail(what);
    kept_ = cursor;
}

}  // namespace fatwal::cli
