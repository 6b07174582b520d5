// The process: its parts, and what goes from one to another.
//
//   devices ──► Door ──proven──► Accounts, RelayDesk       who may come in, who is in
//                                   │        │
//        fatwald ──► Feeds ─────────┤        │             what the rows say
//                                   ▼        ▼
//   other processes ◄──► Fleet ◄──► Directory              who is where
//                                   │
//                                FlowDesk ──► database     rows of flows, on a thread
//                                LastSeen ──► database     where devices were, on a thread
//
// Each part knows those that it is given, and none knows the process: what one brings about in
// another is a handler that is set up here. Beside that the process answers what other processes
// say (hear()), checks the clock once a second, and ends by Drain. With the setting `http` it
// leaves its numbers once a second for a Watch, whose thread answers those who ask.
//
// One thread, the loop's, runs all of it but what the database is asked. Destroyed after the loop
// has stopped: first those who could bring anything new (the admin socket, the door), then the
// accounts, whose channels refer to everything else.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <zmq.hpp>

#include "portal/process/accounts.h"
#include "portal/process/directory.h"
#include "portal/process/door.h"
#include "portal/process/drain.h"
#include "portal/process/feeds.h"
#include "portal/process/fleet.h"
#include "portal/process/flow_desk.h"
#include "portal/process/health.h"
#include "portal/process/last_seen.h"
#include "portal/process/measures.h"
#include "portal/process/publication.h"
#include "portal/process/relay_desk.h"
#include "portal/process/settings.h"
#include "service/watch.h"

namespace fatwal::process {

class Process {
public:
    Process(boost::asio::io_context& io, const Settings& settings);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    [[nodiscard]] std::uint16_t port() const { return door_->port(); }
    // What is published is not what it was.
    void publication_changed(const PublicationLook& look);
    // Lets nobody in any more and sends the devices elsewhere; then `done`. Once.
    void drain(std::function<void()> done);

private:
    [[nodiscard]] AccountContext account_context();
    [[nodiscard]] RelayDesk::Handlers relay_handlers();
    [[nodiscard]] Admin::Handlers admin_handlers();
    [[nodiscard]] Drain::Handlers drain_handlers(std::function<void()> done);
    [[nodiscard]] Health health() const;

    void enter(JoinRequest request, std::shared_ptr<Link> link);
    void notify(const access::FlowBatch::Notice& notice);
    // Here; says it to nobody.
    std::size_t end_session(const EndSession& session);
    std::size_t reject(const RejectPair& pair);

    // A message of another process; false when it is not understood.
    bool hear(access::ProcessId from, const Json& message);
    bool hear(access::ProcessId from, const GatewayOnline& message);
    bool hear(access::ProcessId from, const ClientEntered& message);
    bool hear(access::ProcessId from, const GatewayWanted& message);
    bool hear(access::ProcessId from, const GatewayStays& message);
    bool hear(access::ProcessId from, const Delivery& message);
    bool hear(access::ProcessId from, const EndSession& message);
    bool hear(access::ProcessId from, const RejectPair& message);
    // What the directory alone is about.
    template <class Message>
    bool hear(access::ProcessId from, const Message& message) {
        directory_.hear(from, message);
        return true;
    }

    void once_a_second();
    void check_the_clock();
    void beat();
    void report(std::chrono::steady_clock::time_point now);

    boost::asio::io_context& io_;
    const Settings& settings_;
    Measures measures_;
    zmq::context_t zmq_;
    Feeds feeds_;
    std::mt19937_64 random_;
    access::ProcessId id_;
    access::Signer signer_;
    FlowDesk flows_;
    LastSeen last_seen_;
    Directory directory_;
    Accounts accounts_;
    Fleet fleet_;  // behind what it calls: others may have sent something by then
    RelayDesk relay_desk_;
    std::unique_ptr<Door> door_;
    std::unique_ptr<Admin> admin_;  // none unless a setting says where
    std::unique_ptr<Drain> drain_;  // once it has begun
    boost::asio::steady_timer second_;
    access::Instant::duration clock_offset_;  // of the wall's clock, as it was read last
    const std::chrono::steady_clock::time_point started_;
    boost::asio::steady_timer beat_;
    unsigned beats_ = 0;
    service::TurnTimes delays_;
    std::optional<service::Watch> watch_;  // with the setting http
};

}  // namespace fatwal::process
