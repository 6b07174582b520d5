// The accounts of the stream: each one's numbered log, its durable subscribers, and where it is
// published while somebody is attached.
//
// How a frame passes: the plugin's frame is of one account, or for everyone. The account's log
// gives it the next number and keeps it for replay (ring.h); if the account is published it goes
// out with that number, behind the schemas that it needs and that were not published there yet. So
// the numbers of an account are dense, whoever listens, and a subscriber sees each loss by them.
//
// An account is found by its key in a hash table and lives while somebody is attached, something is
// kept, or a durable subscriber waits for it. Millions of accounts may have been published once, so
// one without any of these is forgotten. What must survive it is its floor: every transaction that
// commits at the floor or later is kept. Floors of forgotten accounts are kept as a maximum by hash
// (`dropped_`), 512 KiB for however many; a floor that is too great costs a replay from the slot,
// and one that is too small would be a loss:
//
//     begin of the epoch, dropped_[hash], what came for everyone + 1   <=   floor of a new log
//
// All of it belongs to fatwald's loop.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "sidecar/account_map.h"
#include "sidecar/delivery/durables.h"
#include "sidecar/delivery/ledger.h"
#include "sidecar/delivery/ring.h"
#include "sidecar/delivery/schemas.h"
#include "sidecar/settings.h"
#include "sidecar/subscribers/publishers.h"

namespace fatwal::sidecar {

using Clock = std::chrono::steady_clock;

struct Account {
    Account(wire::AccountKey name, Ring& ring, wire::Lsn floor, Durables& all)
        : key(std::move(name)), log(ring, floor), durable(all, key) {}

    wire::AccountKey key;
    AccountLog log;
    std::set<wire::SchemaId> described;  // that were published there
    Durables::Group durable;
    Outlet outlet;             // closed: nobody is attached
    std::size_t attached = 0;  // subscribers
    std::uint64_t frames = 0;  // published, since it is here
    std::uint64_t bytes = 0;
};

class Accounts {
public:
    Accounts(const Settings& settings, Publishers& publishers, Holds& holds);
    ~Accounts();
    Accounts(const Accounts&) = delete;
    Accounts& operator=(const Accounts&) = delete;

    // An epoch begins at `position`: all outlets are closed, all logs are empty. `durable` are the
    // subscribers to wait for.
    void begin(wire::Lsn position, const std::vector<DurableSubscriber>& durable);

    [[nodiscard]] Account& find_or_add(wire::AccountView key);
    [[nodiscard]] const Account* find(const wire::AccountKey& key) const;
    // The log of this account holds every transaction that commits at this position or later.
    [[nodiscard]] wire::Lsn floor_of(wire::AccountView account) const;
    // Whether WAL is held for it, as far back as the table says. If not, another fatwald has
    // promised it.
    [[nodiscard]] bool holds_for(const DurableSubscriber& subscriber) const;

    // Opens where the account is published, if it is closed. Throws when that fails.
    void open(Account& account);
    // Closes all outlets, as the stream is interrupted; the logs stay.
    void close_outlets();

    // Publishes the frame to its account, or for everyone to all.
    void publish(const wire::FrameView& frame, zmq::message_t payload, const Schemas& schemas,
                 Clock::time_point now);
    // Publishes the heartbeats: how far each account's stream is.
    void heartbeat();
    // Closes the outlets that nobody is attached to, and forgets the accounts that nobody needs.
    void tick();

    Durables durables;

    // All that are in memory, in no order.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (const auto& [key, account] : accounts_) visit(*account);
    }

    [[nodiscard]] std::size_t size() const { return accounts_.size(); }
    [[nodiscard]] std::size_t published() const { return published_; }
    [[nodiscard]] std::size_t ring_bytes() const { return ring_.bytes(); }
    [[nodiscard]] std::uint64_t frames() const { return frames_; }

private:
    [[nodiscard]] std::size_t bucket_of(wire::AccountView key) const {
        return HashOfAccount{}(key) % dropped_.size();
    }
    [[nodiscard]] wire::Lsn floor_of_new(wire::AccountView key) const;
    void close(Account& account);
    void publish(Account& account, const wire::FrameView& frame, zmq::message_t payload,
                 const Schemas& schemas, Clock::time_point now);
    void send_numbered(Account& account, zmq::message_t payload, wire::Lsn commit_lsn);

    Publishers& publishers_;
    wire::Lsn begin_ = 0;
    wire::Lsn newest_for_everyone_ = 0;
    std::vector<wire::Lsn> dropped_;
    Ring ring_;
    AccountMap<std::unique_ptr<Account>> accounts_;
    std::size_t published_ = 0;  // accounts whose outlet is open
    std::uint64_t frames_ = 0;
};

}  // namespace fatwal::sidecar
