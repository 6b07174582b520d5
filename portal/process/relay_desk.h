// The relays that are connected to this process.
//
// The token of an operators' relay belongs to no account: its row is in the operators' stream,
// which is followed from the first such relay on. The token of an account's own relay is in the
// account's rows, which are followed while the relay is connected. A relay says where it is
// (announce{ipv4, ipv6, port, lat, lon, secret}) and is offered to devices from then on.
//
// Relays stand in groups: those of one account, or the operators'. Only the rows of its group
// decide about a relay, so a transaction costs the relays of its own account alone. Once a second
// all groups are checked for what comes by time: tokens that end, and relays that have waited
// long enough. That compares times, and reads rows only for relays that wait.
//
// An account is a tenant that nobody trusts, and each announcement goes to all processes and to all
// of the account's devices. So announcements have a rate, by relay and by account, and one that
// says nothing new goes nowhere. Relays that wait for their rows have a bound by account.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "portal/access/relays.h"
#include "portal/process/feed.h"
#include "portal/process/join_request.h"
#include "portal/process/link.h"
#include "portal/process/rate_limit.h"

namespace fatwal::process {

class RelayDesk {
public:
    // Relays that wait for their rows. Accounts have a bound together, too, which leaves the
    // operators' relays theirs.
    static constexpr std::size_t kMostWaiting = 1000;
    static constexpr std::size_t kMostWaitingOfAccount = 50;
    static constexpr std::size_t kMostWaitingOfOperators = 1000;
    // Announcements of something new, a second. A relay announces when it starts and when its
    // address or secret changes; at once may come what Bucket::kSavedSeconds saves up.
    static constexpr double kChangesOfRelay = 0.1;
    static constexpr double kChangesOfAccount = 1;
    static constexpr double kChangesOfOperators = 100;

    // The rows of an account, or the operators'.
    struct Rows {
        const access::AccountState* state = nullptr;
        bool is_ready = false;        // live, and of whole transactions: else ask it nothing
        bool waits_for_turn = false;  // see Feed::waits_for_turn()
    };
    [[nodiscard]] static Rows rows_of(const Feed& feed);

    struct Handlers {
        std::function<void(const access::Relay&)> online;
        std::function<void(const access::RelayId&)> offline;
        std::function<void(JoinRequest)> admitted;  // its token is its own from now on
        // Follows an account while the answer is kept.
        std::function<std::shared_ptr<void>(const Uuid& account)> follow;
        // Of an account that is followed.
        std::function<Rows(const Uuid& account)> rows;
    };
    RelayDesk(boost::asio::io_context& io, Feeds& feeds, const Settings& settings,
              Handlers handlers);
    ~RelayDesk();
    RelayDesk(const RelayDesk&) = delete;
    RelayDesk& operator=(const RelayDesk&) = delete;

    void join(JoinRequest request, std::shared_ptr<Link> link);
    // The rows of the account (of the operators: nothing) have changed: lets in whoever has waited
    // for that, and ends the relays whose tokens do not hold any more.
    void review(const std::optional<Uuid>& account);
    // The account's work has failed, and it is followed no more: its relays end, connected or
    // waiting. They would be judged by nothing.
    void account_failed(const Uuid& account);
    // What is published is not what it was: the operators' tokens are read again, see
    // Feed::publication_changed().
    void publication_changed(wire::Lsn at);
    void close_all();
    [[nodiscard]] std::size_t size() const;

private:
    struct Connected {
        std::shared_ptr<Link> link;
        JoinRequest request;
        std::shared_ptr<void> follows;
        std::optional<access::Instant> token_ends;
        std::optional<access::Relay> announced;
        RateLimit limit;
        Bucket changes{kChangesOfRelay};
    };
    // Of a device whose row of tokens the stream has yet to bring.
    struct Waiting {
        std::shared_ptr<Link> link;
        JoinRequest request;
        std::shared_ptr<void> follows;
        std::chrono::steady_clock::time_point until;
    };
    struct Group {
        std::optional<Uuid> account;
        RateLimit limit;  // of all its relays; it outlives their connections
        Bucket changes;
        std::map<Uuid, Connected> connected;
        std::vector<Waiting> waiting;
    };
    [[nodiscard]] Group& group_of(const std::optional<Uuid>& account);
    [[nodiscard]] Rows rows_of(const Group& group) const;
    void follow_operators();
    // Lets it in or ends it, if that can be decided now.
    [[nodiscard]] bool settle(Group& group, Waiting& waiting, const Rows& rows);
    void settle_waiting(Group& group, const Rows& rows);
    void keep_waiting(Group& group, Waiting waiting);
    // They wait no more.
    [[nodiscard]] std::vector<Waiting> take_waiting(Group& group);
    void admit(Group& group, Waiting& waiting, const std::optional<access::Instant>& token_ends);
    void look();
    void look_later();
    void end_group(Group& group);
    // Of the relay that has this connection; null when another one has taken its place.
    [[nodiscard]] Connected* find(const access::RelayId& relay, const Link* link);
    void received(const access::RelayId& relay, const Link* link, std::string_view text);
    void gone(const access::RelayId& relay, const Link* link);
    void end(const access::RelayId& relay, const std::string& reason);

    boost::asio::io_context& io_;
    Feeds& feeds_;
    const Settings& settings_;
    Handlers handlers_;
    std::shared_ptr<Feed> feed_;  // the operators'
    // By account. A group without relays stays until its rates have recovered: whoever connects
    // again finds them as they were.
    std::map<std::optional<Uuid>, Group> groups_;
    std::size_t waiting_ = 0;  // of all accounts
    boost::asio::steady_timer timer_;
    bool looks_ = false;  // by the timer
};

}  // namespace fatwal::process
