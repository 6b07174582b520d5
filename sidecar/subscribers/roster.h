// The lists that an operator reads: who holds WAL, who is attached, which accounts there are, what
// the log said. What `fatwal holds`, `fatwal subscribers`, `fatwal accounts` and `fatwal events`
// print.
//
// Each reply is one page of bounded size, so that no list holds the loop for longer than it takes
// to walk what there is of its kind (the worst of 100,000 holds are found in 40 ms). By how much a
// subscriber lags follows from its holds:
//
//     hold of the subscriber, or of its durable name       published
//     -----|---------------------------------------------------|------> LSN
//          `- WAL is kept for it from here on    lag = published - from
//
// Who has no hold has received everything, or what it lacks waits in its connection (`unread`): of
// a subscriber that reads, fatwald does not know more. One thread: fatwald's loop.
#pragma once

#include "fatwal/wire/control.h"
#include "service/log.h"
#include "sidecar/delivery/ledger.h"
#include "sidecar/delivery/snapshots.h"
#include "sidecar/settings.h"
#include "sidecar/subscribers/attachments.h"
#include "sidecar/subscribers/snapshot_requests.h"

namespace fatwal::sidecar {

class Roster {
public:
    // Of one reply. The longest entry has some 400 bytes, nearly all have less than 120.
    static constexpr std::size_t kMost = 512;
    // Lines of the log are longer, up to 1 KiB.
    static constexpr std::size_t kMostLines = 128;

    Roster(const Settings& settings, const Ledger& ledger, const Accounts& accounts,
           const Attachments& attachments, const Snapshots& snapshots,
           const SnapshotRequests& snapshot_requests, service::RecentLines& log)
        : settings_(settings),
          ledger_(ledger),
          accounts_(accounts),
          attachments_(attachments),
          snapshots_(snapshots),
          snapshot_requests_(snapshot_requests),
          log_(log) {}

    [[nodiscard]] wire::HoldList holds(const wire::ListHolds& request, Clock::time_point now) const;
    [[nodiscard]] wire::SubscriberList subscribers(const wire::ListSubscribers& request,
                                                   Clock::time_point now) const;
    [[nodiscard]] wire::AccountList accounts(const wire::ListAccounts& request) const;
    [[nodiscard]] wire::EventList events(const wire::ListEvents& request) const;

private:
    [[nodiscard]] std::uint64_t behind(wire::Lsn from) const;
    [[nodiscard]] wire::SubscriberState state_of(const wire::Nonce& nonce,
                                                 const Attachment& attachment) const;
    [[nodiscard]] std::uint64_t lag_of(const wire::Nonce& nonce,
                                       const Attachment& attachment) const;
    void describe(const AttachmentHold& key, wire::HoldEntry& entry) const;

    const Settings& settings_;
    const Ledger& ledger_;
    const Accounts& accounts_;
    const Attachments& attachments_;
    const Snapshots& snapshots_;
    const SnapshotRequests& snapshot_requests_;
    service::RecentLines& log_;
};

}  // namespace fatwal::sidecar
