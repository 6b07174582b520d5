// One account of this process: its rows, the devices that are connected here, and what goes between
// them.
//
//   fatwald ──► Feed ──transaction──► WorkQueue ──asks──► channels of the SessionTable
//   devices ──► JoinQueue ──enters──►     │    ◄─decide──       │
//                                         ▼                     ▼
//                       links, FlowDesk, Router (sessions here and in other processes)
//
// The account's state is changed by its feed alone. A channel decides only while the state is
// whole, that is between two transactions (WorkQueue), and never queries anything: what it decides
// is a list of actions, which are carried out here in their order. Of a transaction gateways are
// asked before clients, so a gateway has cut a client before the client learns of it.
//
// What goes wrong in the work of an account is that account's alone. All that comes from outside (a
// link, a timer, the feed, the process) goes through guarded(): an exception marks the account
// broken, nothing more is done for it, and Accounts ends it in a later turn. Callbacks that can
// outlive the account hold it weakly.
//
// Invariants: a session's channel exists as long as its entry in the SessionTable; the generation
// of each session here is the current one of access::Sessions, or the session is about to end; the
// directory knows of each session whose channel has joined. One thread, the loop's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "portal/process/account_context.h"
#include "portal/process/admin.h"
#include "portal/process/feed.h"
#include "portal/process/join_queue.h"
#include "portal/process/join_request.h"
#include "portal/process/link.h"
#include "portal/process/rate_limit.h"
#include "portal/process/router.h"
#include "portal/process/session.h"
#include "portal/process/work_queue.h"

namespace fatwal::process {

class Account : public std::enable_shared_from_this<Account> {
public:
    // Call follow() once it is shared.
    Account(const AccountContext& context, const Uuid& id);
    ~Account();
    Account(const Account&) = delete;
    Account& operator=(const Account&) = delete;

    void follow();
    // A device that has connected and is proven. It waits until the account's rows are there, and a
    // moment for its own.
    void join(JoinRequest request, std::shared_ptr<Link> link);
    // For a session here; false when there is none. Should it end before its turn comes,
    // `undelivered` is called.
    bool deliver(const access::Address& to, const access::PeerMessage& message,
                 std::function<void()> undelivered);
    // A message that this session has sent could not be delivered.
    void undeliverable(const access::Address& sender, const access::PeerMessage& message);
    // Wherever the session is.
    void route(const access::Address& sender, const access::Address& to,
               const access::PeerMessage& message) {
        router_.route(sender, to, message);
    }
    // In turns, as with a transaction.
    void relays_changed();
    // What is published is not what it was: see Feed::publication_changed().
    void publication_changed(wire::Lsn at);
    // By that much the wall's clock has been set.
    void clock_was_set(access::Instant::duration moved);
    // The device has come in at another process, with this generation.
    void entered_elsewhere(access::Device device, const Uuid& id, access::Generation generation,
                           access::ProcessId process);
    // Pings the gateway's device: if it is there, `stays` is called; if not, its session ends.
    void probe_gateway(const Uuid& id, access::Generation generation, std::function<void()> stays);
    // It is: those who wait for its place are refused.
    void gateway_stays(const Uuid& id, access::Generation generation);
    // What an administrator asks for: the sessions behind `after`, as the admin socket shows them,
    // into `out` up to its limit (false: there are more); to end one; and to take a pair from every
    // gateway here and its rows from the database; of how many gateways, as far as they have it
    // now.
    bool list(std::optional<Admin::Cursor> after, std::size_t limit, access::Json& out) const;
    bool disconnect_device(access::Device device, const Uuid& id);
    // Why a client can reach a resource or not (portal/access/explanation.h); nothing in the middle
    // of a transaction.
    [[nodiscard]] std::optional<access::Json> explain(const Uuid& client_id,
                                                      const Uuid& resource_id);
    // Its clients and resources by name (choices.h); nothing while its rows are not whole.
    [[nodiscard]] std::optional<access::Json> choices() const;
    [[nodiscard]] bool has_client(const Uuid& id) const {
        return feed_->state().client(id) != nullptr;
    }
    std::size_t reject(const access::Pair& pair);
    // Closes at most `count` sessions of the kind; gives how many.
    std::size_t close_some(access::Device device, std::size_t count);

