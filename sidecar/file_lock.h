// A lock that one process holds for as long as it lives: flock on a file, so a process that is
// killed leaves nothing to clean up. The file stays: who would remove it could remove another's.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "sidecar/failure.h"

namespace fatwal::sidecar {

class FileLock {
public:
    FileLock() = default;
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

    // Makes the file when it is missing. `held`: the failure when another process holds the lock.
    std::optional<Failure> lock(const std::string& path, Failure held);

private:
    int file_ = -1;
};

}  // namespace fatwal::sidecar
