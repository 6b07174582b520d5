// The devices of one account that are connected to this process.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "fatwal/channel/client_channel.h"
#include "fatwal/channel/gateway_channel.h"
#include "fatwal/channel/sessions.h"
#include "worker/admin.h"
#include "worker/feed.h"
#include "worker/join_request.h"
#include "worker/link.h"
#include "worker/rate_limit.h"

namespace fatwal::worker {

class Process;

class Account : public std::enable_shared_from_this<Account> {
public:
    // Call follow() once it is shared.
    Account(Process& process, const Uuid& id, const channel::Presence& presence);
    ~Account();
    Account(const Account&) = delete;
    Account& operator=(const Account&) = delete;

    void follow();
    // A device that has connected. It waits until the account's rows are there, and a moment for
    // its own.
    void join(JoinRequest request, std::shared_ptr<Link> link);
    // For a session here; false when there is none. Should it end before its turn comes,
    // `undelivered` is called.
    bool deliver(const channel::Address& to, const channel::PeerMessage& message,
                 std::function<void()> undelivered);
    // A message that this session has sent could not be delivered.
    void undeliverable(const channel::Address& sender, const channel::PeerMessage& message);
    // Wherever the session is.
    void route(const channel::Address& sender, channel::Address to,
               const channel::PeerMessage& message);
    // In turns, as with a transaction.
    void relays_changed();
    // What is published is not what it was: see Feed::publication_changed().
    void publication_changed(wire::Lsn at);
    // By that much the wall's clock has been set.
    void clock_was_set(channel::Time::duration moved);
    // The device has come in at another process, with this generation.
    void entered_elsewhere(channel::Device device, const Uuid& id, channel::Generation generation,
                           channel::ProcessId process);
    // Looks whether the gateway's device is still there: if it is, `stays` is called; if not, its
    // session ends.
    void probe_gateway(const Uuid& id, channel::Generation generation, std::function<void()> stays);
    // It is: those who wait for its place are refused.
    void gateway_stays(const Uuid& id, channel::Generation generation);
    // What an administrator asks for: the sessions behind `after`, as the admin socket shows them,
    // into `out` up to its limit (false: there are more); to end one; and to take a pair from every
    // gateway here and its rows from the database; of how many gateways, as far as they hold it
    // now.
    bool list(std::optional<Admin::Cursor> after, std::size_t limit, channel::Json& out) const;
    bool disconnect_device(channel::Device device, const Uuid& id);
    std::size_t reject(const channel::Pair& pair);
    // Closes at most `count` sessions of the kind; gives how many.
    std::size_t close_some(channel::Device device, std::size_t count);

