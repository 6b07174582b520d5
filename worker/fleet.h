// The processes that serve the same devices, as one of them sees the others: who is there, and
// messages between two of them or to all.
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

#include "fatwal/channel/basics.h"
#include "worker/settings.h"

namespace fatwal::worker {

using channel::Json;
using channel::ProcessId;

// Over ZeroMQ (PUSH to each, PULL from all), encrypted and authenticated by CURVE with a key that
// the fleet's secret gives. A process is gone when nothing was heard of it for kGoneAfter. What is
// said to all comes whole and in order: a gap is noticed, and all is said again.
class Fleet {
public:
    static constexpr std::chrono::milliseconds kAliveEvery{500};
    static constexpr std::chrono::milliseconds kGoneAfter{3000};

    struct Handlers {
        // False when it is not understood: another version may say it.
        std::function<bool(ProcessId from, const Json& message)> received;
        std::function<void(ProcessId process)>
            gone;  // forget what it has told; also before it tells all of it again
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
    // paused (by the machine or a debugger): until each other one has told all that it has, or
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
        std::optional<std::uint64_t> told;  // the number of its last broadcast that we have;
                                            // nothing: it has to introduce itself
        bool introduce = false;             // we have to, to it
        bool fresh = false;                 // it has introduced itself since we began, or woke
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

}  // namespace fatwal::worker
