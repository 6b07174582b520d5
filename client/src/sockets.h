// The sockets of one subscription or of several that share them, and what they wait for. A control
// socket serves all that attach at its endpoint, a data socket all whose publications come from its
// endpoint; but only those with the same keys, or all without any, as whoever connects with keys
// receives what these were granted. No knowledge of the protocol beyond who is meant by a message.
//
// How it waits. ZeroMQ's descriptors are edge-triggered: one is readable when something has come,
// not while something is there, and sending on the socket may swallow the edge. So a socket that
// may hold more is *touched*: pump() reads touched sockets in turn, a bounded number of messages
// each, and sleeps only when none is touched. The descriptors of all sockets and of one timer are
// in one epoll set, whose own descriptor is fd(): for an event loop it must be readable whenever
// pump() would do something, so whoever touches a socket outside pump() arms the timer for now.
//
// Who is late. A time limit that has passed proves nothing while the answer may lie unread in a
// socket: it may be we who were busy. has_read() says whether all that had come by then is read,
// and has it read if not; a user takes a time for missed only after that.
//
// Who is refused. libzmq tells nobody that the other side has refused the keys, and then never
// connects that socket again; one that was connected before is refused too once it has to connect
// again. So a socket on which nothing has come since its user last tried is taken for refused, and
// replaced for all its users: `unheard`, below.
//
// Memory. libzmq bounds a queue by messages; bound() sets that number from the bytes that are
// allowed and the largest message yet. Replies are bounded by what is asked for (credit).
//
// One thread: that which calls pump() and ready(). Users are called from within pump(), and may
// ask(), tell(), join() and leave() there.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <zmq.hpp>

#include "client/src/join_barrier.h"
#include "fatwal/client/keys.h"
#include "fatwal/wire/control.h"

namespace fatwal::client {

class SocketUser;
class Subscription;
using Clock = std::chrono::steady_clock;

class Sockets {
public:
    // Where a socket connects, and as whom.
    struct Address {
        std::string endpoint;
        std::optional<Keys> keys;
        friend auto operator<=>(const Address&, const Address&) = default;
    };
    struct Socket {
        zmq::socket_t socket;
        Address address;
        // Not everything was read yet, or something was sent: in touched_.
        bool touched = false;
        Clock::time_point drained;  // when the last reading found nothing more
        Clock::time_point heard;    // when something came the last time, or it was opened
        bool is_data = false;
    };
    struct Control : Socket {
        std::size_t users = 0;
    };
    // Of what libzmq has received and nobody has read yet.
    struct Bounds {
        std::size_t bytes = 0;
        int messages = 0;
    };
    struct Data : Socket {
        std::size_t topic_bytes = 0;
        Bounds bounds;
        std::size_t largest = 0;  // message, in bytes
        std::unordered_map<std::string, std::vector<SocketUser*>> by_topic;
        std::map<wire::Nonce, SocketUser*> by_nonce;
    };

    explicit Sockets(zmq::context_t& context);
    ~Sockets();
    Sockets(const Sockets&) = delete;
    Sockets& operator=(const Sockets&) = delete;

    [[nodiscard]] int fd() const { return epoll_; }

    void add(SocketUser& user);
    void remove(SocketUser& user);

    // Reads and waits until `wanted` has an event, or with none named any user has, or until then,
    // or a signal comes.
    void pump(const SocketUser* wanted, Clock::time_point until);
    // A user that is ready, each in turn; nullptr when there is none.
    SocketUser* ready();
    // It has paused until now.
    void resumed(SocketUser& user);
    // A user that pauses holds all that it may: nothing is read until it resumes. Each calls the
    // one, then the other.
    void read_no_more() { ++full_; }
    void read_on() { --full_; }

    // One on which nothing has come since `unheard` is replaced: what waits in it may be for a
    // sidecar that is no more, or it is refused.
    Control& open_control(const Address& address, Clock::time_point unheard);
    void close_control(Control& control, std::chrono::milliseconds linger);
    // Sends a request; its reply goes to user.reply(), unless the request is forgotten. Gives its
    // id.
    std::uint32_t ask(Control& control, SocketUser& user, wire::ControlBody body);
    void forget(std::uint32_t request) { asked_.erase(request); }
    // Sends what has no reply. `request`: the id that an error about it has; 0: of no interest.
    void tell(Control& control, wire::ControlBody body, std::uint32_t request = 0);
    // Replies that have this id go to the user again: for what the sidecar sends unasked.
    void listen(std::uint32_t request, SocketUser& user) { asked_[request] = &user; }

