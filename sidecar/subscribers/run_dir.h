// The folder that holds the sockets of one fatwald: made, locked, and cleared of what a killed one
// left. Sockets are for owner and group (umask). A folder that was there before keeps its mode, as
// others may use it; one that everybody may write to is refused, as anybody could put sockets of
// their own in the place of ours.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "sidecar/failure.h"
#include "sidecar/file_lock.h"

namespace fatwal::sidecar {

class RunDir {
public:
    // Sets the process's umask, so that the sockets are for owner and group.
    static std::optional<Failure> open(const std::string& path, RunDir& out);

    // Makes the folder of the account sockets again when it is missing: what cleans up temporary
    // folders may have taken it. Throws std::filesystem::filesystem_error when that fails.
    void ensure() const;
    // The endpoint of the `serial`th account socket of this run. No two runs and no two sockets
    // have the same.
    [[nodiscard]] std::string endpoint(std::uint64_t epoch, std::uint64_t serial) const;
    // Removes the file of an endpoint: libzmq leaves it behind.
    static void remove(const std::string& endpoint);

private:
    std::filesystem::path accounts_;
    FileLock lock_;
};

// The path of an `ipc://` endpoint.
[[nodiscard]] std::string path_of(const std::string& endpoint);

}  // namespace fatwal::sidecar
