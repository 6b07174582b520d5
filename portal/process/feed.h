// An account's stream and the state that it makes.
//
// A feed subscribes to its account at fatwald by libfatwal, and turns what comes into an
// AccountState: first the rows of a snapshot, then one transaction after the other. It is the only
// one that changes the state.
//
//   start() ──► snapshot's rows ──► catching up ──► live ──► transactions …
//     ▲                                              │
//     └── start_over(), after a pause ◄── put aside ◄┘  a row that makes no sense, a resync, a
//                                                       publication that was changed, no fatwald
//                                                       for stale_after_s
//
// The state is never older than one that was shown. fatwald serves one snapshot to all who ask at
// about the same time, so a snapshot can be older than what this feed has shown before. The feed
// keeps the position of what was shown (shown_), asks for a snapshot not before it, and shows the
// new state when the stream has brought it there:
//
//   ──── snapshot ─────── shown_ ─────── now ────►  log
//           │  catching up   │  live
//
// A long transaction is taken in by slices of time, each in a turn of the loop. Between two slices
// the state is not whole (is_applying()): nobody may ask it anything. A transaction is acknowledged
// when its account has handed over everything that it brings about, so what a killed process has
// not sent comes again.
//
// Invariants: a transaction is whole before the next one begins; a position that is acknowledged
// was handed over; handlers are called only while the state is whole. One thread, the loop's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "fatwal/client/subscription.h"
#include "portal/access/account_state.h"
#include "portal/process/feeds.h"
#include "portal/process/pause.h"
#include "portal/process/settings.h"

namespace fatwal::process {

// Durable. A state that is put aside gets a new snapshot, after pauses that grow until it has been
// well for a while.
class Feed : public Feeds::Reader, public std::enable_shared_from_this<Feed> {
public:
    struct Handlers {
        std::function<void()> snapshot;  // the state has just become live
        std::function<void(access::Affected, access::Instant committed)> transaction;
        // Whether what was handled is still being handed over. Nothing is acknowledged or taken
        // until handed_over(). May be missing.
        std::function<bool()> is_busy = {};
        // A transaction that has taken several turns is in the state, or has put it aside. What
        // the transaction concerns came by `transaction` before.
        std::function<void()> applied = [] {};
        // For revoke_after_s there was no fatwald, or no state that may be believed: nothing that
        // was granted may stand.
        std::function<void()> revoke = [] {};
    };

    // Without an account: the operators' stream. Call start() once it is shared.
    Feed(boost::asio::io_context& io, Feeds& feeds, const Settings& settings,
         std::optional<access::Uuid> account, Handlers handlers);
    ~Feed() override;

    void start();
    // Before `at` rows may have changed without being published: the account is put aside until a
    // snapshot of later, which is not tried before the fault of the publication (Feeds::fault), if
    // any, is mended.
    void publication_changed(wire::Lsn at);
    // For good: nothing is kept for it by Postgres any more, and no handler is called.
    void stop();
    void read() override;
    void handed_over();
    // Whether a part of a transaction is in the state: nothing may be asked of that, nor of the
    // channels.
    [[nodiscard]] bool is_applying() const { return applying_ != nullptr; }

    // Whether it has a fatwald, and nothing to do but wait for the account's turn there: after a
    // deploy thousands of accounts ask at once.
    [[nodiscard]] bool waits_for_turn() const {
        return joined_ && !lost_ && !refused_ && !state_.live();
    }

    [[nodiscard]] access::AccountState& state() { return state_; }
    [[nodiscard]] const access::AccountState& state() const { return state_; }

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
    void applied(access::Affected affected, access::Instant committed);
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
    void log(const access::Affected& affected) const;

    boost::asio::io_context& io_;
    Feeds& feeds_;
    const Settings& settings_;
    std::optional<access::Uuid> account_;
    Handlers handlers_;
    access::AccountState state_;
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

}  // namespace fatwal::process
