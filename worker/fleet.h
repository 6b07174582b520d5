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
#include "settings.h"

namespace fatwal::worker {

using channel::Json;
using channel::ProcessId;

// Over ZeroMQ (PUSH to each, PULL from all), encrypted and authenticated by CURVE with a key that
// the fleet's secret gives. A process is gone when nothing was heard of it for kGoneAfter. What is
// told to all comes whole and in order: a gap is noticed, and all is told again.
class Fleet {
public:
    static constexpr std::chrono::milliseconds kAliveEvery{500};
    static constexpr std::chrono::milliseconds kGoneAfter{3000};

    struct Handlers {
        std::function<void(ProcessId from, const Json& message)> received;
        std::function<void(ProcessId process)>
            gone;  // forget what it has told; also before it tells all of it again
        std::function<std::vector<Json>()> introduction;  // all that was broadcast and still holds
    };

    // Throws zmq::error_t when the endpoint cannot be had. Without an endpoint there is nobody
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

private:
    struct Peer {
        zmq::socket_t socket;
        ProcessId process = 0;  // 0: not there
        std::chrono::steady_clock::time_point heard;
        std::optional<std::uint64_t> told;  // the number of its last broadcast that we have;
                                            // nothing: it has to introduce itself
        bool introduce = false;             // we have to, to it
    };

    void wait();
    void drain();
    void take(const zmq::message_t& message);
    void tick();
    void introduce(Peer& peer);
    bool push(Peer& peer, Json message);
    void lost(Peer& peer);

    const Settings& settings_;
    ProcessId own_;
    Handlers handlers_;
    std::map<std::string, Peer> peers_;  // by endpoint
    zmq::socket_t inbox_;
    boost::asio::posix::stream_descriptor readable_;
    boost::asio::steady_timer timer_;
    std::uint64_t broadcasts_ = 0;
};

}  // namespace fatwal::worker
