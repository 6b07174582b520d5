#include "sidecar/subscribers/zap.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "sidecar/subscribers/curve.h"
#include "sidecar/subscribers/handshakes.h"

namespace fatwal::sidecar {

namespace {

constexpr char kEndpoint[] = "inproc://zeromq.zap.01";
constexpr int kHandshakesPerTurn = 64;
constexpr std::size_t kKeyBytes = 32;

// One property of a connection, as ZMTP writes it: u8 and a name, u32 (big-endian) and a value.
std::string property(std::string_view name, std::string_view value) {
    std::string out(1, static_cast<char>(name.size()));
    out += name;
    for (int shift = 24; shift >= 0; shift -= 8)
        out += static_cast<char>(value.size() >> static_cast<unsigned>(shift) & 0xFFU);
    out += value;
    return out;
}

// In Z85, as people and the database have it.
std::string text_of(const zmq::message_t& key) {
    std::array<char, 41> text{};
    zmq_z85_encode(text.data(), key.data<std::uint8_t>(), key.size());
    return text.data();
}

}  // namespace

Zap::Zap(zmq::context_t& context) : socket_(context, zmq::socket_type::router) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.bind(kEndpoint);
}

// Parts of a request behind its envelope: version, request id, domain, address, identity,
// mechanism, and the key. Of an answer: version, request id, status, its text, User-Id, properties.
bool Zap::answer(const Credentials& credentials, wire::Microseconds now) {
    for (int left = kHandshakesPerTurn; left > 0; --left) {
        std::vector<zmq::message_t> parts;
        zmq::message_t part;
        while (socket_.recv(part, zmq::recv_flags::dontwait)) {
            const bool more = part.more();
            parts.push_back(std::move(part));
            part = zmq::message_t();
            if (!more) break;
        }
        if (parts.empty()) return false;
        std::size_t envelope = 0;
        while (envelope < parts.size() && !parts[envelope].empty()) ++envelope;
        const std::size_t first = envelope + 1;
        const bool is_curve = parts.size() == first + 7 &&
                              parts[first + 5].to_string_view() == "CURVE" &&
                              parts[first + 6].size() == kKeyBytes;
        if (parts.size() < first + 2) continue;
        const std::string key = is_curve ? text_of(parts[first + 6]) : std::string();
        // libzmq asks behind the peer's INITIATE, so one was inspected, unless it decrypts by
        // itself.
        const bool is_inspected = handshakes::inspected() > 0;
        if (is_curve && !is_inspected && !std::exchange(warned_, true))
            spdlog::error(
                "peers with keys are refused: this libzmq was built without libsodium. Install one "
                "that was built with it");
        const std::string* name =
            is_curve && is_inspected ? credentials.name_of(key, now) : nullptr;
        if (name == nullptr) ++refused_;
        const char* status = name != nullptr                        ? "200"
                             : is_curve && !credentials.are_known() ? "300"
                                                                    : "400";
        for (std::size_t i = 0; i < first; ++i)
            socket_.send(parts[i], zmq::send_flags::sndmore | zmq::send_flags::dontwait);
        const auto send = [&](std::string_view text, zmq::send_flags flags) {
            socket_.send(zmq::buffer(text), flags | zmq::send_flags::dontwait);
        };
        send("1.0", zmq::send_flags::sndmore);
        socket_.send(parts[first + 1], zmq::send_flags::sndmore | zmq::send_flags::dontwait);
        send(status, zmq::send_flags::sndmore);
        send(name != nullptr ? "OK" : "no such key", zmq::send_flags::sndmore);
        send(name != nullptr ? *name : std::string(), zmq::send_flags::sndmore);
        send(name != nullptr ? property(kKeyProperty, key) : std::string(), zmq::send_flags::none);
    }
    return true;
}

}  // namespace fatwal::sidecar
