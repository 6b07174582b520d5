#include "portal/process/fleet.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <bit>

#include "portal/access/json_text.h"
#include "portal/access/signer.h"
#include "portal/process/envelope.h"

namespace fatwal::process {
namespace {

// Of what processes tell each other. Raise it when a message means something else than before; a
// field or an event more needs no other version, as what is not known is left out.
constexpr int kVersion = 1;
constexpr int kMostMessagesWaiting = 10'000;      // messages to one process
constexpr std::int64_t kMostBytes = 256'000'000;  // of one message
// A process whose tick is so late was paused; a busy one is not.
constexpr std::chrono::milliseconds kPausedAfter{1500};
// At its start it waits so long for the others; most have no need to start.
constexpr std::chrono::milliseconds kLearnWithin{1000};
constexpr std::size_t kKeyText = 41;  // a CURVE key in Z85, with its end

// Nobody but the fleet knows the server's public key, so knowing it is what authenticates a
// process.
void secure(zmq::socket_t& socket, const Settings& settings, bool server) {
    const auto secret = access::Signer(settings.secret).mac("fatwal fleet curve key 1");
    std::array<char, kKeyText> secret_text{};
    std::array<char, kKeyText> public_text{};
    if (zmq_z85_encode(secret_text.data(), secret.data(), secret.size()) == nullptr ||
        zmq_curve_public(public_text.data(), secret_text.data()) != 0)
        throw zmq::error_t();
    socket.set(zmq::sockopt::curve_publickey, public_text.data());
    socket.set(zmq::sockopt::curve_secretkey, secret_text.data());
    if (server)
        socket.set(zmq::sockopt::curve_server, true);
    else
        socket.set(zmq::sockopt::curve_serverkey, public_text.data());
    socket.set(zmq::sockopt::linger, 200);
}

}  // namespace

Fleet::Fleet(boost::asio::io_context& io, zmq::context_t& context, const Settings& settings,
             ProcessId own, Handlers handlers)
    : settings_(settings), own_(own), handlers_(std::move(handlers)), readable_(io), timer_(io) {
    if (settings.fleet_endpoint.empty()) return;
    inbox_ = zmq::socket_t(context, zmq::socket_type::pull);
    secure(inbox_, settings, true);
    inbox_.set(zmq::sockopt::maxmsgsize, kMostBytes);
    inbox_.set(zmq::sockopt::rcvhwm, kMostMessagesWaiting);
    inbox_.bind(settings.fleet_endpoint);
    for (const std::string& endpoint : settings.fleet_peers) {
        if (endpoint == settings.fleet_endpoint) continue;
        Peer& peer = peers_[endpoint];
        peer.socket = zmq::socket_t(context, zmq::socket_type::push);
        secure(peer.socket, settings, false);
        peer.socket.set(zmq::sockopt::immediate, true);
        peer.socket.set(zmq::sockopt::sndhwm, kMostMessagesWaiting);
        peer.socket.set(zmq::sockopt::reconnect_ivl_max, 2000);
        peer.socket.connect(endpoint);
    }
    readable_.assign(inbox_.get(zmq::sockopt::fd));
    ticked_ = std::chrono::steady_clock::now();
    learned_by_ = ticked_ + kLearnWithin;
    wait();
    tick();
}

Fleet::~Fleet() {
    // The descriptor is ZeroMQ's.
    if (readable_.is_open()) readable_.release();
}

std::size_t Fleet::size() const {
    return static_cast<std::size_t>(std::count_if(
        peers_.begin(), peers_.end(), [](const auto& entry) { return entry.second.process != 0; }));
}

bool Fleet::knows_the_others() const {
    const auto now = std::chrono::steady_clock::now();
    if (!readable_.is_open()) return true;
    // Its own tick comes at once, and will ask the others.
    if (now - ticked_ > kPausedAfter) return false;
    return now >= learned_by_ || std::all_of(peers_.begin(), peers_.end(),
                                             [](const auto& entry) { return entry.second.fresh; });
}

bool Fleet::was_paused_lately() const {
    return readable_.is_open() && (std::chrono::steady_clock::now() < doubts_until_ ||
                                   std::chrono::steady_clock::now() - ticked_ > kPausedAfter);
}

// The others have forgotten what this process had, and it does not know what they have now.
void Fleet::wake() {
    spdlog::warn("this process was paused; it asks the others what has become of its devices");
    learned_by_ = doubts_until_ = ticked_ + kGoneAfter;
    for (auto& [endpoint, peer] : peers_) {
        peer.fresh = false;
        peer.heard_to.reset();
        peer.introduce = peer.process != 0;
        push(peer, {{"kind", "introduce"}});
    }
}

void Fleet::wait() {
    readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this](boost::system::error_code error) {
                             if (error) return;
                             drain();
                             wait();
                         });
}

