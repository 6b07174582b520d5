// Reads the log of some accounts again, from a position that Postgres still holds up to what is
// published when it begins: by a temporary copy of the slot on a connection of its own, so the
// stream is not disturbed. Decoding costs the same for however many accounts, so one reading serves
// as many as need one. A thread reads, into a file for each, as fast as Postgres gives it; so a
// slow reader keeps nothing busy, and several read the same.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fatwal/wire/control.h"
#include "service/helper_thread.h"
#include "sidecar/account_map.h"
#include "sidecar/delivery/spool.h"
#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

class Reread {
public:
    // `event` is set when there is more, or all.
    Reread(const Settings& settings, const std::set<wire::AccountKey>& accounts, wire::Lsn from,
           wire::Lsn until, const service::Event& event, SpoolBudget& budget);
    Reread(const Reread&) = delete;
    Reread& operator=(const Reread&) = delete;

    struct Progress {
        bool ended = false;
        std::optional<Failure> failure;
    };
    [[nodiscard]] Progress progress() const;
    // The messages of one of the accounts: schemas, and the frames from `from` on, whole
    // transactions in commit order.
    [[nodiscard]] const Spool& spool(const wire::AccountKey& account) const {
        return *spools_.at(account);
    }
    // Every transaction of the accounts that commits before it is in the files, once it has ended.
    [[nodiscard]] wire::Lsn until() const { return until_; }

private:
    void read_to_end(const service::Stop& stop);
    void read(const service::Stop& stop);
    void append(wire::Bytes message);
    void append_to_all(wire::Bytes message);
    void count(std::uint64_t bytes);

    const Settings& settings_;
    wire::Lsn from_;
    wire::Lsn until_;
    const service::Event& event_;
    const SpoolBudget& budget_;
    AccountMap<std::unique_ptr<Spool>> spools_;
    wire::Lsn done_;                       // the thread's, as the next
    std::uint64_t written_ = 0;            // bytes
    std::uint64_t transaction_bytes_ = 0;  // of them, since the last end of a transaction
    mutable std::mutex mutex_;
    Progress progress_;
    bool begun_ = false;  // the thread's
    service::HelperThread thread_;
};

}  // namespace fatwal::sidecar
