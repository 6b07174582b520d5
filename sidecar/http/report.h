// What fatwald's loop leaves for /metrics, once a second: plain numbers. docs/operations.md has a
// table of the metrics, and test/integration/test_http.py holds it to what a scrape gives.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "fatwal/wire/control.h"
#include "service/metrics_text.h"
#include "service/watch.h"

namespace fatwal::sidecar {

struct Report : service::Report {
    void write(service::MetricsText& text) const override;
    void write_accounts(service::MetricsText& text, std::size_t top) const override;

    std::string version;
    std::string slot_name;
    std::string publication;
    double uptime_s = 0;
    std::string state;  // connecting, standby, streaming or stalled

    // The slot.
    std::string wal_status;  // empty: not known yet
    std::uint64_t retained_bytes = 0;
    double retained_s = 0;
    std::optional<std::uint64_t> safe_bytes;  // nothing: without bound
    wire::Lsn received = 0;
    wire::Lsn published = 0;
    wire::Lsn confirmable = 0;
    wire::Lsn confirmed = 0;
    std::uint64_t reconnects = 0;
    std::uint64_t gaps = 0;

    // The stream.
    std::uint64_t received_frames = 0;
    std::uint64_t received_bytes = 0;
    std::uint64_t published_changes = 0;
    std::uint64_t published_frames = 0;
    std::uint64_t published_bytes = 0;
    std::uint64_t resyncs = 0;
    std::uint64_t unrouted = 0;
    std::uint64_t schemas = 0;
    service::Histogram publish_latency{{}};

    // Subscribers, and what is kept for them.
    std::uint64_t accounts_open = 0;
    std::uint64_t accounts_in_memory = 0;
    std::uint64_t joining = 0;
    std::uint64_t live = 0;
    std::uint64_t durables = 0;
    std::uint64_t durables_attached = 0;
    std::uint64_t durables_dropped = 0;
    struct Holds {
        std::uint64_t durable = 0;
        std::uint64_t replay = 0;  // and readers of snapshots
        std::uint64_t snapshot = 0;
        std::uint64_t most_bytes = 0;
        double longest_s = 0;
        double seconds_left = 0;  // of the durable one that is dropped next; infinite: none is
        double bytes_left = 0;
    };
    Holds holds;
    std::uint64_t retention_bytes = 0;
    double retention_s = 0;

    // Replays and snapshots.
    std::uint64_t replay_bytes = 0;
    std::uint64_t replayed_messages = 0;
    std::uint64_t rereads = 0;
    std::uint64_t snapshots_waiting = 0;
    std::uint64_t snapshots_running = 0;
    std::uint64_t snapshots_kept = 0;
    std::uint64_t snapshot_queries = 0;
    std::uint64_t snapshot_failures = 0;
    bool snapshots_fail = false;  // the last one did
    std::uint64_t snapshot_rows = 0;
    service::Histogram snapshot_durations{{}};
    std::uint64_t spool_bytes = 0;
    std::uint64_t spool_limit_bytes = 0;

    // Peers that are refused or cut.
    std::map<wire::ErrorCode, std::uint64_t> refusals;
    std::uint64_t cut_subscribers = 0;
    std::uint64_t cut_connections = 0;
    std::uint64_t refused_descriptors = 0;
    std::uint64_t refused_throttled = 0;
    std::uint64_t refused_keys = 0;
    std::uint64_t refused_routing_ids = 0;
    std::uint64_t refused_keyed_places = 0;
    std::uint64_t credential_keys = 0;
    std::uint64_t keyed_connections = 0;

    service::TurnTimes turns;
    wire::AccountList most_active;
};

}  // namespace fatwal::sidecar