    [[nodiscard]] std::size_t sessions(access::Device device) const {
        return sessions_.count(device);
    }
    // It is followed as long as the answer is kept: for a relay of its own, which has no session
    // here.
    [[nodiscard]] std::shared_ptr<void> hold();
    [[nodiscard]] const Feed& feed() const { return *feed_; }
    // Whether its rows are here and the token is among them, with this secret.
    [[nodiscard]] bool knows_token(const DeviceToken& token) const;
    [[nodiscard]] bool live() const { return feed_->state().live(); }
    // Whether something is decided that is not carried out.
    [[nodiscard]] bool is_at_work() const { return work_.is_at_work(); }
    // When the last device went; nothing while there are some.
    [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> empty_since() const {
        return empty_since_;
    }

private:
    [[nodiscard]] Feed::Handlers feed_handlers();
    [[nodiscard]] WorkQueue::Handlers work_handlers();
    [[nodiscard]] JoinQueue::Handlers join_handlers();
    [[nodiscard]] Router::Handlers router_handlers();

    // All that comes from outside goes through one of these; the second also waits until the
    // account is whole.
    template <class Work>
    void guarded(Work work);
    void guarded_when_whole(std::function<void()> work);

    // What the feed brings.
    void snapshot();
    void transaction(access::Affected affected, access::Instant committed);
    // Nothing of it has been heard for too long: what its gateways let through ends.
    void revoke();

    // Devices that come.
    void check_joins();
    // Why the device may not have a session; nothing when it may.
    [[nodiscard]] std::optional<std::string> refusal(const JoinRequest& request) const;
    [[nodiscard]] JoinQueue::Rows rows_of(const JoinRequest& request) const;
    void enter(JoinRequest request, const std::shared_ptr<Link>& link);
    Session& begin_session(const access::Address& address, const JoinRequest& request,
                           const std::shared_ptr<Link>& link);
    // Gives the session its channel; whether that has joined.
    bool open_client(Session& session, const JoinRequest& request, access::Actions& out);
    bool open_gateway(Session& session, const JoinRequest& request, access::Actions& out);
    [[nodiscard]] access::ChannelContext channel_context();

    // Connected devices, and devices that leave.
    void received(const access::Address& from, std::string_view text);
    void due(const access::Address& who);
    void gone(const access::Address& who);
    void end(const access::Address& who, const std::string& reason);
    std::size_t reject_now(const access::Pair& pair);
    void note_whether_empty();

    // Queues what a channel wants, then keeps its next deadline.
    void carry_out(Session& session, access::Actions actions,
                   std::optional<access::Instant> committed = {}, const access::Json& ref = {});
    // Asks a session's channel in its turn: `ask(session)` gives actions.
    void ask_later(const access::Address& who, std::function<access::Actions(Session&)> ask,
                   std::optional<access::Instant> committed = {}) {
        work_.add(WorkQueue::Step{who, std::move(ask), committed});
    }
    // One action of a channel.
    void carry_out(WorkQueue::Task& task);
    void carry_out(const WorkQueue::Task& task, const access::Push& push);
    void carry_out(const WorkQueue::Task& task, const access::Reply& reply);
    void carry_out(const WorkQueue::Task& task, const access::Refuse& refuse);
    void carry_out(const WorkQueue::Task& task, const access::Disconnect& disconnect);
    void carry_out(const WorkQueue::Task& task, const access::Send& send);
    void carry_out(const WorkQueue::Task& task, access::WriteFlow& write);
    void carry_out(const WorkQueue::Task& task, const access::DeleteFlow& remove);

    const AccountContext& context_;
    Uuid id_;
    const access::Presence& presence_;
    RateLimit limit_;                      // of all sessions
    std::shared_ptr<QueueBudget> queues_;  // of all sessions
    Router router_;
    WorkQueue work_;
    SessionTable sessions_;
    std::unique_ptr<JoinQueue> joins_;  // from follow() on, and the feed too
    std::shared_ptr<Feed> feed_;
    std::size_t holds_ = 0;
    bool relays_wait_ = false;  // to tell the channels of relays, until the account is whole
    bool is_broken_ = false;    // its work has thrown
    std::optional<std::chrono::steady_clock::time_point> empty_since_;
};

}  // namespace fatwal::process
