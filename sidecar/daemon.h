// fatwald's one thread: the replication stream in, the account sockets out, control requests answered.
#pragma once

#include <optional>

#include <zmq.hpp>

#include "accounts.h"
#include "backoff.h"
#include "connection.h"
#include "fatwal/wire/control.h"
#include "ledger.h"
#include "run_dir.h"
#include "schemas.h"
#include "settings.h"
#include "stream.h"

namespace fatwal {

class Daemon {
public:
    // Binds the control socket; throws zmq::error_t when that fails.
    Daemon(const Settings& settings, const RunDir& run_dir);
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    // Runs until `signals` (a signalfd) tells to stop, or something fails for good. Gives the failure, if it was one.
    std::optional<Failure> run(int signals);

private:
    void watch(int fd, std::uint32_t events);
    void wait(Clock::time_point now);

    // Connecting.
    std::optional<Failure> connected();
    void lost(const Failure& failure);

    // The stream. Each gives a failure that ends the daemon.
    std::optional<Failure> read_stream();
    std::optional<Failure> take(Received received);
    void take(const Keepalive& keepalive);
    void confirm();
    void end_stream();

    // Control.
    bool answer_requests();
    wire::ControlBody answer(const wire::ControlBody& request, Clock::time_point now);
    wire::StatusReply status() const;

    void tick(Clock::time_point now);

    const Settings& settings_;
    std::uint64_t epoch_;
    Clock::time_point started_;
    Descriptors descriptors_;
    zmq::context_t context_;
    Accounts accounts_;
    zmq::socket_t control_;
    Connector connector_;
    Backoff backoff_;
    Ledger ledger_;
    Schemas schemas_;
    std::optional<Stream> stream_;
    int stream_fd_ = -1;
    int epoll_;
    bool connecting_ = false;
    bool more_ = false;  // something was left unread for the next turn
    std::optional<Clock::time_point> connect_at_;
    Clock::time_point next_tick_;
    Clock::time_point next_confirm_;
    wire::Lsn confirmed_ = 0;
    std::uint64_t reconnects_ = 0;
};

}  // namespace fatwal
