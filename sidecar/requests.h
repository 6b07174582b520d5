// What fatwald answers on the control socket: one visit over the messages of the protocol, which is
// a function for each request. A message that has none does not compile.
//
// A request counts only on the connection that it came on (control_request.h), so each function
// begins with whether that connection may ask: DESCRIBE, REPLAY, SNAPSHOT and ACKNOWLEDGE for whom
// it attached; LIST and FORGET of durable subscribers if it reads the operators' stream. PING is
// for everybody.
//
// Who may attach, the credentials say (Credentials::may_follow, the one rule), and a right that is
// revoked ends the attachment, so what hangs on it needs no rule of its own. STATUS, CONFIRM and
// the lists of the roster are for operators. A caller without a key came through a socket file that
// is for fatwald's owner and group, and may all of it.
//
// Some replies come later: those of replays that read the slot again (replays.h), of snapshots that
// are not read yet (snapshot_requests.h), and of a new durable subscriber's ATTACH
// (durable_store.h). ACKNOWLEDGE has no reply unless it is refused. One thread: fatwald's loop.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "sidecar/delivery/confirmation.h"
#include "sidecar/delivery/credentials.h"
#include "sidecar/delivery/epoch.h"
#include "sidecar/delivery/ledger.h"
#include "sidecar/postgres/slot_session.h"
#include "sidecar/subscribers/attachments.h"
#include "sidecar/subscribers/control.h"
#include "sidecar/subscribers/durable_store.h"
#include "sidecar/subscribers/peer_log.h"
#include "sidecar/subscribers/replays.h"
#include "sidecar/subscribers/roster.h"
#include "sidecar/subscribers/snapshot_requests.h"

namespace fatwal::sidecar {

// The refusal of what the caller is not granted, with the statement that grants it. `account`: that
// of the stream; the operators' for what operators may.
[[nodiscard]] Reply forbidden(const Caller& caller, const wire::AccountKey& account);

class Requests {
public:
    // Without a stream for longer no subscriber is attached, and those that are attached are sent
    // away: another fatwald may have the slot by now.
    static constexpr std::chrono::seconds kStreamGrace{5};

    // What answers rest on. All of it outlives this.
    struct Sources {
        const SlotSession& slot;
        const Epoch& epoch;
        const Ledger& ledger;
        const Confirmation& confirmation;
        const Credentials& credentials;
        Accounts& accounts;
        Attachments& attachments;
        DurableStore& durables;
        Replays& replays;
        SnapshotRequests& snapshots;
        PeerLog& log;
        std::function<void()> confirm;  // to Postgres, now
        std::function<wire::StatusReply()> status;
        const Roster& roster;
        std::function<wire::Microseconds()> wall_time;  // since 2000-01-01
    };
    explicit Requests(Sources sources) : of_(std::move(sources)) {}

    // Nothing: the reply comes later, or never.
    [[nodiscard]] std::optional<Reply> answer(const Request& request, Clock::time_point now);

private:
    class Visit;
    Sources of_;
};

}  // namespace fatwal::sidecar
