// fatwal keygen: a key pair in a file, and the public key on standard output.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include <zmq.hpp>

#include "client/cli/commands.h"

namespace fatwal::cli {

namespace {

using Key = std::array<char, 41>;  // 40 characters and a zero

// A public key that begins with `-` would read as an option where one is to be given.
bool make_pair(Key& public_key, Key& secret_key) {
    do {
        if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) return false;
    } while (std::isalnum(static_cast<unsigned char>(public_key[0])) == 0);
    return true;
}

// A certificate of ZeroMQ, in ZPL.
std::string certificate(const Key& public_key, const Key& secret_key) {
    return std::string(
               "#   ZeroMQ CURVE secret certificate, made by `fatwal keygen`.\n"
               "#   Whoever reads the secret key can act for its owner.\n\n"
               "metadata\n"
               "curve\n"
               "    public-key = \"") +
           public_key.data() + "\"\n    secret-key = \"" + secret_key.data() + "\"\n";
}

// Nobody else can read it at any time, whatever the umask says; nothing that was there is lost.
bool write_new(const std::string& path, const std::string& text) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    const bool written =
        ::fchmod(fd, 0600) == 0 &&
        ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
        ::fsync(fd) == 0;
    const int error = errno;
    ::close(fd);
    if (!written) ::unlink(path.c_str());
    errno = error;
    return written;
}

}  // namespace

int keygen(const KeygenArguments& arguments) {
    Key public_key{};
    Key secret_key{};
    if (!make_pair(public_key, secret_key)) {
        std::fprintf(
            stderr,
            "fatwal: no keys can be made: this libzmq was built without CURVE. Install one "
            "that has it, as the libzmq5 of Debian.\n");
        return 1;
    }
    if (!write_new(arguments.file, certificate(public_key, secret_key))) {
        const bool there = errno == EEXIST;
        std::fprintf(stderr, "fatwal: the key file %s cannot be written: %s.%s\n",
                     arguments.file.c_str(), std::generic_category().message(errno).c_str(),
                     there ? " Give another name: a key that is replaced is lost." : "");
        return 1;
    }
    std::printf("%s\n", public_key.data());
    return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace fatwal::cli
