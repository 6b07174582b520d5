// fatwald's one thread: the replication stream in, the account sockets out, control requests
// answered. What blocks has threads of its own: connecting, housekeeping, snapshots, reading the
// slot again.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "sidecar/accounts.h"
#include "sidecar/backoff.h"
#include "sidecar/connection.h"
#include "sidecar/control.h"
#include "sidecar/keeper.h"
#include "sidecar/ledger.h"
#include "sidecar/replays.h"
#include "sidecar/run_dir.h"
#include "sidecar/schemas.h"
#include "sidecar/server_clock.h"
#include "sidecar/settings.h"
#include "sidecar/silence.h"
#include "sidecar/snapshot_waiters.h"
#include "sidecar/snapshots.h"
#include "sidecar/stream.h"
#include "sidecar/tally.h"

namespace fatwal::sidecar {

class Daemon {
public:
    // Binds the control socket; throws a Failure when that fails.
    Daemon(const Settings& settings, const RunDir& run_dir);
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    // Runs until `signals` (StopSignals::fd()) is readable, or something fails for good. Gives the
    // failure, if it was one.
    std::optional<Failure> run(int signals);

private:
    void watch(int fd, std::uint32_t events);

    // Connecting.
    std::optional<Failure> connected();
    void begin_epoch(const Streaming& streaming);
    void lost(const Failure& failure);

    // The stream. Each gives a failure that ends the daemon.
    std::optional<Failure> read_stream();
    std::optional<Failure> take(Received received);
    void take(const Keepalive& keepalive);
    void confirm();
    void send_confirmation();
    void end_stream();
    void announce_end();
    [[nodiscard]] bool streams() const { return stream_ && !stalled_; }
    void check_silence(Clock::time_point now);

    // Control. Nothing: the reply comes later, or never.
    bool answer_requests();
    std::optional<Reply> answer(const Request& request, Clock::time_point now);
    std::optional<Reply> attach(const wire::Attach& request, const Requester& requester,
                                Clock::time_point now);
    std::optional<Reply> snapshot(wire::SnapshotRequest& request, const Requester& requester,
                                  Clock::time_point now);
    std::optional<Reply> describe(const wire::Describe& request, const Requester& requester) const;
    std::optional<Reply> durables(const Request& request);
    void detach(const wire::Detach& request, const Requester& requester);
    // Their durable subscriber was dropped: they are to attach again.
    void notify_dropped(const std::vector<Requester>& attached);
    void warn_of_peer(const std::string& line);
    void look_at_snapshots(Clock::time_point now);
    void look_at_replays(Clock::time_point now);
    wire::StatusReply status() const;

    // Housekeeping.
    void look_at_keeper();
    void look_at(const SlotHealth& health);
    void look_at(const Stored& stored);
    void look_at(const KeeperFailed& failed);
    void store_durables();
    void give_up_those_beyond_retention(Clock::time_point now);
    void log_notices(Clock::time_point now);
    void tick(Clock::time_point now);
    [[nodiscard]] Replays::Standing standing() const;
    // Every transaction of this account that commits here or later can be replayed.
    [[nodiscard]] wire::Lsn replayable_from(wire::AccountView account) const;

    const Settings& settings_;
    std::uint64_t epoch_ = 0;
    Clock::time_point started_;
    Descriptors descriptors_;
    zmq::context_t context_;
    Ledger ledger_;
    Accounts accounts_;
    Control control_;
    SpoolBudget spools_;
    Replays replays_;
    Snapshots snapshots_;
    Notices notices_;
    Connector connector_;
    Keeper keeper_;
    Backoff backoff_;
    Schemas schemas_;
    Tally tally_;
    ServerClock server_clock_;
    wire::Lsn resync_ = 0;  // where the newest transaction with a resync record commits
    std::optional<Stream> stream_;
    int stream_fd_ = -1;
    Timelines timelines_;
    Silence silence_;
    bool stalled_ = false;  // the stream is there, but silent for too long
    wire::Lsn server_end_ = 0;
    int epoll_;
    bool connecting_ = false;
    bool more_ = false;  // something was left unread for the next turn
    std::optional<Clock::time_point> connect_at_;
    Clock::time_point lost_at_;
    Clock::time_point next_tick_;
    Clock::time_point next_heartbeat_;
    Clock::time_point next_confirm_;
    Clock::time_point next_health_;
    wire::Lsn confirmed_ = 0;
    wire::Lsn recorded_ = 0;   // is written down as confirmed, or about to be
    wire::Lsn recording_ = 0;  // is being written down; 0: nothing

    SnapshotWaiters waiting_snapshots_;
    // Where the parts of each snapshot begin that were sent: no message need begin elsewhere.
    std::map<Snapshots::Id, std::set<std::uint64_t>> part_offsets_;
    struct WaitingAttach {
        Requester requester;
        wire::Attached attached;
        DurableKey durable;
    };
    std::multimap<std::uint64_t, WaitingAttach>
        waiting_attaches_;                                // by the ticket of their writing down
    std::map<std::uint64_t, Durables::Changes> storing_;  // by ticket
    std::uint64_t last_ticket_ = 0;
    bool looking_ = false;  // the keeper was asked what is seen
    bool asked_ = false;    // the server waits for a confirmation
    std::optional<Clock::time_point> server_goes_down_;
    std::string wal_status_;
    std::int64_t safe_wal_size_ = -1;
    std::int64_t retained_bytes_ = 0;
    std::uint64_t reconnects_ = 0;
    std::uint64_t given_up_ = 0;
    std::uint64_t refused_connections_ = 0;  // as last logged
    Clock::time_point refused_said_;
};

}  // namespace fatwal::sidecar
