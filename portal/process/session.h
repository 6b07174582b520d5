// The sessions of one account: each is a device's connection, with the channel that decides what
// the device is sent.
//
// A session is named by its address: device, id and generation. Whatever was put off (a step of a
// transaction, a device's message, a timer) keeps the address and finds the session again when its
// turn comes; by then the device may have gone, or have come back with a later generation, and
// find() gives nothing. So nobody keeps a pointer to a session over a turn of the loop.
//
// Invariant: of one device there is at most one session here, the current one of
// access::Sessions. One thread, the loop's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "portal/access/client_channel.h"
#include "portal/access/gateway_channel.h"
#include "portal/process/deadline.h"
#include "portal/process/join_request.h"
#include "portal/process/link.h"
#include "portal/process/rate_limit.h"

namespace fatwal::process {

// What an administrator is shown of a session.
struct SessionInfo {
    access::Instant connected_at;
    std::string version;
    std::string user_agent;
    std::optional<access::IpAddress> remote_ip;
    Uuid token_id;
};

struct Session {
    // `due`: called when the channel's deadline has come.
    Session(boost::asio::io_context& io, access::Address own, std::shared_ptr<Link> device,
            SessionInfo shown, const Rates& rates, std::function<void()> due);

    // Calls the channel that it has.
    template <class Call>
    auto call(Call of) {
        if (auto* as_gateway = std::get_if<std::unique_ptr<access::GatewayChannel>>(&channel))
            return of(**as_gateway);
        return of(*std::get<std::unique_ptr<access::ClientChannel>>(channel));
    }
    // Of a session of that kind.
    [[nodiscard]] access::GatewayChannel& gateway() const {
        return *std::get<std::unique_ptr<access::GatewayChannel>>(channel);
    }
    [[nodiscard]] access::ClientChannel& client() const {
        return *std::get<std::unique_ptr<access::ClientChannel>>(channel);
    }
    [[nodiscard]] bool is_gateway() const { return address.device == access::Device::Gateway; }
    // Sets the timer to what the channel waits for next.
    void keep_deadline();

    access::Address address;
    SessionInfo info;
    std::shared_ptr<Link> link;
    RateLimit limit;
    std::variant<std::unique_ptr<access::ClientChannel>, std::unique_ptr<access::GatewayChannel>>
        channel;
    Deadline<access::Instant> deadline;
    bool is_shown = false;  // it has been sent an init
    bool has_step = false;  // one is queued in which a gateway's channel takes up its work again
};

class SessionTable {
public:
    Session& add(std::unique_ptr<Session> session);
    // Null when there is none; it is kept by the caller while it is needed.
    std::unique_ptr<Session> remove(const access::Address& address);

    // Generation 0: whichever is current.
    [[nodiscard]] Session* find(const access::Address& address) const;
    [[nodiscard]] Session* find(access::Device device, const Uuid& id) const;
    [[nodiscard]] bool empty() const { return sessions_.empty(); }
    [[nodiscard]] std::size_t count(access::Device device) const;
    // Copies, as what is done with one may end others.
    [[nodiscard]] std::vector<access::Address> addresses() const;
    [[nodiscard]] std::vector<access::Address> addresses(access::Device device) const;
    // The gateways that have a pair now.
    [[nodiscard]] std::vector<access::Address> gateways_with(const access::Pair& pair) const;
    // Calls `visit(session)` for each behind `after`, in order, until it gives false; whether it
    // never did.
    template <class Visit>
    bool for_each_after(const std::optional<std::pair<access::Device, Uuid>>& after,
                        Visit visit) const {
        auto at = after ? sessions_.upper_bound(*after) : sessions_.begin();
        for (; at != sessions_.end(); ++at)
            if (!visit(*at->second)) return false;
        return true;
    }

private:
    std::map<std::pair<access::Device, Uuid>, std::unique_ptr<Session>> sessions_;
};

}  // namespace fatwal::process
