// The sockets of one subscription or of several that share them, and what they wait for. A control
// socket serves all that attach at its endpoint, a data socket all whose publications come from its
// endpoint. No knowledge of the protocol beyond who is meant by a message.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/control.h"

namespace fatwal::client {

class Link;
using Clock = std::chrono::steady_clock;

class Sockets {
public:
    struct Socket {
        zmq::socket_t socket;
        // Not everything was read yet, or something was sent: that may swallow the signal that
        // something has come.
        bool touched = false;
        Clock::time_point drained;  // when the last look found nothing more
        bool is_data = false;
    };
    struct Control : Socket {
        std::string endpoint;
        std::size_t users = 0;
        Clock::time_point heard;  // or opened
    };
    // Of what libzmq has received and nobody has read yet.
    struct Bounds {
        std::size_t bytes = 0;
        int messages = 0;
    };
    struct Data : Socket {
        std::string endpoint;
        std::size_t topic_bytes = 0;
        Bounds bounds;
        std::size_t largest = 0;  // message, in bytes
        std::unordered_map<std::string, std::vector<Link*>> by_topic;
        std::map<wire::Nonce, Link*> by_nonce;
    };

    explicit Sockets(zmq::context_t& context);
    ~Sockets();
    Sockets(const Sockets&) = delete;
    Sockets& operator=(const Sockets&) = delete;

    [[nodiscard]] int fd() const { return epoll_; }

    void add(Link& link);
    void remove(Link& link);

    // Reads and waits until `wanted` has an event, or with none named any link has, or until then,
    // or a signal comes.
    void pump(const Link* wanted, Clock::time_point until);
    // A link that is ready, each in turn; nullptr when there is none.
    Link* ready();
    // It has paused until now.
    void resumed(Link& link);
    // A link that pauses holds all that it may: nothing is read until it goes on. Each calls the
    // one, then the other.
    void read_no_more() { ++full_; }
    void read_on() { --full_; }

    // One that has not been heard since `unheard` is replaced: what waits in it may be for a
    // sidecar that is no more.
    Control& open_control(const std::string& endpoint, Clock::time_point unheard);
    void close_control(Control& control, std::chrono::milliseconds linger);
    // Sends a request; its reply goes to link.reply(), unless the request is forgotten. Gives its
    // id.
    std::uint32_t ask(Control& control, Link& link, wire::ControlBody body);
    void forget(std::uint32_t request) { asked_.erase(request); }
    // Sends what has no reply. `request`: the id that an error about it has; 0: of no interest.
    void tell(Control& control, wire::ControlBody body, std::uint32_t request = 0);
    // Replies that have this id go to the link again: for what the sidecar sends unasked.
    void listen(std::uint32_t request, Link& link) { asked_[request] = &link; }

    // Subscribes to the link's topic and to the marker of its nonce, in this order; connects if
    // that endpoint is not connected.
    Data& join(Link& link, const std::string& endpoint, const std::string& topic,
               const wire::Nonce& nonce, const Bounds& bounds);
    void leave(Data& data, Link& link, const std::string& topic, const wire::Nonce& nonce);

    // Whether all that had come at `time` is read; if not it will be.
    [[nodiscard]] bool has_read(Socket& socket, Clock::time_point time);

    // link.expire() is to be called at this time.
    void wake(Clock::time_point at) { wake_ = std::min(wake_, at); }
    // link.send_ack() is to be called when nothing more is to be read.
    void to_acknowledge(Link& link);
    // fd() is to be readable: for who waits for it, after something was sent.
    void signal_if_touched();

private:
    void watch(int fd, void* data);
    void unwatch(Socket& socket);
    void touch(Socket& socket);
    void read(Control& control);
    void read(Data& data);
    static void bound(Data& data, std::size_t message);
    void send(Control& control, std::uint32_t id, wire::ControlBody body);
    void after(Link& link);
    void drop_finished();
    void look_after_links(Clock::time_point now);
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
    std::vector<Link*> links_;
    std::deque<Link*> ready_;
    std::size_t full_ = 0;  // links
    std::vector<Link*> acknowledging_;
    std::vector<Socket*> touched_;
    std::map<std::string, Control> controls_;
    std::map<std::string, Data> data_;
    std::uint32_t request_ = 0;
    std::unordered_map<std::uint32_t, Link*> asked_;
};

}  // namespace fatwal::client
