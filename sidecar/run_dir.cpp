#include "run_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace fatwal {

namespace {

constexpr char kScheme[] = "ipc://";
constexpr mode_t kSocketMask = 0117;
constexpr std::size_t kLongestSocketName = 40;  // a/SERIAL.EPOCH.sock

std::string hexadecimal(std::uint64_t value) {
    char text[17];
    const int length =
        std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
    return {text, static_cast<std::size_t>(length)};
}

}  // namespace

std::optional<Failure> RunDir::open(const std::string& path, RunDir& out) {
    const std::filesystem::path folder = std::filesystem::absolute(path);
    if (folder.string().size() + kLongestSocketName >= sizeof(sockaddr_un::sun_path))
        return Failure{"the run folder's name is too long for sockets in it", folder.string(),
                       "Choose one of at most " +
                           std::to_string(sizeof(sockaddr_un::sun_path) - kLongestSocketName - 1) +
                           " bytes with --run-dir."};
    out.accounts_ = folder / "a";
    std::error_code error;
    std::filesystem::create_directories(out.accounts_, error);
    if (error)
        return Failure{"cannot make the run folder", folder.string() + ": " + error.message(),
                       "Choose another with --run-dir."};
    std::filesystem::permissions(folder, std::filesystem::perms(0750), error);
    std::filesystem::permissions(out.accounts_, std::filesystem::perms(0750), error);

    const std::string lock = folder / "fatwald.lock";
    out.lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (out.lock_ < 0)
        return Failure{
            "cannot open the lock of the run folder", lock + ": " + std::strerror(errno), {}};
    if (flock(out.lock_, LOCK_EX | LOCK_NB) != 0)
        return Failure{"another fatwald uses the run folder", folder.string(),
                       "Stop it, or choose another folder with --run-dir."};

    for (const auto& entry : std::filesystem::directory_iterator(out.accounts_, error))
        if (entry.path().extension() == ".sock") std::filesystem::remove(entry.path(), error);
    umask(kSocketMask);
    return std::nullopt;
}

RunDir::~RunDir() {
    if (lock_ >= 0) ::close(lock_);
}

std::string RunDir::endpoint(std::uint64_t epoch, std::uint64_t serial) const {
    return kScheme +
           (accounts_ / (hexadecimal(serial) + "." + hexadecimal(epoch) + ".sock")).string();
}

void RunDir::remove(const std::string& endpoint) {
    std::error_code error;
    if (endpoint.starts_with(kScheme))
        std::filesystem::remove(endpoint.substr(std::strlen(kScheme)), error);
}

}  // namespace fatwal
