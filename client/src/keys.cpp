#include "fatwal/client/keys.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <zmq.hpp>

#include "fatwal/wire/key_file.h"

namespace fatwal::client {

namespace {

constexpr std::size_t kKeyCharacters = 40;
constexpr std::size_t kMostFile = 65'536;  // a certificate may have metadata

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

std::string read_file(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    std::string text(kMostFile, '\0');
    ssize_t length = -1;
    if (fd >= 0 && ::fstat(fd, &status) == 0) length = ::read(fd, text.data(), text.size());
    const int error = errno;
    if (fd >= 0) ::close(fd);
    if (length < 0)
        refuse("the key file " + path + " cannot be read: " +
               std::generic_category().message(error) + ". `fatwal keygen " + path + "` makes one");
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        refuse("others than its owner may read the key file " + path + ": chmod 600 " + path);
    text.resize(static_cast<std::size_t>(length));
    return text;
}

}  // namespace

Keys Keys::from_file(const std::string& path, std::string server_public_key) {
    const std::string text = read_file(path);
    auto pair = wire::key_pair_in(text);
    if (!pair)
        refuse("the key file " + path +
               " does not hold a public-key and a secret-key of 40 characters each: `fatwal "
               "keygen` makes one that does");
    Keys keys{std::move(server_public_key), std::move(pair->public_key),
              std::move(pair->secret_key)};
    keys.check();
    return keys;
}

void Keys::check() const {
    if (zmq_has("curve") == 0)
        refuse(
            "this libzmq was built without CURVE, so no keys can be used: install one that has "
            "it, as the libzmq5 of Debian");
    if (!wire::is_key(server_public_key))
        refuse(
            "the server's public key is not 40 characters of Z85: give what `fatwal keygen` "
            "printed when fatwald's key file was made");
    if (!wire::is_key(public_key) || !wire::is_key(secret_key))
        refuse(
            "a public key and a secret key have 40 characters of Z85 each: `fatwal keygen` "
            "makes a pair");
    std::array<char, kKeyCharacters + 1> derived{};
    if (zmq_curve_public(derived.data(), secret_key.c_str()) != 0 || public_key != derived.data())
        refuse("the public key " + public_key +
               " is not that of the secret key: take both from one file of `fatwal keygen`");
}

void Keys::use_on(zmq::socket_t& socket) const {
    socket.set(zmq::sockopt::curve_serverkey, server_public_key);
    socket.set(zmq::sockopt::curve_publickey, public_key);
    socket.set(zmq::sockopt::curve_secretkey, secret_key);
}

}  // namespace fatwal::client