    [[nodiscard]] std::size_t sessions(channel::Device device) const;
    [[nodiscard]] bool empty() const {
        return sessions_.empty() && waiting_.empty() && holds_ == 0;
    }
    // It is followed as long as the answer is kept: for a relay of its own, which has no session
    // here.
    [[nodiscard]] std::shared_ptr<void> hold();
    [[nodiscard]] const Feed& feed() const { return *feed_; }
    // Whether its rows are here and the token is among them, with this secret.
    [[nodiscard]] bool knows_token(const DeviceToken& token) const;
    [[nodiscard]] bool live() const { return feed_->state().live(); }
    // Whether something is decided that is not carried out.
    [[nodiscard]] bool is_at_work() const { return !tasks_.empty() || !steps_.empty(); }
    // When the last device went; nothing while there are some.
    [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> empty_since() const {
        return empty_since_;
    }

private:
    using Key = std::pair<channel::Device, Uuid>;
    // What an administrator is shown of a session.
    struct About {
        channel::Time connected_at;
        std::string version;
        std::string user_agent;
        std::optional<channel::IpAddress> remote_ip;
        Uuid token_id;
    };
    struct Session {
        Session(boost::asio::io_context& io, channel::Address own, std::shared_ptr<Link> device,
                About shown, const Rates& rates)
            : address(own),
              about(std::move(shown)),
              link(std::move(device)),
              limit(rates),
              timer(io) {}
        channel::Address address;
        About about;
        std::shared_ptr<Link> link;
        RateLimit limit;
        std::variant<std::unique_ptr<channel::ClientChannel>,
                     std::unique_ptr<channel::GatewayChannel>>
            channel;
        boost::asio::steady_timer timer;
        std::optional<channel::Time> deadline;  // that the timer is set to
        bool goes_on = false;   // a step is queued that asks the gateway's channel to go on
        bool is_shown = false;  // it has been sent an init
    };
    // For the place of a gateway that is online: maybe its device is gone, and has come back.
    struct Contest {
        channel::Generation generation = 0;
        std::chrono::steady_clock::time_point until;  // then it is refused
        bool lost = false;
    };
    struct Waiting {
        JoinRequest request;
        std::shared_ptr<Link> link;
        std::chrono::steady_clock::time_point until;  // for the account's rows
        std::optional<std::chrono::steady_clock::time_point>
            own_until;  // for the device's own, once the others are there
        std::optional<std::chrono::steady_clock::time_point>
            room_until;  // for room to show it something, once it may enter
        std::optional<Contest> contest;
        // Whether its device is still there.
        enum class There : std::uint8_t { Unknown, Sure, Doubtful, Asked } there = There::Unknown;
    };
    // Something that a channel is asked: it decides on what then becomes tasks.
    struct Step {
        channel::Address who;
        std::function<channel::Actions(Session&)> ask;
        std::optional<channel::Time> committed;
    };
    struct Task {
        channel::Address sender;
        channel::Action action;
        std::optional<channel::Time> committed;
        channel::Json ref;
    };

    // Why the device may not have a session; nothing when it may.
    [[nodiscard]] std::optional<std::string> refusal(const JoinRequest& request) const;
    // What goes wrong in the work of an account is that account's alone: nothing more is done for
    // it, and the process ends it. All that comes from outside goes through here.
    template <class Work>
    void guarded(Work work);
    // A transaction is one change for all: while a part of it is in the state, or has come to some
    // of its channels, nothing else is asked of them.
    [[nodiscard]] bool is_whole() const {
        return steps_.empty() && leaving_.empty() && !feed_->is_applying();
    }
    // Does it now, or once the account is whole again; then a session that was found may be gone.
    void when_whole(std::function<void()> then);
    void snapshot();
    // Nothing of it has been heard for too long: what its gateways let through ends.
    void revoke();
    void transaction(channel::Affected affected, channel::Time committed);
    void admit_waiting();
    [[nodiscard]] bool knows(const JoinRequest& request) const;
    // Whether it has to wait on for the other processes.
    bool waits_for_others(Waiting& waiting);
    // Whether it has to wait on for a gateway's place.
    bool contests(Waiting& waiting);
    // Of those who may enter, who have to wait for room (QueueBudget): those whose time for that is
    // over are refused, the others go back among those who wait.
    void wait_for_room(std::vector<Waiting> ready);
    void admit(JoinRequest request, const std::shared_ptr<Link>& link);
    void received(const channel::Address& from, std::string_view text);
    void gone(const channel::Address& who);
    void end(const channel::Address& who, const std::string& reason);
    [[nodiscard]] Session* find(const channel::Address& address);
    [[nodiscard]] channel::SessionKey key_of(channel::Device device, const Uuid& device_id) const {
        return {id_, device, device_id};
    }
    [[nodiscard]] std::vector<channel::Address> addresses() const;
    [[nodiscard]] std::vector<channel::Address> gateways_that_hold(const channel::Pair& pair) const;
    // Carries out what a channel wants, then keeps its next deadline.
    void carry_out(Session& session, channel::Actions actions,
                   std::optional<channel::Time> committed = {}, const channel::Json& ref = {});
    void ask_later(const channel::Address& who, std::function<channel::Actions(Session&)> ask,
                   std::optional<channel::Time> committed = {});
    // As much as there is time for in one turn; the rest follows in the next ones.
    void work();
    void work_off();
    // First what is decided, then what is to be decided, then what has waited for that. Whether
    // there was any.
    bool work_off_one();
    void carry_out_next();
    void ask_next();
    void carry_out(Task& task);
    void keep_deadline(Session& session);
    void due(const channel::Address& who);
    void look_later();

    Process& process_;
    Uuid id_;
    const channel::Presence& presence_;
    std::shared_ptr<Feed> feed_;
    std::map<Key, std::unique_ptr<Session>> sessions_;
    RateLimit limit_;  // of all sessions
    std::shared_ptr<QueueBudget> queues_;
    std::vector<Waiting> waiting_;
    std::size_t holds_ = 0;
    boost::asio::steady_timer waiting_timer_;
    std::deque<Task> tasks_;
    std::deque<Step> steps_;
    std::deque<std::unique_ptr<channel::GatewayChannel>> leaving_;  // of sessions that are over
    std::deque<std::function<void()>>
        waiting_work_;  // as much as rates let in within a transaction
    bool admits_later_ = false;
    bool relays_wait_ = false;  // among it: to tell its channels of relays
    bool broken_ = false;       // its work has thrown
    bool busy_ = false;         // some are being carried out
    bool is_sliced_ = false;    // and they take more than one turn
    std::optional<std::chrono::steady_clock::time_point> empty_since_;
};

}  // namespace fatwal::worker
