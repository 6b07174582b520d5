// The sockets on which accounts are published: one for each account, or one that all share, on
// which each account has a topic of its own (the setting `layout`).
//
// A socket is an XPUB in its dropping mode: a subscriber that does not read loses messages beyond
// its high-water mark, which it sees by their numbers, and holds back nobody. Subscriptions come in
// on the same socket, where anybody who can open it may send what they like. So each connection has
// a budget (subscription_guard.h), and each that may cost memory is watched (stuck_peers.h).
//
// libzmq signals each descriptor once for all that has come since it was last read, and sending may
// swallow that signal. So every socket that was signalled, or sent on, is read in the next turn
// (`touched`), some messages of each, until nothing is left.
//
// Peers with keys are not on those sockets: fatwald sends to each of them by name (keyed_data.h),
// and an outlet lists them.
//
// An error of a socket is that socket's alone: it is `broken`, its subscribers are detached and
// attach again, and other accounts notice nothing.
//
// All of it belongs to fatwald's loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/control.h"
#include "fatwal/wire/publication.h"
#include "sidecar/settings.h"
#include "sidecar/subscribers/control_request.h"
#include "sidecar/subscribers/descriptors.h"
#include "sidecar/subscribers/keyed_data.h"
#include "sidecar/subscribers/stuck_peers.h"
#include "sidecar/subscribers/subscription_guard.h"

namespace fatwal::sidecar {

// One socket.
struct Publisher {
    zmq::socket_t socket;
    std::string endpoint;
    std::string who;       // for the log
    bool touched = false;  // to be read in the next turn
    bool broken = false;   // libzmq refused to send
};

// Where one account is published.
struct Outlet {
    struct Receiver {
        std::string name;             // of its connection on the keyed data socket
        std::size_t attachments = 0;  // that it has at this account: it gets each message once
    };

    std::shared_ptr<Publisher> publisher;  // none: it is closed
    std::string topic;                     // before each header on a socket that accounts share
    std::vector<Receiver> receivers;

    void add(const std::string& receiver);
    void remove(const std::string& receiver);

    [[nodiscard]] explicit operator bool() const { return publisher != nullptr; }
};

class Publishers {
public:
    using Time = std::chrono::steady_clock::time_point;
    // Of a socket, and of a connection to it.
    static constexpr std::size_t kDescriptorsOfSocket = 3;

    // Gives the endpoint of the `serial`th socket of the epoch, and makes what it needs; throws
    // when it cannot.
    using NameEndpoint = std::function<std::string(std::uint64_t epoch, std::uint64_t serial)>;

    // `keyed`: the socket of peers with keys; nullptr: there is none.
    Publishers(zmq::context_t& context, const Settings& settings, Descriptors& descriptors,
               NameEndpoint name_endpoint, KeyedData* keyed = nullptr);
    ~Publishers();
    Publishers(const Publishers&) = delete;
    Publishers& operator=(const Publishers&) = delete;

    // What the headers say from now on: the epoch; where every earlier transaction is published;
    // Postgres's clock, in seconds.
    void set_epoch(std::uint64_t epoch) { epoch_ = epoch; }
    void set_position(wire::Lsn position) { position_ = position; }
    void set_time(std::uint32_t seconds) { time_ = seconds; }

    // Opens where this account is published, under a name or a topic that was never used before.
    // Throws when the socket cannot be made.
    [[nodiscard]] Outlet open(const wire::AccountKey& account);
    // Closes the socket with its last outlet.
    void close(Outlet& outlet);
    // Whether open() would need no new socket, whatever the account is.
    [[nodiscard]] bool shares_open_socket() const { return !shared_.expired(); }

    // What a slow subscriber cannot take libzmq drops without an error.
    void send_event(const Outlet& outlet, std::uint64_t sequence, zmq::message_t payload);
    void send_heartbeat(const Outlet& outlet, std::uint64_t sequence);
    void send_marker(const Outlet& outlet, const wire::Nonce& nonce, std::uint64_t sequence);
    void send_marker(const std::string& receiver, const wire::Nonce& nonce, std::uint64_t sequence);

    // Readable when a subscription began or ended on some socket; then call signalled().
    [[nodiscard]] int fd() const { return epoll_; }
    void signalled();
    // Whoever knows which markers are somebody's.
    class MarkerListener {
    public:
        MarkerListener() = default;
        virtual ~MarkerListener() = default;
        MarkerListener(const MarkerListener&) = delete;
        MarkerListener& operator=(const MarkerListener&) = delete;

        // The number of those that may subscribe.
        [[nodiscard]] virtual std::size_t subscribers() const = 0;
        [[nodiscard]] virtual bool expects(const wire::Nonce& nonce) const = 0;
        // A peer of this socket subscribed to the marker, or ended that.
        virtual void marker_subscribed(const Publisher& on, const PeerConnection& by,
                                       const wire::Nonce& nonce, bool subscribed, Time now) = 0;
    };
    // Reads the subscriptions of the sockets that were touched: some of each, so that no peer keeps
    // the others waiting. True when more may be there.
    bool read_subscriptions(MarkerListener& listener, Time now);

    void tick(Time now);
    // Checks those subscribers again that may be stuck, and when it has to be called at the latest.
    void check_suspects(Time now) { stuck_peers_.check_suspects(now); }
    [[nodiscard]] std::optional<Time> next_check() const { return stuck_peers_.next_check(); }
    // Connections that were cut: stuck, or beyond their budget.
    [[nodiscard]] std::uint64_t cuts() const {
        return cuts_ + stuck_peers_.cuts() + (keyed_ != nullptr ? keyed_->cuts() : 0);
    }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

private:
    [[nodiscard]] std::shared_ptr<Publisher> bind(std::string who);
    void touch(Publisher& publisher);
    bool read_some(Publisher& publisher, MarkerListener& listener, Time now);
    [[nodiscard]] bool is_useful(wire::Bytes message, const MarkerListener& listener) const;
    static void fail(Publisher& publisher, const zmq::error_t& error);
    static void send(Publisher& publisher, zmq::message_t message, zmq::send_flags flags);
    [[nodiscard]] zmq::message_t header(std::string_view before, wire::Topic topic,
                                        std::uint64_t sequence) const;

    zmq::context_t& context_;
    const Settings& settings_;
    Descriptors& descriptors_;
    NameEndpoint name_endpoint_;
    KeyedData* keyed_;
    int epoll_;
    std::uint64_t epoch_ = 0;
    wire::Lsn position_ = 0;
    std::uint32_t time_ = 0;
    std::uint64_t opened_ = 0;  // outlets, ever: their serial numbers
    std::weak_ptr<Publisher> shared_;
    std::vector<Publisher*> touched_;
    StuckPeers stuck_peers_;
    SubscriptionGuard guard_;
    std::uint64_t cuts_ = 0;  // for the subscriptions that they sent
    std::uint64_t bytes_ = 0;
};

}  // namespace fatwal::sidecar
