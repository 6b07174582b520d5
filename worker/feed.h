// An account's stream and the state that it makes.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "fatwal/channel/account_state.h"
#include "fatwal/client/subscription.h"
#include "worker/feeds.h"
#include "worker/pause.h"
#include "worker/settings.h"

namespace fatwal::worker {

// Durable: acknowledged when the handlers have returned. A state that has put itself aside gets a
// new snapshot, after pauses that grow until it has been well for a while; so does one that has had
// no fatwald for too long, as by then it may grant what was taken away.
//
// The state never goes back: a snapshot can be older than what was shown (fatwald serves one to all
// who ask at about the same time), so it is shown only when the stream has brought it to where the
// stream was when it was asked for, and to where this account ever was.
class Feed : public std::enable_shared_from_this<Feed> {
public:
    struct Handlers {
        std::function<void()> snapshot;  // the state has just become live
        std::function<void(channel::Affected, channel::Time committed)> transaction;
        // Whether what was handled is still being handed over. Nothing is acknowledged or taken
        // until handed_over(). May be missing.
        std::function<bool()> is_busy = {};
        // A transaction that has taken several turns is in the state, or has put it aside. What
        // the transaction concerns was named by `transaction` before.
        std::function<void()> applied = [] {};
        // For revoke_after_s there was no fatwald, or no state that may be believed: nothing that
        // was granted may stand.
        std::function<void()> revoke = [] {};
    };

    // Without an account: the operators' stream. Call start() once it is shared.
    Feed(boost::asio::io_context& io, Feeds& feeds, const Settings& settings,
         std::optional<channel::Uuid> account, Handlers handlers);
    ~Feed();
    Feed(const Feed&) = delete;
    Feed& operator=(const Feed&) = delete;

    void start();
    // Before `at` rows may have changed without being published: the account is put aside until a
    // snapshot of later, which is not tried before the fault of the publication (Feeds::fault), if
    // any, is mended.
    void publication_changed(wire::Lsn at);
    // For good: nothing is kept for it by Postgres any more, and no handler is called.
    void stop();
    // Handles some of what has come, for a few milliseconds. For Feeds alone: reading takes the
    // signal that something has come for others too.
    void take();
    void handed_over();
    // Whether a part of a transaction is in the state: nothing may be asked of that, nor of the
    // channels.
    [[nodiscard]] bool is_applying() const { return applying_ != nullptr; }

    // Whether it has a fatwald, and nothing to do but wait for the account's turn there: after a
    // deploy thousands of accounts ask at once.
    [[nodiscard]] bool waits_for_turn() const {
        return joined_ && !lost_ && !refused_ && !state_.live();
    }

    [[nodiscard]] channel::AccountState& state() { return state_; }
    [[nodiscard]] const channel::AccountState& state() const { return state_; }

private:
    // Whether the last event has to be done with before the next one is taken.
    [[nodiscard]] bool is_busy() const {
        return applying_ || (handlers_.is_busy && handlers_.is_busy());
    }
    void acknowledge();
    void unsubscribe();
    struct Applying;
    void handle(client::Event& event);
    void apply(client::Transaction transaction);
    // Takes in some changes; what is left follows in the next turns.
    void apply_on(std::chrono::steady_clock::time_point until);
    void apply_later();
    void go_on();
    void applied(channel::Affected affected, channel::Time committed);
    template <class Work>
    void guarded(Work work);
    void go_live();
    void start_over();
    void lost(const std::string& reason);
    // From doubt() on, until believe(), revocations may have been missed: there is no fatwald, or
    // the state was put aside. After revoke_after_s of it all that was granted ends.
    void doubt();
    void believe();
    void put_aside();
    void log(const channel::Affected& affected) const;

    boost::asio::io_context& io_;
    Feeds& feeds_;
    const Settings& settings_;
    std::optional<channel::Uuid> account_;
    Handlers handlers_;
    channel::AccountState state_;
    std::unique_ptr<client::Subscription> subscription_;
    std::unique_ptr<Applying> applying_;  // a transaction that is not whole in the state
    boost::asio::steady_timer retry_;
    boost::asio::steady_timer stale_;
    boost::asio::steady_timer revoke_;
    bool joined_ = false;
    bool lost_ = false;
    bool doubts_ = false;
    bool refused_ = false;                 // the last snapshot that was asked for has failed
    std::optional<client::Cursor> owed_;   // what is to be acknowledged once it is handed over
    std::optional<client::Cursor> shown_;  // how far any state of this account has come
    Pause pause_;
    std::size_t unknown_ = 0;  // rows of tables that the domain does not use
};

}  // namespace fatwal::worker
