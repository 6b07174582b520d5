// The relays that are connected to this process.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "fatwal/channel/relays.h"
#include "feed.h"
#include "join_request.h"
#include "link.h"

namespace fatwal::worker {

// A relay's token belongs to no account: its row is in the operators' stream, which is followed
// from the first relay on. A relay says where it is (announce{ipv4, ipv6, port, lat, lon, secret})
// and is offered to devices from then on.
class RelayDesk {
public:
    struct Handlers {
        std::function<void(const channel::Relay&)> online;
        std::function<void(const Uuid&)> offline;
        std::function<void(JoinRequest)> admitted;  // its token is its own from now on
    };
    RelayDesk(boost::asio::io_context& io, Feeds& feeds, const Settings& settings,
              Handlers handlers);
    ~RelayDesk();
    RelayDesk(const RelayDesk&) = delete;
    RelayDesk& operator=(const RelayDesk&) = delete;

    void join(JoinRequest request, std::shared_ptr<Link> link);
    void close_all();
    [[nodiscard]] std::size_t size() const { return relays_.size(); }

private:
    struct Connected {
        JoinRequest request;
        std::shared_ptr<Link> link;
        bool announced = false;
    };
    // Of a device whose row of tokens the stream has yet to bring.
    struct Waiting {
        JoinRequest request;
        std::shared_ptr<Link> link;
        std::chrono::steady_clock::time_point until;
    };
    void review();
    void admit(Waiting waiting);
    void look_later();
    void received(const Uuid& relay, const Link* link, std::string_view text);
    void gone(const Uuid& relay, const Link* link);
    void end(const Uuid& relay, const std::string& reason);
    [[nodiscard]] bool valid(const JoinRequest& request) const;

    boost::asio::io_context& io_;
    Feeds& feeds_;
    const Settings& settings_;
    Handlers handlers_;
    std::shared_ptr<Feed> feed_;
    std::vector<Waiting> waiting_;
    std::map<Uuid, Connected> relays_;
    boost::asio::steady_timer timer_;
};

}  // namespace fatwal::worker
