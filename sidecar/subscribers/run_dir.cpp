#include "sidecar/subscribers/run_dir.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace fatwal::sidecar {

namespace {

constexpr char kScheme[] = "ipc://";
constexpr mode_t kSocketMask = 0117;
constexpr mode_t kFolderMode = 0750;
constexpr std::size_t kLongestSocketName = 40;  // a/SERIAL.EPOCH.sock

std::string hexadecimal(std::uint64_t value) {
    char text[17];
    const int length =
        std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
    return {text, static_cast<std::size_t>(length)};
}

// The folder `path`, made with its mode whatever the umask is, or as it is. Why not, else.
std::optional<Failure> make_folder(const std::filesystem::path& path) {
    std::error_code error;
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
    if (mkdir(path.c_str(), kFolderMode) == 0) {
        if (chmod(path.c_str(), kFolderMode) == 0) return std::nullopt;
    } else if (errno == EEXIST) {
        // Not through a link: its target is another's to choose.
        struct stat found {};
        if (lstat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode))
            return Failure{"the run folder is not a folder", path.string(),
                           "Choose another with --run-dir."};
        if ((found.st_mode & S_IWOTH) != 0)
            return Failure{"everybody may write to the run folder",
                           path.string() + ": others could put sockets in the place of fatwald's.",
                           "Choose a folder of its own with --run-dir; or, if the folder is "
                           "fatwald's alone: chmod o-w '" +
                               path.string() + "'"};
        return std::nullopt;
    }
    return Failure{"cannot make the run folder", path.string() + ": " + std::strerror(errno),
                   "Choose another with --run-dir."};
}

}  // namespace

std::optional<Failure> RunDir::open(const std::string& path, RunDir& out) {
    if (path.empty())
        return Failure{"the run folder has no name", {}, "Choose one with --run-dir."};
    // Without a trailing slash and dots, which would hide a link.
    std::filesystem::path folder = std::filesystem::absolute(path).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    if (folder.string().size() + kLongestSocketName >= sizeof(sockaddr_un::sun_path))
        return Failure{"the run folder's name is too long for sockets in it", folder.string(),
                       "Choose one of at most " +
                           std::to_string(sizeof(sockaddr_un::sun_path) - kLongestSocketName - 1) +
                           " bytes with --run-dir."};
    out.accounts_ = folder / "a";
    if (auto failure = make_folder(folder)) return failure;
    if (auto failure = make_folder(out.accounts_)) return failure;
    if (auto failure = out.lock_.lock(folder / "fatwald.lock",
                                      {"another fatwald uses the run folder", folder.string(),
                                       "Stop it, or choose another folder with --run-dir."}))
        return failure;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(out.accounts_, error))
        if (entry.path().extension() == ".sock") std::filesystem::remove(entry.path(), error);
    umask(kSocketMask);
    return std::nullopt;
}

void RunDir::ensure() const {
    for (const auto& folder : {accounts_.parent_path(), accounts_}) {
        // The umask is for sockets: a folder needs its execute bits.
        if (mkdir(folder.c_str(), kFolderMode) == 0)
            (void)chmod(folder.c_str(), kFolderMode);
        else if (errno != EEXIST)
            throw std::filesystem::filesystem_error(
                "cannot make the run folder", folder,
                std::error_code(errno, std::generic_category()));
    }
}

std::string RunDir::endpoint(std::uint64_t epoch, std::uint64_t serial) const {
    return kScheme +
           (accounts_ / (hexadecimal(serial) + "." + hexadecimal(epoch) + ".sock")).string();
}

void RunDir::remove(const std::string& endpoint) {
    std::error_code error;
    if (endpoint.starts_with(kScheme)) std::filesystem::remove(path_of(endpoint), error);
}

std::string path_of(const std::string& endpoint) { return endpoint.substr(std::strlen(kScheme)); }

}  // namespace fatwal::sidecar
