#include "client/cli/admin_socket.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace fatwal::cli {

namespace {

constexpr std::size_t kMostAnswer = 16 * 1024 * 1024;

class Connection {
public:
    Connection(const std::string& path, std::chrono::seconds within)
        : socket_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        const timeval limit{within.count(), 0};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path.size() >= sizeof address.sun_path)
            throw std::runtime_error("the path of a socket has at most 107 bytes: " + path);
        std::memcpy(address.sun_path, path.data(), path.size());
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            const std::string reason = std::strerror(errno);
            close(socket_);
            throw std::runtime_error(path + ": " + reason +
                                     ". Does fatwal-channel run, with this --admin-socket, and "
                                     "are you its user?");
        }
    }
    ~Connection() { close(socket_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void write(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR) continue;
            if (sent <= 0) throw std::runtime_error("fatwal-channel took no request in time");
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }

    std::string read_to_end() {
        std::string out;
        std::array<char, 65536> part{};
        for (;;) {
            const ssize_t got = recv(socket_, part.data(), part.size(), 0);
            if (got < 0 && errno == EINTR) continue;
            if (got == 0) return out;
            if (got < 0 || out.size() > kMostAnswer)
                throw std::runtime_error("fatwal-channel gave no answer in time");
            out.append(part.data(), static_cast<std::size_t>(got));
        }
    }

private:
    int socket_;
};

}  // namespace

nlohmann::json ask_admin(const std::string& socket, const std::string& method,
                         const std::string& target, std::chrono::seconds within) {
    Connection connection(socket, within);
    // Of HTTP/1.0: the answer ends with the connection, and is never in chunks.
    connection.write(method + ' ' + target + " HTTP/1.0\r\n\r\n");
    const std::string answer = connection.read_to_end();
    const auto head = answer.find("\r\n\r\n");
    auto body = head == std::string::npos
                    ? nlohmann::json()
                    : nlohmann::json::parse(answer.begin() + static_cast<std::ptrdiff_t>(head) + 4,
                                            answer.end(), nullptr, false);
    if (!body.is_object())
        throw std::runtime_error("the answer is not understood: is " + socket +
                                 " fatwal-channel's, and of this version?");
    const auto status = answer.find(' ');
    if (answer.compare(status + 1, 3, "200") != 0)
        throw std::runtime_error(body.value("reason", "refused") + ": " + body.value("hint", ""));
    return body;
}

std::string percent_encoded(const std::string& value) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
            out += c;
        } else {
            out += '%';
            out += kDigits[byte >> 4U];
            out += kDigits[byte & 15U];
        }
    }
    return out;
}

}  // namespace fatwal::cli
