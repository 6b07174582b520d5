// The processes that serve the same devices, as one of them sees the others: who is there, and
// messages between two of them or to all.
//
// Over ZeroMQ: each process has a PULL socket that all others push to, encrypted and authenticated
// by CURVE with a key that the fleet's secret gives. ZeroMQ connects again by itself, and drops
// what a process that is away does not take, so the fleet finds gaps by numbers:
//
//   broadcasts of a process        … 7   8   9  10 …     each message says how many there were
//   what another one has of it         (8)               `heard_to` of that process, there
//
// A broadcast that is the next one is taken in. Any other, and an "alive" with another number, is a
// gap: the reader asks for an introduction, which is all that the process has broadcast and that
// still holds, and begins again at its number. So what is said to all is known whole and in order
// to each process, or is asked for again within kAliveEvery; messages to one process have no such
// promise, and their senders have deadlines.
//
// A process of which nothing was heard for kGoneAfter is gone: what it has said is forgotten. It
// may only have been paused. A process whose own tick is late by more than kPausedAfter was paused
// itself: by then the others have forgotten it and let its devices in elsewhere, so it asks all of
// them for introductions and doubts what it reads until they have come (knows_the_others()).
//
// Invariants: broadcasts of one process are taken in without a gap, in their order; `gone` is
// called before anything of a process's next life, or of its next introduction, is received.
// Readers accept what older and newer versions write (portal/process/fleet_message.h). One thread,
// the loop's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "portal/access/basics.h"
#include "portal/process/settings.h"

namespace fatwal::process {

using access::Json;
using access::ProcessId;

class Fleet {
public:
    static constexpr std::chrono::milliseconds kAliveEvery{500};
    static constexpr std::chrono::milliseconds kGoneAfter{3000};

    struct Handlers {
        // False when it is not understood: another version may say it.
        std::function<bool(ProcessId from, const Json& message)> received;
        // Forget what it has said; also before it says all of it again.
        std::function<void(ProcessId process)> gone;
        std::function<std::vector<Json>()> introduction;  // all that was broadcast and still holds
    };

    // Throws zmq::error_t when the endpoint cannot be bound. Without an endpoint there is nobody
    // else.
    Fleet(boost::asio::io_context& io, zmq::context_t& context, const Settings& settings,
          ProcessId own, Handlers handlers);
    ~Fleet();
    Fleet(const Fleet&) = delete;
    Fleet& operator=(const Fleet&) = delete;

    [[nodiscard]] ProcessId own() const { return own_; }
    // False when the process is not there, or does not take it now.
    bool send(ProcessId to, const Json& message);
    void broadcast(const Json& message);
    [[nodiscard]] std::size_t size() const;  // of others that are there
    // Messages that made no sense here.
    [[nodiscard]] std::uint64_t not_understood() const { return not_understood_; }
    // Whether what it knows of the others is of now. Not at first, and not after this process was
    // paused (by the machine or a debugger): until each other one has said all that it has, or
    // after a while without. Whoever is let in meanwhile may be one whom another process has taken
    // over long since.
    [[nodiscard]] bool knows_the_others() const;
    // Whether it was paused a moment ago: what is read now may have been sent long before.
    [[nodiscard]] bool was_paused_lately() const;

private:
    struct Peer {
        zmq::socket_t socket;
        ProcessId process = 0;  // 0: not there
        std::chrono::steady_clock::time_point heard;
        // The number of its last broadcast that was taken in; nothing: it has to introduce itself.
        std::optional<std::uint64_t> heard_to;
        bool introduce = false;  // this process has to introduce itself to it
        bool fresh = false;      // it has introduced itself since this process began, or woke
    };

    void wait();
    void drain();
    void take(const zmq::message_t& message);
    void tick();
    void introduce(Peer& peer);
    bool push(Peer& peer, Json message);
    void lost(Peer& peer);
    void wake();
    void hear(ProcessId from, const Json& message);

    const Settings& settings_;
    ProcessId own_;
    Handlers handlers_;
    std::map<std::string, Peer> peers_;  // by endpoint
    zmq::socket_t inbox_;
    boost::asio::posix::stream_descriptor readable_;
    boost::asio::steady_timer timer_;
    std::uint64_t broadcasts_ = 0;
    std::uint64_t not_understood_ = 0;
    std::chrono::steady_clock::time_point ticked_;
    std::chrono::steady_clock::time_point doubts_until_;  // after a pause
    std::chrono::steady_clock::time_point
        learned_by_;  // what was not heard until then is not there
};

}  // namespace fatwal::process
