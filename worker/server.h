// The HTTP server that devices connect to: requests become joined links, or registrations. GET
// /health tells whoever asks no more than whether devices are let in.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "worker/connect_rate.h"
#include "worker/join_request.h"
#include "worker/link.h"
#include "worker/registrar.h"
#include "worker/registration.h"
#include "worker/settings.h"

namespace fatwal::worker {

class Server {
public:
    // A WebSocket that is open, with what the device said of itself.
    using Joined = std::function<void(JoinRequest, std::shared_ptr<Link>)>;
    // A device that wants a row.
    using Registering = std::function<void(Registration, Registrar::Done)>;

    // Listens at once; throws boost::system::system_error when it cannot. All is called from the
    // context's thread. `rate`: asked before a device is let in, so outlives the server.
    Server(boost::asio::io_context& io, const Settings& settings, ConnectRate& rate, Joined joined,
           Registering registering);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    [[nodiscard]] std::uint16_t port() const;
    // Devices that come now are refused; those that are there stay.
    void stop_listening();

private:
    class Listener;
    std::shared_ptr<Listener> listener_;
};

}  // namespace fatwal::worker
