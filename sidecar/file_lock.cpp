#include "sidecar/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace fatwal::sidecar {

FileLock::~FileLock() {
    if (file_ >= 0) ::close(file_);
}

std::optional<Failure> FileLock::lock(const std::string& path, Failure held) {
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (file_ < 0)
        return Failure{"cannot open the lock " + path, std::strerror(errno),
                       "Give fatwald a folder that its user may write to (--run-dir, --control)."};
    if (flock(file_, LOCK_EX | LOCK_NB) != 0) return held;
    return std::nullopt;
}

}  // namespace fatwal::sidecar
