#include "sidecar/subscribers/descriptors.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "sidecar/subscribers/inbound.h"

namespace fatwal::sidecar {

namespace {

constexpr char kOpenDescriptors[] = "/proc/self/fd";

}  // namespace

Descriptors::Descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        throw std::system_error(errno, std::generic_category(), "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        throw std::system_error(errno, std::generic_category(), "setrlimit");
    limit_ = limit.rlim_cur;
    inbound::set_bound(limit_ - head_room() / 2);
    recount();
}

void Descriptors::recount() {
    constexpr std::chrono::milliseconds kStands{10};
    const auto now = std::chrono::steady_clock::now();
    if (now - counted_ < kStands) return;
    counted_ = now;
    // Since Linux 6.2 the folder's size is the number of its entries; before it is 0.
    struct stat folder {};
    if (stat(kOpenDescriptors, &folder) == 0 && folder.st_size > 0) {
        used_ = static_cast<std::size_t>(folder.st_size);
        return;
    }
    // A listing takes a millisecond for some thousand descriptors, so it stands for longer.
    constexpr std::chrono::milliseconds kListingStands{500};
    if (now - listed_ < kListingStands) return;
    listed_ = now;
    std::error_code error;
    using Folder = std::filesystem::directory_iterator;
    const Folder listing(kOpenDescriptors, error);
    if (!error) used_ = static_cast<std::size_t>(std::distance(listing, Folder()));
}

}  // namespace fatwal::sidecar