// Until nothing is left: ZeroMQ's descriptor tells of a change, not of a state.
void Fleet::drain() {
    zmq::message_t message;
    while (inbox_.recv(message, zmq::recv_flags::dontwait)) {
        try {
            take(message);
        } catch (const Json::exception& error) {
            spdlog::error("a message of another process makes no sense: {}", error.what());
        }
    }
}

void Fleet::take(const zmq::message_t& message) {
    const auto* bytes = static_cast<const char*>(message.data());
    const Json envelope = access::parse_json({bytes, message.size()}).value_or(Json());
    if (!envelope.is_object()) return;
    const auto endpoint = peers_.find(envelope.value("endpoint", ""));
    const auto process = envelope.value("from", ProcessId{0});
    if (endpoint == peers_.end() || process == 0) {
        spdlog::warn("a process at {} is none of --fleet-peer", envelope.value("endpoint", "?"));
        return;
    }
    Peer& peer = endpoint->second;
    if (peer.process != process) {
        if (peer.process != 0) lost(peer);
        const int version = envelope.value("version", kVersion);
        spdlog::info("process {} is there, at {}; it speaks version {} of {}", process,
                     endpoint->first, version, kVersion);
        peer.process = process;
        peer.introduce = true;
    }
    peer.heard = std::chrono::steady_clock::now();
    const auto number = envelope.value("number", std::uint64_t{0});
    const std::string kind = envelope.value("kind", "");
    if (kind == "introduction") {
        handlers_.gone(process);
        for (const Json& body : envelope.value("body", Json::array())) hear(process, body);
        peer.heard_to = number;
        peer.fresh = true;
    } else if (kind == "broadcast") {
        if (peer.heard_to && number == *peer.heard_to + 1) {
            peer.heard_to = number;
            hear(process, envelope.value("body", Json()));
        } else {
            peer.heard_to.reset();
        }
    } else if (kind == "message") {
        hear(process, envelope.value("body", Json()));
    } else if (kind == "alive" && peer.heard_to != number) {
        push(peer, {{"kind", "introduce"}});
    } else if (kind == "introduce") {
        peer.introduce = true;
    }
    if (peer.introduce) introduce(peer);
}

// One that makes no sense costs itself alone: what stands beside it in an introduction counts.
void Fleet::hear(ProcessId from, const Json& message) {
    try {
        if (handlers_.received(from, message)) return;
    } catch (const Json::exception& error) {
        spdlog::error("a message of process {} makes no sense: {}", from, error.what());
    }
    // Many may follow: said at the first, the second, the fourth, ...
    if (std::has_single_bit(++not_understood_))
        spdlog::warn("{} messages of other processes were not understood; the last is of {}",
                     not_understood_, from);
}

void Fleet::introduce(Peer& peer) {
    peer.introduce = !push(peer, {{"kind", "introduction"}, {"body", handlers_.introduction()}});
}

void Fleet::tick() {
    const auto now = std::chrono::steady_clock::now();
    const bool paused = now - ticked_ > kPausedAfter;
    ticked_ = now;
    // What came meanwhile is heard before anybody is missed.
    drain();
    if (paused) wake();
    for (auto& [endpoint, peer] : peers_) {
        if (peer.process != 0 && now - peer.heard > kGoneAfter) {
            spdlog::warn("process {} at {} is gone", peer.process, endpoint);
            lost(peer);
        }
        if (peer.introduce) introduce(peer);
        push(peer, {{"kind", "alive"}});
    }
    timer_.expires_after(kAliveEvery);
    timer_.async_wait([this](boost::system::error_code error) {
        if (!error) tick();
    });
}

void Fleet::lost(Peer& peer) {
    const ProcessId process = std::exchange(peer.process, 0);
    peer.heard_to.reset();
    peer.introduce = false;
    handlers_.gone(process);
}

bool Fleet::push(Peer& peer, Json message) {
    message["version"] = kVersion;
    message["from"] = own_;
    message["endpoint"] = settings_.fleet_endpoint;
    message["number"] = broadcasts_;
    return peer.socket.send(zmq::buffer(text_of(message)), zmq::send_flags::dontwait).has_value();
}

bool Fleet::send(ProcessId to, const Json& message) {
    const auto peer = std::find_if(peers_.begin(), peers_.end(),
                                   [&](const auto& entry) { return entry.second.process == to; });
    return to != 0 && peer != peers_.end() &&
           push(peer->second, {{"kind", "message"}, {"body", message}});
}

void Fleet::broadcast(const Json& message) {
    ++broadcasts_;
    for (auto& [endpoint, peer] : peers_)
        if (peer.process != 0) push(peer, {{"kind", "broadcast"}, {"body", message}});
}

}  // namespace fatwal::process
