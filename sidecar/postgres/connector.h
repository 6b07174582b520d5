// One attempt to stream the slot, in a thread of its own, as each of its steps may wait:
//
//     connect ─► preflight ─► the slot is free ─► connect for replication ─► make the slot, if it
//     is missing ─► START_REPLICATION ─► read where it stands, and who waits for it
//
// The order matters at the end: only when the stream has begun is the slot this process's, so its
// position and the table of durable subscribers are read after that. Nobody else can move it any
// more. They are read on an ordinary connection, which stays open from the checks on.
//
// Two waits have no deadline: another fatwald has the slot, and the server makes a slot only when
// all transactions of then have ended. Both say whom they wait for, and end when fatwald stops.
//
// The loop calls start() and outcome(); the thread hands the outcome over with the event.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "service/event.h"
#include "service/helper_thread.h"
#include "sidecar/credential.h"
#include "sidecar/durable_subscriber.h"
#include "sidecar/postgres/connection.h"
#include "sidecar/postgres/notices.h"
#include "sidecar/postgres/timelines.h"
#include "sidecar/settings.h"

namespace fatwal::sidecar {

struct StreamStart {
    Connection connection;                        // in COPY BOTH, not blocking
    std::chrono::milliseconds sender_timeout{0};  // wal_sender_timeout; 0: none
    Timelines timelines;       // the history of the server, and those that lead to it
    wire::Lsn begin = 0;       // the slot's confirmed position, where the stream begins
    wire::Lsn server_end = 0;  // the end of the server's log after the stream has begun
    bool slot_created = false;
    std::vector<DurableSubscriber> subscribers;  // of the slot
    std::vector<std::string> skipped;            // rows of the table that name no subscriber: why
    wire::Lsn recorded = 0;        // how far it was written down as confirmed; 0: never
    CredentialTables credentials;  // where subscribers with keys are taken
};
using Outcome = std::variant<StreamStart, Failure>;

class Connector {
public:
    // `notices` gets those of the replication connection, also when that is handed over: it
    // outlives the connection.
    Connector(const Settings& settings, Notices& notices);
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;

    // Begins one attempt; there is none under way. `streamed_before`: the slot was streamed in this
    // run, so it is lost if it is missing.
    void start(bool streamed_before);
    // Readable when the attempt has ended.
    [[nodiscard]] int fd() const { return event_.fd(); }
    // Its outcome, once.
    Outcome outcome();
    // Whether the attempt waits until another fatwald leaves the slot. Any thread.
    [[nodiscard]] bool waits_for_another() const { return waits_for_another_; }

private:
    const Settings& settings_;
    Notices& notices_;
    service::Event event_;
    std::atomic<bool> waits_for_another_{false};
    std::optional<Outcome> outcome_;  // handed over by the thread's end
    service::HelperThread thread_;
};

}  // namespace fatwal::sidecar
