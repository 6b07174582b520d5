// The folder that holds the sockets of one fatwald: made, locked, and cleared of what a killed one
// left.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "failure.h"

namespace fatwal {

class RunDir {
public:
    // Sets the process's umask, so that the sockets are for owner and group.
    static std::optional<Failure> open(const std::string& path, RunDir& out);

    RunDir() = default;
    ~RunDir();
    RunDir(const RunDir&) = delete;
    RunDir& operator=(const RunDir&) = delete;

    // The endpoint of the `serial`th account socket of this run. No two runs and no two sockets
    // have the same.
    [[nodiscard]] std::string endpoint(std::uint64_t epoch, std::uint64_t serial) const;
    // Removes the file of an endpoint: libzmq leaves it behind.
    static void remove(const std::string& endpoint);

private:
    std::filesystem::path accounts_;
    int lock_ = -1;
};

}  // namespace fatwal
