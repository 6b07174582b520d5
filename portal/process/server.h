// HTTP for the door (portal/process/door.h): connections come, and each request of them is answered
// or becomes a WebSocket.
//
// The server decides nothing about devices. It bounds what a connection costs before anybody knows
// what it wants: connections without a request (most_pending; the oldest goes, as a device says
// what it wants at once), the bytes of a request, the time for it, and descriptors. Of the
// descriptors that the process may have an eighth is kept free: beyond it a connection is closed as
// it comes, because ZeroMQ ends the process when it gets none. What comes after that is the door's.
//
// One request a connection. An answer is followed by a shutdown, and the rest of a request that was
// answered unread is read for kRestWithin: to close before would reset the connection, and the
// device might not see the answer.
//
// Boost.Beast is used in server.cpp and websocket_link.cpp alone, which include little else of
// ours: they take longest to compile, and so they are compiled least often. One thread, the loop's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fatwal::process {

class Link;

struct WebSocketOptions {
    std::size_t most_queued_bytes = 0;   // that wait for a slow device, which is then cut
    std::size_t most_message_bytes = 0;  // that a device may send
    std::chrono::seconds idle_timeout{};
    std::string protocol{};  // that the answer selects; empty: none
};

// A request, and what becomes of it: exactly one of answer() and open() is called. If it is
// destroyed before, the connection closes.
class Exchange {
public:
    Exchange() = default;
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;
    virtual ~Exchange() = default;

    [[nodiscard]] virtual bool is_post() const = 0;
    [[nodiscard]] virtual bool wants_websocket() const = 0;
    // Its body has more bytes than most_body_bytes and was not read.
    [[nodiscard]] virtual bool is_too_large() const = 0;
    [[nodiscard]] virtual std::string_view target() const = 0;
    [[nodiscard]] virtual std::string_view body() const = 0;
    // Of several lines of one name all, joined by commas; empty: none.
    [[nodiscard]] virtual std::string header(std::string_view name) const = 0;
    // The address of the connection; nothing when it is lost already.
    [[nodiscard]] virtual std::optional<std::string> peer() const = 0;

    // JSON. With 503 goes Retry-After.
    virtual void answer(unsigned status, std::string body) = 0;
    // `opened` is called with the link, or with null when the device has left. `place` is kept
    // until the connection is gone.
    virtual void open(const WebSocketOptions& options, std::shared_ptr<void> place,
                      std::function<void(std::shared_ptr<Link>)> opened) = 0;
};

struct ServerOptions {
    std::string address;
    std::uint16_t port = 0;  // 0: one that is free
    std::size_t most_pending = 0;
    std::size_t most_body_bytes = 0;
};

class Server {
public:
    using Handler = std::function<void(std::shared_ptr<Exchange>)>;

    // Listens at once; throws boost::system::system_error when it cannot.
    Server(boost::asio::io_context& io, const ServerOptions& options, Handler handler);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    [[nodiscard]] std::uint16_t port() const;
    // No connection is accepted any more; the handler is still called for those that are there.
    void stop_listening();

private:
    class Listener;
    std::shared_ptr<Listener> listener_;
};

}  // namespace fatwal::process
