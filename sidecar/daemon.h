// fatwald's one thread: the replication stream in, the account sockets out, control requests
// answered. What blocks has threads of its own: connecting, housekeeping, snapshots, reading the
// slot again. Their results arrive as events of the loop.
//
// One turn of the loop, in this order:
//
//     1. begin an attempt to connect, if it is due
//     2. wait for events, until the next thing is due
//     3. results of the threads: a new stream, the keeper's, snapshots, replays
//     4. the stream: up to kMessagesPerTurn messages, each published at once
//     5. handshakes of peers with keys; subscriptions: the join barrier answers markers
//     6. requests: up to kRequestsPerTurn
//     7. what is due: confirmation, heartbeat, the tick of each second, which also leaves a report
//        for the pages that others read (service/watch.h)
//
// The steps may come in any order for what is promised: each of them leaves the ledger's invariants
// true, and a step that comes a turn later finds more, not less. Two orders are kept on purpose. A
// snapshot's result (3) is read before frames are published (4): its cursor lies further back the
// longer it waits, and its waiters get it sooner. Markers (5) and heartbeats (7) come after frames,
// so the number that they name is the newest, and no subscriber asks for what is about to come.
//
// Within a step one order is a matter of correctness: heartbeats before a confirmation, the record
// before the confirmation, an attach's row before its reply. confirmation.h and durable_store.h
// hold those.
//
// Bounds on 4 and 6 keep the stream and the requests from holding each other up; what is left over
// (`more_`) makes the next turn begin without waiting.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <zmq.hpp>

#include "service/log.h"
#include "service/service_manager.h"
#include "sidecar/delivery/confirmation.h"
#include "sidecar/delivery/credentials.h"
#include "sidecar/delivery/epoch.h"
#include "sidecar/delivery/ledger.h"
#include "sidecar/delivery/snapshots.h"
#include "sidecar/delivery/start.h"
#include "sidecar/delivery/tally.h"
#include "sidecar/http/measures.h"
#include "sidecar/postgres/keeper.h"
#include "sidecar/postgres/server_clock.h"
#include "sidecar/postgres/slot_session.h"
#include "sidecar/requests.h"
#include "sidecar/settings.h"
#include "sidecar/signals.h"
#include "sidecar/status.h"
#include "sidecar/subscribers/accounts.h"
#include "sidecar/subscribers/attachments.h"
#include "sidecar/subscribers/control.h"
#include "sidecar/subscribers/durable_store.h"
#include "sidecar/subscribers/keyed_connections.h"
#include "sidecar/subscribers/keyed_data.h"
#include "sidecar/subscribers/peer_log.h"
#include "sidecar/subscribers/publishers.h"
#include "sidecar/subscribers/replays.h"
#include "sidecar/subscribers/run_dir.h"
#include "sidecar/subscribers/snapshot_requests.h"
#include "sidecar/subscribers/zap.h"

namespace fatwal::sidecar {

class Daemon {
public:
    // Binds the control socket; throws a Failure when that fails. `log` has what LIST_EVENTS
    // answers.
    Daemon(const Settings& settings, const RunDir& run_dir, service::RecentLines& log);
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    // Runs until a signal stops it, or something fails for good. Gives the failure, if it was one.
    // `reload` reads the settings again, between two turns of the loop.
    std::optional<Failure> run(const Signals& signals, const std::function<void()>& reload);

private:
    [[nodiscard]] StatusSources status_sources() const;
    KeyedData* open_keyed(const Settings& settings);
    void watch(int fd, std::uint32_t events);
    void watch_stream(bool readable);
    [[nodiscard]] int timeout(Clock::time_point now) const;

    // Connecting. A failure ends the daemon.
    std::optional<Failure> connected();
    void begin_stream(StreamStart& found, Clock::time_point now);
    void begin_epoch(const StreamStart& found, bool gap);
    void lose(const Failure& failure);

    // The stream. A failure ends the daemon.
    std::optional<Failure> read_stream();
    std::optional<Failure> publish(PluginMessage message);
    void keepalive(const Keepalive& keepalive);
    void ask_facts();
    void follow_credentials(const wire::FrameView& frame);
    void end_forbidden();

    // Confirming.
    [[nodiscard]] Confirmation::Facts facts() const;
    void perform(const Confirmation::Step& step);
    [[nodiscard]] Clock::time_point confirm_at() const;
    void confirm() { perform(confirmation_.due(facts())); }
    void end_stream();
    void announce_end();

    // Events of the threads and the sockets.
    void read_keeper();
    void handle(const VisibleSnapshot& visible);
    void handle(const StoreResult& result);
    void handle(const RecordResult& result);
    void handle(const FactsResult& result);
    void handle(const SlotHealth& health);
    void handle(const PublicationsNoted& noted);
    void handle(const KeeperFailure& failed);
    void read_replays(Clock::time_point now);
    bool answer_requests();

    // What is due.
    void do_what_is_due(Clock::time_point now);
    void report_state(Clock::time_point now);
    void tick(Clock::time_point now);
    void tick_streaming(Clock::time_point now);
    void report(Clock::time_point now);
    void log_notices(Clock::time_point now);
    void log_refused_connections(Clock::time_point now);

    const Settings& settings_;
    const Clock::time_point started_;
    PeerLog peer_log_;
    Descriptors descriptors_;
    zmq::context_t context_;
    Credentials credentials_;
    // For peers with keys, where they are taken. The handler is there before the sockets.
    KeyedConnections keyed_connections_;
    std::optional<Zap> zap_;
    std::optional<KeyedData> keyed_data_;
    Epoch epoch_;
    Ledger ledger_;
    Confirmation confirmation_;
    Publishers publishers_;
    Accounts accounts_;
    Attachments attachments_;
    Control control_;
    SpoolBudget spools_;
    Replays replays_;
    Snapshots snapshots_;
    Notices notices_;
    SlotSession slot_;
    Keeper keeper_;
    DurableStore durables_;
    SnapshotRequests snapshot_requests_;
    Roster roster_;
    Requests requests_;
    Tally tally_;
    service::ServiceManager service_manager_;
    std::string why_waiting_;  // for the service manager
    ServerClock server_clock_;
    int epoll_;
    bool reread_credentials_ = false;  // a row of them could not be read
    bool more_ = false;                // something was left unread for the next turn
    std::uint64_t facts_ticket_ = 0;   // the last that the keeper was given
    int facts_refused_ = 0;            // times in a row that the answer would not do
    bool facts_asked_ = false;         // it reads what the stream waits for
    Clock::time_point next_tick_;
    Clock::time_point next_heartbeat_;
    Clock::time_point last_confirm_;
    Clock::time_point next_confirm_;
    Clock::time_point next_health_;
    Clock::time_point next_publications_;
    Clock::time_point next_flush_;
    std::uint64_t refused_connections_ = 0;  // as last logged
    Clock::time_point refused_logged_;
    Measures measures_;
    std::optional<service::Watch> watch_;  // where it is seen from outside
};

}  // namespace fatwal::sidecar
