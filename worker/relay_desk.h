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

// The token of an operators' relay belongs to no account: its row is in the operators' stream,
// which is followed from the first such relay on. The token of an account's own relay is in the
// account's rows, which are followed while it is connected. A relay says where it is
// (announce{ipv4, ipv6, port, lat, lon, secret}) and is offered to devices from then on.
class RelayDesk {
public:
    struct Handlers {
        std::function<void(const channel::Relay&)> online;
        std::function<void(const channel::RelayId&)> offline;
        std::function<void(JoinRequest)> admitted;  // its token is its own from now on
        // Follows an account while the answer is kept.
        std::function<std::shared_ptr<void>(const Uuid& account)> follow;
        // Null when it is not followed, as its work has failed.
        std::function<const channel::AccountState*(const Uuid& account)> state;
    };
    RelayDesk(boost::asio::io_context& io, Feeds& feeds, const Settings& settings,
              Handlers handlers);
    ~RelayDesk();
    RelayDesk(const RelayDesk&) = delete;
    RelayDesk& operator=(const RelayDesk&) = delete;

    void join(JoinRequest request, std::shared_ptr<Link> link);
    // Ends those whose tokens do not hold any more.
    void review();
    // What is published is not what it was: the operators' tokens are read again, see
    // Feed::publication_changed().
    void publication_changed(wire::Lsn at);
    void close_all();
    [[nodiscard]] std::size_t size() const { return relays_.size(); }

private:
    struct Connected {
        JoinRequest request;
        std::shared_ptr<Link> link;
        std::shared_ptr<void> follows;
        bool announced = false;
    };
    // Of a device whose row of tokens the stream has yet to bring.
    struct Waiting {
        JoinRequest request;
        std::shared_ptr<Link> link;
        std::shared_ptr<void> follows;
        std::chrono::steady_clock::time_point until;
    };
    void admit(Waiting waiting);
    void look_later();
    void received(const channel::RelayId& relay, const Link* link, std::string_view text);
    void gone(const channel::RelayId& relay, const Link* link);
    void end(const channel::RelayId& relay, const std::string& reason);
    [[nodiscard]] const channel::AccountState* state_of(const JoinRequest& request) const;
    // By the rows, which are live.
    [[nodiscard]] static bool valid(const JoinRequest& request, const channel::AccountState& state);

    boost::asio::io_context& io_;
    Feeds& feeds_;
    const Settings& settings_;
    Handlers handlers_;
    std::shared_ptr<Feed> feed_;
    std::vector<Waiting> waiting_;
    std::map<channel::RelayId, Connected> relays_;
    boost::asio::steady_timer timer_;
    bool looks_ = false;  // by the timer
};

}  // namespace fatwal::worker
