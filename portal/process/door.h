// The door: everything between a stranger's connection and an account.
//
//   connection ──► Server (HTTP, bounds) ──► request: who is it, from where (join_request.h)
//     ──► a place among max_sessions, the rate of connects (connect_rate.h)
//     ──► POST: Registrar, which looks the token up and makes the device's row
//     ──► WebSocket: known by an account's rows, or looked up by the Doorkeeper ──► enter()
//
// Invariant: nobody comes to enter() whose token's secret was not compared with the hash in its row
// of tokens, so a stranger costs an account nothing and touches no state of it. What else a device
// needs (its row, its actor, the account) is judged by the account, of which it is proven to be.
//
// Who is left unproven counts against its address (ConnectRate), which slows guessing and keeps
// nobody out. Strangers who wait for the answer have at most half of max_sessions, registrations a
// quarter. After close() devices that come are answered going_away; GET /health says "draining".
// One thread, the loop's; the look-ups have threads of their own.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>

#include "portal/process/connect_rate.h"
#include "portal/process/doorkeeper.h"
#include "portal/process/join_request.h"
#include "portal/process/registrar.h"

namespace fatwal::process {

class Exchange;
class QueueBudget;
class Server;
struct Settings;

class Door {
public:
    struct Handlers {
        // Whether the rows of an account that is followed prove the request's token.
        std::function<bool(const JoinRequest&)> is_known;
        // A device whose token is proven, with its WebSocket.
        std::function<void(JoinRequest, std::shared_ptr<Link>)> enter;
    };

    // Listens at once; throws boost::system::system_error when it cannot.
    Door(boost::asio::io_context& io, const Settings& settings, Handlers handlers);
    ~Door();
    Door(const Door&) = delete;
    Door& operator=(const Door&) = delete;

    [[nodiscard]] std::uint16_t port() const;
    // Lets nobody in any more; those who are in stay.
    void close();
    [[nodiscard]] bool is_open() const { return is_open_; }
    [[nodiscard]] std::size_t registrations_waiting() const { return registrar_.waiting(); }

private:
    void handle(const std::shared_ptr<Exchange>& exchange);
    void join(const std::shared_ptr<Exchange>& exchange, JoinRequest request,
              const access::IpAddress& device);
    void open(JoinRequest request, const access::IpAddress& device,
              const std::shared_ptr<Link>& link);
    void enter(JoinRequest request, std::shared_ptr<Link> link);
    void register_device(const std::shared_ptr<Exchange>& exchange, Registration registration,
                         const access::IpAddress& device);
    // A place among max_sessions, held by the answer; null when there is none, which the device is
    // answered.
    [[nodiscard]] std::shared_ptr<void> place_for(const std::shared_ptr<Exchange>& exchange,
                                                  const access::IpAddress& device);
    void unproven(const access::IpAddress& device);

    const Settings& settings_;
    Handlers handlers_;
    bool is_open_ = true;
    ConnectRate rate_;
    std::shared_ptr<char> alive_;  // as long as this
    std::shared_ptr<int> places_;  // taken; outlives this with the links that have one
    std::shared_ptr<QueueBudget> queues_;
    Doorkeeper doorkeeper_;
    Registrar registrar_;
    std::unique_ptr<Server> server_;  // last: its handler uses the rest
};

}  // namespace fatwal::process
