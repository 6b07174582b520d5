// The data socket of peers with keys: one ROUTER, on which fatwald sends each message to each of
// its receivers by name.
//
// Why not an XPUB, as for local peers: there a peer receives what it subscribes to, so tenants
// that must not read each other need each subscription judged, and libzmq 4.3.4 cannot do that
// safely. Its manual mode remembers a subscription that waits by the address of its pipe, so what a
// peer that has gone asked for can be given to a newcomer. Here nobody receives anything but what
// fatwald sends to it, and a right that is gone is gone with the next message. It costs one send
// for each receiver instead of one for all; encrypting for each costs more than that
// (bench/network).
//
// A receiver is a connection. A subscriber's DEALER asks to be one by what a SUB would send, the
// subscription of its marker (01 FF nonce), and ends it by 00 FF nonce. What it cannot take libzmq
// refuses at once: that message is lost to it alone, and it sees the gap by the numbers. One that
// has gone is named to whoever sent to it.
//
// It belongs to fatwald's loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/publication.h"
#include "sidecar/settings.h"
#include "sidecar/subscribers/control_request.h"
#include "sidecar/subscribers/keyed_connections.h"
#include "sidecar/subscribers/router_reader.h"
#include "sidecar/subscribers/stuck_peers.h"
#include "sidecar/subscribers/subscription_guard.h"

namespace fatwal::sidecar {

class KeyedData {
public:
    using Time = std::chrono::steady_clock::time_point;
    enum class Sent : std::uint8_t { Taken, Full, Gone };

    // Whoever knows which markers are whose.
    class Listener {
    public:
        Listener() = default;
        virtual ~Listener() = default;
        Listener(const Listener&) = delete;
        Listener& operator=(const Listener&) = delete;

        [[nodiscard]] virtual std::size_t subscribers() const = 0;
        // A peer asks to receive what belongs to this marker, or asks for it no longer. False when
        // it is nobody's, or another caller's.
        virtual bool keyed_subscribed(const std::string& receiver, const PeerConnection& by,
                                      const Caller& caller, const wire::Nonce& nonce,
                                      bool subscribed, Time now) = 0;
        // Nothing reaches this receiver any more.
        virtual void receiver_gone(const std::string& receiver, Time now) = 0;
    };

    // Binds; throws zmq::error_t. `connections` outlives it.
    KeyedData(zmq::context_t& context, const Settings& settings, KeyedConnections& connections);
    ~KeyedData();
    KeyedData(const KeyedData&) = delete;
    KeyedData& operator=(const KeyedData&) = delete;

    [[nodiscard]] int fd() const { return socket_.get(zmq::sockopt::fd); }
    void signalled() { touched_ = true; }

    // Sends copies, which share their bytes. Of one that has gone read() tells the listener.
    Sent send(const std::string& receiver, const zmq::message_t& head, const zmq::message_t* body);
    // Reads what peers ask for; true when more may be there.
    bool read(Listener& listener, Time now);

    void tick(Time now);
    void check_suspects(Time now) { stuck_peers_.check_suspects(now); }
    [[nodiscard]] std::optional<Time> next_check() const { return stuck_peers_.next_check(); }
    [[nodiscard]] std::uint64_t cuts() const { return cuts_ + stuck_peers_.cuts(); }

private:
    void subscribed(Listener& listener, RouterReader::Message& message, Time now);

    std::string endpoint_;
    KeyedConnections& connections_;
    zmq::socket_t socket_;
    RouterReader reader_;
    bool touched_ = true;  // sending may swallow the signal of what has come
    std::vector<std::string> gone_;
    StuckPeers stuck_peers_;
    SubscriptionGuard guard_;
    std::uint64_t cuts_ = 0;
};

}  // namespace fatwal::sidecar
