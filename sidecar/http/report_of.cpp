#include "sidecar/http/report_of.h"

#include <algorithm>
#include <limits>
#include <variant>

#include "sidecar/delivery/confirmation.h"
#include "sidecar/delivery/credentials.h"
#include "sidecar/delivery/epoch.h"
#include "sidecar/delivery/snapshots.h"
#include "sidecar/delivery/tally.h"
#include "sidecar/postgres/slot_session.h"
#include "sidecar/subscribers/control.h"
#include "sidecar/subscribers/durable_store.h"
#include "sidecar/subscribers/handshakes.h"
#include "sidecar/subscribers/inbound.h"
#include "sidecar/subscribers/keyed_connections.h"
#include "sidecar/subscribers/replays.h"
#include "sidecar/subscribers/roster.h"
#include "sidecar/subscribers/zap.h"

namespace fatwal::sidecar {

namespace {

using Time = std::chrono::steady_clock::time_point;

double seconds(std::chrono::nanoseconds duration) {
    return std::chrono::duration<double>(duration).count();
}

service::Readiness readiness_of(const SlotSession& slot) {
    if (slot.waits_for_another()) return {true, "standby", {}};
    const std::string word = slot.text();
    if (!slot.streams())
        return {false, word, slot.why().empty() ? "the first attempt is under way" : slot.why()};
    if (!slot.is_live()) return {false, word, "the server does not answer"};
    const std::string& wal = slot.health().wal_status;
    if (wal == "unreserved" || wal == "lost")
        return {false, word,
                "the slot's WAL is " + wal +
                    ": raise max_slot_wal_keep_size, or free the slot (fatwal holds)"};
    return {true, word, {}};
}

Report::Holds holds_of(const Holds& holds, wire::Lsn published, const Settings& settings,
                       Time now) {
    Report::Holds out;
    wire::Lsn oldest = kNoLsn;
    wire::Lsn oldest_durable = kNoLsn;
    Time since = now;
    Time since_durable = Time::max();
    for (const auto& [key, hold] : holds.all()) {
        oldest = std::min(oldest, hold.from);
        since = std::min(since, hold.since);
        if (std::holds_alternative<DurableKey>(key)) {
            ++out.durable;
            oldest_durable = std::min(oldest_durable, hold.from);
            since_durable = std::min(since_durable, hold.since);
        } else {
            ++(std::holds_alternative<SnapshotHold>(key) ? out.snapshot : out.replay);
        }
    }
    const auto behind = [&](wire::Lsn from) { return published > from ? published - from : 0; };
    out.most_bytes = behind(oldest);
    out.longest_s = seconds(now - since);
    out.seconds_left = out.bytes_left = std::numeric_limits<double>::infinity();
    if (out.durable == 0) return out;
    const auto left = since_durable + std::chrono::seconds(settings.retention_s) - now;
    out.seconds_left = std::max(seconds(left), 0.0);
    out.bytes_left = std::max(
        static_cast<double>(settings.retention_bytes) - static_cast<double>(behind(oldest_durable)),
        0.0);
    return out;
}

void fill_slot(const StatusSources& of, const Measures& measures, Time now, Report& out) {
    out.readiness = readiness_of(of.slot);
    out.state = of.slot.waits_for_another() ? "standby" : of.slot.text();
    const SlotHealth::Slot& slot = of.slot.health();
    out.wal_status = slot.wal_status;
    out.retained_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(slot.retained_bytes, 0));
    if (slot.safe_wal_size && *slot.safe_wal_size >= 0)
        out.safe_bytes = static_cast<std::uint64_t>(*slot.safe_wal_size);
    out.received = of.ledger.received();
    out.published = of.ledger.published();
    out.confirmable = of.ledger.confirmable();
    out.confirmed = of.confirmation.confirmed();
    out.retained_s = seconds(measures.received.behind(out.confirmed, now));
    out.reconnects = of.slot.reconnects();
    out.gaps = measures.gaps;
}

void fill_stream(const StatusSources& of, const Measures& measures, Report& out) {
    out.received_frames = measures.received_frames;
    out.received_bytes = measures.received_bytes;
    out.published_changes = measures.published_changes;
    out.published_frames = of.accounts.frames();
    out.published_bytes = of.publishers.bytes();
    out.resyncs = of.tally.resyncs;
    out.unrouted = of.tally.unrouted;
    out.schemas = of.epoch.schemas.size();
    out.publish_latency = measures.publish_latency;
    out.turns = measures.turns;
}

void fill_subscribers(const StatusSources& of, Time now, Report& out) {
    out.accounts_open = of.accounts.published();
    out.accounts_in_memory = of.accounts.size();
    const Attachments::Counts counts = of.attachments.counts();
    out.live = counts.joined;
    out.joining = of.attachments.size() - counts.joined;
    out.durables = of.accounts.durables.size();
    // Two may be attached by one name.
    out.durables_attached = std::min<std::uint64_t>(counts.durable, out.durables);
    out.durables_dropped = of.durables.dropped();
    out.holds = holds_of(of.ledger.holds, of.ledger.published(), of.settings, now);
    out.retention_bytes = static_cast<std::uint64_t>(of.settings.retention_bytes);
    out.retention_s = static_cast<double>(of.settings.retention_s);
}

void fill_snapshots(const StatusSources& of, Report& out) {
    out.replay_bytes = of.accounts.ring_bytes();
    out.replayed_messages = of.replays.replayed();
    out.rereads = of.replays.rereads();
    out.snapshots_waiting = of.snapshots.waiting();
    out.snapshots_running = of.snapshots.running();
    const std::uint64_t begun = of.snapshots.size();
    out.snapshots_kept = begun - std::min(begun, out.snapshots_waiting + out.snapshots_running);
    out.snapshot_queries = of.snapshots.queries();
    out.snapshot_failures = of.snapshots.failures();
    out.snapshots_fail = !of.snapshots.last_failure().empty();
    out.snapshot_rows = of.snapshots.rows();
    out.snapshot_durations = of.snapshots.durations();
    out.spool_bytes = of.spools.used();
    out.spool_limit_bytes = static_cast<std::uint64_t>(of.settings.spool_bytes);
}

void fill_refusals(const StatusSources& of, const Control& control, Report& out) {
    out.refusals = control.refusals();
    out.cut_subscribers = of.publishers.cuts();
    out.cut_connections = inbound::cut();
    out.refused_descriptors = inbound::refused();
    out.refused_throttled = inbound::throttled();
    out.refused_keys = of.zap == nullptr ? 0 : of.zap->refused();
    out.refused_routing_ids = handshakes::refused();
    out.refused_keyed_places = inbound::refused_keyed();
    out.credential_keys = of.credentials.keys();
    out.keyed_connections = of.keyed_connections.size();
}

}  // namespace

std::shared_ptr<const Report> report_of(const ReportSources& of, bool lists_accounts, Time now) {
    auto out = std::make_shared<Report>();
    out->version = FATWAL_VERSION;
    out->slot_name = of.status.settings.slot;
    out->publication = of.status.settings.publication;
    out->uptime_s = seconds(now - of.status.started);
    fill_slot(of.status, of.measures, now, *out);
    fill_stream(of.status, of.measures, *out);
    fill_subscribers(of.status, now, *out);
    fill_snapshots(of.status, *out);
    fill_refusals(of.status, of.control, *out);
    out->accounts = lists_accounts ? Report::Accounts::Listed : Report::Accounts::NotListed;
    if (lists_accounts)
        out->most_active = of.roster.accounts({wire::ListAccounts::Order::ByBytes, 0});
    return out;
}

}  // namespace fatwal::sidecar