    // Subscribes as the barrier says; connects if that address is not connected. With keys, one on
    // which nothing has come since `unheard` is replaced, and all its users subscribed again.
    Data& join(SocketUser& user, const Address& address, const JoinBarrier& barrier,
               const Bounds& bounds, Clock::time_point unheard);
    // Sends a subscription again that a DEALER may have lost with its connection.
    void subscribe_again(Data& data, const JoinBarrier& barrier);
    void leave(Data& data, SocketUser& user, const JoinBarrier& barrier);

    // Whether all that had come at `time` is read; if not it will be.
    [[nodiscard]] bool has_read(Socket& socket, Clock::time_point time);

    // user.expire() is to be called at this time.
    void wake(Clock::time_point at) { wake_ = std::min(wake_, at); }
    // user.send_ack() is to be called when nothing more is to be read.
    void to_acknowledge(SocketUser& user);
    // fd() is to be readable: for who waits for it, after something was sent.
    void signal_if_touched();

private:
    void watch(int fd, void* data);
    void unwatch(Socket& socket);
    void touch(Socket& socket);
    void open(Data& data);
    void replace(Data& data);
    void read(Control& control);
    void read(Data& data);
    static void bound(Data& data, std::size_t message);
    void send(Control& control, std::uint32_t id, wire::ControlBody body);
    void after(SocketUser& user);
    void drop_finished();
    void look_after_users(Clock::time_point now);
    void expire(Clock::time_point now);
    [[nodiscard]] Clock::time_point acknowledge(Clock::time_point now);
    void signal();
    void arm(Clock::time_point wake, Clock::time_point now);

    zmq::context_t& context_;
    int epoll_ = -1;
    int timer_ = -1;
    Clock::time_point armed_;  // the timer; past when it is not
    Clock::time_point wake_ = Clock::time_point::max();
    Clock::time_point look_after_at_;
    std::vector<SocketUser*> users_;
    std::deque<SocketUser*> ready_;
    std::size_t full_ = 0;  // users
    std::vector<SocketUser*> acknowledging_;
    std::vector<Socket*> touched_;
    std::map<Address, Control> controls_;
    std::map<Address, Data> data_;
    std::uint32_t request_ = 0;
    std::unordered_map<std::uint32_t, SocketUser*> asked_;
};

// A subscription as its sockets know it: they call it with what has come for it, and when the time
// is that it named. Link is the one in the library; that Sockets does not know it keeps the
// protocol out of here. All calls come from within Sockets::pump(), on the thread that called it.
class SocketUser {
public:
    [[nodiscard]] virtual Subscription& subscription() const = 0;
    [[nodiscard]] virtual bool has_events() const = 0;
    // Whether it has events and is not paused.
    [[nodiscard]] virtual bool is_ready() const = 0;

    // The answer to a request of its own. `parts`: the messages behind it.
    virtual void reply(std::uint32_t request, const wire::ControlBody& body,
                       std::vector<std::string> parts) = 0;
    // A message of its topic. `now`: when it was read.
    virtual void published(const wire::PublicationHeader& header, wire::Bytes body,
                           Clock::time_point now) = 0;
    // The marker of its nonce.
    virtual void marker(const wire::PublicationHeader& header, Clock::time_point now) = 0;
    // The fatwald behind this control socket ends.
    virtual void ends(const Sockets::Control& control, const wire::ControlError& error) = 0;
    // What was waited for until now did not come.
    virtual void expire(Clock::time_point now) = 0;
    // When expire() has to be called the next time, at the latest.
    [[nodiscard]] virtual Clock::time_point wake_at() const = 0;
    // Sends the acknowledgement that is due; if it is not yet, when.
    virtual std::optional<Clock::time_point> send_ack(Clock::time_point now) = 0;

    bool queued = false;  // by Sockets, among those that have events

protected:
    SocketUser() = default;
    SocketUser(const SocketUser&) = delete;
    SocketUser& operator=(const SocketUser&) = delete;
    ~SocketUser() = default;  // nobody deletes one by this class
};

}  // namespace fatwal::client
