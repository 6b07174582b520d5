#include "descriptors.h"

#include <sys/resource.h>

#include <cerrno>
#include <filesystem>
#include <iterator>
#include <system_error>

namespace fatwal {

Descriptors::Descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        throw std::system_error(errno, std::generic_category(), "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        throw std::system_error(errno, std::generic_category(), "setrlimit");
    limit_ = limit.rlim_cur;
    recount();
}

void Descriptors::recount() {
    constexpr std::chrono::milliseconds kStands{10};
    const auto now = std::chrono::steady_clock::now();
    if (now - counted_ < kStands) return;
    counted_ = now;
    using Folder = std::filesystem::directory_iterator;
    used_ = static_cast<std::size_t>(std::distance(Folder("/proc/self/fd"), Folder()));
}

}  // namespace fatwal
