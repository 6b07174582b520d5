// Lets a device to its account only when its token has proven that it belongs there.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "portal/access/basics.h"
#include "portal/process/join_request.h"
#include "portal/process/link.h"
#include "portal/process/token_row.h"

namespace fatwal::process {

// An account is followed (a subscription, a snapshot, a durable name) for whoever proves to be of
// it, so a stranger must cost nothing of that: his token is looked up by its key, with those of all
// others who wait, in one query. Of the token its secret, account, kind, end and device are judged;
// all else by the account's channels. A stranger's connection ends as soon as the query has
// answered. While the database is away devices wait, for join_timeout_s at most. A row that the
// database cannot read costs the devices of that token alone: they get try_again.
class Doorkeeper {
public:
    using Proven = std::function<void(JoinRequest, std::shared_ptr<Link>)>;
    // A device had a token that is none, or left before that could be said.
    using Unproven = std::function<void(const JoinRequest&)>;

    // `most`: devices that wait at a time; more are refused with try_again.
    Doorkeeper(boost::asio::io_context& io, std::string database, std::chrono::seconds patience,
               std::size_t most, Proven proven, Unproven unproven);
    ~Doorkeeper();
    Doorkeeper(const Doorkeeper&) = delete;
    Doorkeeper& operator=(const Doorkeeper&) = delete;

    void ask(JoinRequest request, std::shared_ptr<Link> link);
    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

private:
    struct Waiting {
        JoinRequest request;
        std::shared_ptr<Link> link;
        std::chrono::steady_clock::time_point until;
    };
    struct Answer {
        std::vector<Uuid> asked;
        TokenRows tokens;
        bool failed = false;
    };
    // Looks tokens up, on a thread of its own.
    class Lookup;

    void look();
    void answered(const Answer& answer);
    void look_later();

    boost::asio::io_context& io_;
    std::chrono::seconds patience_;
    std::size_t most_;
    Proven proven_;
    Unproven unproven_;
    std::multimap<Uuid, Waiting> waiting_;  // by token
    bool looking_ = false;
    boost::asio::steady_timer retry_;
    std::unique_ptr<Lookup> lookup_;
};

}  // namespace fatwal::process
