#include "sidecar/status.h"

#include <spdlog/fmt/fmt.h>

#include "fatwal/wire/text_sink.h"
#include "sidecar/delivery/confirmation.h"
#include "sidecar/delivery/credentials.h"
#include "sidecar/delivery/epoch.h"
#include "sidecar/delivery/snapshots.h"
#include "sidecar/delivery/tally.h"
#include "sidecar/http/measures.h"
#include "sidecar/postgres/slot_session.h"
#include "sidecar/subscribers/durable_store.h"
#include "sidecar/subscribers/handshakes.h"
#include "sidecar/subscribers/inbound.h"
#include "sidecar/subscribers/keyed_connections.h"
#include "sidecar/subscribers/replays.h"
#include "sidecar/subscribers/zap.h"

namespace fatwal::sidecar {

namespace {

// The buckets that have any, as their upper bound in seconds and how many, such as
// "0.0005=12 0.001=3 inf=1".
std::string text_of(const service::Histogram& histogram) {
    std::string out;
    for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
        if (histogram.counts()[i] == 0) continue;
        if (!out.empty()) out += ' ';
        out += i < histogram.bounds().size() ? fmt::format("{}", histogram.bounds()[i]) : "inf";
        out += '=' + std::to_string(histogram.counts()[i]);
    }
    return out;
}

}  // namespace

wire::StatusReply status_of(const StatusSources& of) {
    const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(
                            std::chrono::steady_clock::now() - of.started)
                            .count();
    const auto clock = std::chrono::duration_cast<std::chrono::milliseconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
    const SlotHealth::Slot& slot = of.slot.health();
    return {{{"version", FATWAL_VERSION},
             {"state", of.slot.text()},
             {"state_reason", of.slot.streams() ? "" : of.slot.why()},
             {"slot", of.settings.slot},
             {"publication", of.settings.publication},
             {"plugin", of.settings.plugin_name()},
             {"retention_bytes", std::to_string(of.settings.retention_bytes)},
             {"retention_seconds", std::to_string(of.settings.retention_s)},
             {"clock_unix_ms", std::to_string(clock)},
             {"epoch", std::to_string(of.epoch.number)},
             {"received_lsn", wire::lsn_text(of.ledger.received())},
             {"published_lsn", wire::lsn_text(of.ledger.published())},
             {"confirmable_lsn", wire::lsn_text(of.ledger.confirmable())},
             {"confirmed_lsn", wire::lsn_text(of.confirmation.confirmed())},
             {"wal_status", slot.wal_status},
             {"safe_wal_bytes", std::to_string(slot.safe_wal_size.value_or(-1))},
             {"retained_wal_bytes", std::to_string(slot.retained_bytes)},
             {"accounts", std::to_string(of.accounts.published())},
             {"subscribers", std::to_string(of.attachments.size())},
             {"durable_subscribers", std::to_string(of.accounts.durables.size())},
             {"holds", std::to_string(of.ledger.holds.size())},
             {"given_up", std::to_string(of.durables.dropped())},
             {"schemas", std::to_string(of.epoch.schemas.size())},
             {"received_frames", std::to_string(of.measures.received_frames)},
             {"received_bytes", std::to_string(of.measures.received_bytes)},
             {"published_changes", std::to_string(of.measures.published_changes)},
             {"publish_latency", text_of(of.measures.publish_latency)},
             {"published_frames", std::to_string(of.accounts.frames())},
             {"published_bytes", std::to_string(of.publishers.bytes())},
             {"resyncs_sent", std::to_string(of.tally.resyncs)},
             {"unrouted", std::to_string(of.tally.unrouted)},
             {"replay_bytes", std::to_string(of.accounts.ring_bytes())},
             {"replayed_messages", std::to_string(of.replays.replayed())},
             {"rereads", std::to_string(of.replays.rereads())},
             {"snapshot_queries", std::to_string(of.snapshots.queries())},
             {"snapshots", std::to_string(of.snapshots.size())},
             {"snapshots_waiting", std::to_string(of.snapshots.waiting())},
             {"snapshot_failures", std::to_string(of.snapshots.failures())},
             {"snapshot_failure", of.snapshots.last_failure()},
             {"spool_bytes", std::to_string(of.spools.used())},
             {"cut_subscribers", std::to_string(of.publishers.cuts())},
             {"cut_connections", std::to_string(inbound::cut())},
             {"refused_connections", std::to_string(inbound::refused())},
             {"credential_keys", std::to_string(of.credentials.keys())},
             {"keyed_connections", std::to_string(of.keyed_connections.size())},
             {"refused_keys", std::to_string(of.zap == nullptr ? 0 : of.zap->refused())},
             {"refused_routing_ids", std::to_string(handshakes::refused())},
             {"refused_keyed_connections", std::to_string(inbound::refused_keyed())},
             {"throttled_connections", std::to_string(inbound::throttled())},
             {"reconnects", std::to_string(of.slot.reconnects())},
             {"descriptors_used", std::to_string(of.descriptors.used())},
             {"descriptors_limit", std::to_string(of.descriptors.limit())},
             {"uptime_seconds", std::to_string(uptime)}}};
}

}  // namespace fatwal::sidecar
