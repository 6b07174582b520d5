#include "sidecar/http/report.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace fatwal::sidecar {

namespace {

using service::MetricsText;
using Type = MetricsText::Type;

// As docs/control-protocol.md names them.
constexpr std::array<std::pair<wire::ErrorCode, const char*>, 18> kCauses = {
    {{wire::ErrorCode::Version, "version"},
     {wire::ErrorCode::Malformed, "malformed"},
     {wire::ErrorCode::UnknownType, "unknown_type"},
     {wire::ErrorCode::BadAccount, "bad_account"},
     {wire::ErrorCode::TooManyAttachments, "too_many_attachments"},
     {wire::ErrorCode::NotStreaming, "not_streaming"},
     {wire::ErrorCode::ShuttingDown, "shutting_down"},
     {wire::ErrorCode::Internal, "internal"},
     {wire::ErrorCode::TooOld, "too_old"},
     {wire::ErrorCode::AskByCursor, "ask_by_cursor"},
     {wire::ErrorCode::SnapshotGone, "snapshot_gone"},
     {wire::ErrorCode::SnapshotFailed, "snapshot_failed"},
     {wire::ErrorCode::NotAttached, "not_attached"},
     {wire::ErrorCode::BadName, "bad_name"},
     {wire::ErrorCode::TooManyDurables, "too_many_durables"},
     {wire::ErrorCode::BadPosition, "bad_position"},
     {wire::ErrorCode::Dropped, "dropped"},
     {wire::ErrorCode::Forbidden, "forbidden"}}};

void write_process(const Report& of, MetricsText& text) {
    text.family("fatwal_build_info", Type::Gauge, "1; its labels say what runs");
    text.sample({{"version", of.version}, {"slot", of.slot_name}, {"publication", of.publication}},
                std::uint64_t{1});
    text.gauge("fatwal_uptime_seconds", "Since the process began", of.uptime_s);
    text.one_of("fatwal_state", "1 for the state of the process", "state",
                {"connecting", "standby", "streaming", "stalled"}, of.state);
    text.gauge("fatwal_ready", "1 if /readyz answers 200", std::uint64_t{of.readiness.ready});
    text.histogram("fatwal_loop_turn_seconds",
                   "How long turns of the loop take, without what they wait for",
                   of.turns.histogram());
    text.gauge("fatwal_loop_turn_longest_seconds", "The longest turn of the last minute or two",
               of.turns.longest());
}

void write_slot(const Report& of, MetricsText& text) {
    text.one_of("fatwal_slot_wal_status", "1 for the wal_status of the slot", "status",
                {"reserved", "extended", "unreserved", "lost", "unknown"},
                of.wal_status.empty() ? std::string_view("unknown") : of.wal_status);
    text.gauge("fatwal_slot_retained_bytes", "WAL that the slot keeps", of.retained_bytes);
    text.gauge("fatwal_slot_retained_seconds",
               "Since the process received the oldest WAL that is not confirmed", of.retained_s);
    text.gauge("fatwal_slot_safe_bytes",
               "WAL that can be written before the slot is lost; infinite without a bound",
               of.safe_bytes ? static_cast<double>(*of.safe_bytes)
                             : std::numeric_limits<double>::infinity());
    text.gauge("fatwal_received_lsn_bytes", "How far the server has sent the WAL", of.received);
    text.gauge("fatwal_published_lsn_bytes", "All that commits before is published", of.published);
    text.gauge("fatwal_confirmable_lsn_bytes", "Nobody needs the WAL before", of.confirmable);
    text.gauge("fatwal_confirmed_lsn_bytes", "Postgres need not keep the WAL before", of.confirmed);
    text.counter("fatwal_reconnects_total", "Streams that were lost", of.reconnects);
}

void write_stream(const Report& of, MetricsText& text) {
    text.counter("fatwal_received_frames_total", "Frames that came from the slot",
                 of.received_frames);
    text.counter("fatwal_received_bytes_total", "Bytes that came from the slot", of.received_bytes);
    text.counter("fatwal_published_changes_total", "Changes and messages, of all accounts",
                 of.published_changes);
    text.counter("fatwal_published_frames_total", "Frames that were numbered for an account",
                 of.published_frames);
    text.counter("fatwal_published_bytes_total", "Bytes that were handed to accounts' sockets",
                 of.published_bytes);
    text.histogram(
        "fatwal_publish_latency_seconds",
        "From a COMMIT to its last frame in the accounts' sockets, by the server's clock",
        of.publish_latency);
    text.family("fatwal_resyncs_total", Type::Counter,
                "What makes subscribers take snapshots: resync records, and gaps of the slot");
    text.sample({{"cause", "record"}}, of.resyncs);
    text.sample({{"cause", "gap"}}, of.gaps);
    text.counter("fatwal_unrouted_changes_total", "Changes whose account the WAL does not name",
                 of.unrouted);
    text.gauge("fatwal_schemas", "Versions of tables that are known", of.schemas);
}

void write_subscribers(const Report& of, MetricsText& text) {
    text.gauge("fatwal_accounts", "Accounts whose socket is open", of.accounts_open);
    text.gauge("fatwal_accounts_in_memory",
               "Accounts with subscribers, durable names or messages kept for replay",
               of.accounts_in_memory);
    text.family("fatwal_subscribers", Type::Gauge, "Subscribers attached");
    text.sample({{"state", "joining"}}, of.joining);
    text.sample({{"state", "live"}}, of.live);
    text.family("fatwal_durable_subscribers", Type::Gauge, "Names for which WAL may be kept");
    text.sample({{"attached", "yes"}}, of.durables_attached);
    text.sample({{"attached", "no"}}, of.durables - of.durables_attached);
    text.counter("fatwal_durables_dropped_total",
                 "Durable subscribers that were dropped after retention", of.durables_dropped);
    text.family("fatwal_holds", Type::Gauge, "Who keeps WAL, and so the slot, back");
    text.sample({{"kind", "durable"}}, of.holds.durable);
    text.sample({{"kind", "replay"}}, of.holds.replay);
    text.sample({{"kind", "snapshot"}}, of.holds.snapshot);
    text.gauge("fatwal_hold_worst_bytes", "WAL behind the hold that keeps most",
               of.holds.most_bytes);
    text.gauge("fatwal_hold_longest_seconds", "How long the oldest hold has not moved",
               of.holds.longest_s);
    text.gauge("fatwal_durable_drop_seconds",
               "Until the next durable subscriber is dropped, if it does not move; infinite: none",
               of.holds.seconds_left);
    text.gauge("fatwal_durable_drop_bytes",
               "WAL until the next durable subscriber is dropped; infinite: none",
               of.holds.bytes_left);
    text.gauge("fatwal_retention_bytes", "The setting retention_bytes", of.retention_bytes);
    text.gauge("fatwal_retention_seconds", "The setting retention_s", of.retention_s);
}

void write_snapshots(const Report& of, MetricsText& text) {
    text.gauge("fatwal_replay_memory_bytes", "Published messages in memory, for replay",
               of.replay_bytes);
    text.counter("fatwal_replayed_messages_total", "Messages that were sent again",
                 of.replayed_messages);
    text.counter("fatwal_rereads_total", "Readings of the slot again", of.rereads);
    text.family("fatwal_snapshots", Type::Gauge, "Snapshots");
    text.sample({{"state", "waiting"}}, of.snapshots_waiting);
    text.sample({{"state", "running"}}, of.snapshots_running);
    text.sample({{"state", "kept"}}, of.snapshots_kept);
    text.counter("fatwal_snapshot_queries_total", "Snapshots that were begun", of.snapshot_queries);
    text.counter("fatwal_snapshot_failures_total", "Snapshots that failed", of.snapshot_failures);
    text.gauge("fatwal_snapshot_failing", "1 while an account's last snapshot has failed",
               std::uint64_t{of.snapshots_fail});
    text.counter("fatwal_snapshot_rows_total", "Rows in the snapshots that ended well",
                 of.snapshot_rows);
    text.histogram("fatwal_snapshot_seconds", "How long the snapshots that ended well took",
                   of.snapshot_durations);
    text.gauge("fatwal_spool_bytes", "What waits for its readers", of.spool_bytes);
    text.gauge("fatwal_spool_limit_bytes", "The setting spool_bytes", of.spool_limit_bytes);
}

void write_refusals(const Report& of, MetricsText& text) {
    text.family("fatwal_refused_requests_total", Type::Counter,
                "Requests that were answered with an error");
    for (const auto& [code, cause] : kCauses) {
        const auto found = of.refusals.find(code);
        text.sample({{"cause", cause}}, found == of.refusals.end() ? 0 : found->second);
    }
    text.family("fatwal_cuts_total", Type::Counter, "Connections that were cut");
    text.sample({{"cause", "unread"}}, of.cut_subscribers);
    text.sample({{"cause", "endless_message"}}, of.cut_connections);
    text.family("fatwal_refused_connections_total", Type::Counter,
                "Connections that were closed as they came");
    text.sample({{"cause", "descriptors"}}, of.refused_descriptors);
    text.sample({{"cause", "rate"}}, of.refused_throttled);
    text.sample({{"cause", "key"}}, of.refused_keys);
    text.sample({{"cause", "routing_id"}}, of.refused_routing_ids);
    text.sample({{"cause", "keyed_places"}}, of.refused_keyed_places);
    text.gauge("fatwal_credential_keys", "Keys that are known", of.credential_keys);
    text.gauge("fatwal_keyed_connections", "Connections of subscribers with keys",
               of.keyed_connections);
}

}  // namespace

void Report::write(MetricsText& text) const {
    write_process(*this, text);
    write_slot(*this, text);
    write_stream(*this, text);
    write_subscribers(*this, text);
    write_snapshots(*this, text);
    write_refusals(*this, text);
}

void Report::write_accounts(MetricsText& text, std::size_t top) const {
    const std::size_t count = std::min(top, most_active.accounts.size());
    const auto family = [&](const char* name, Type type, const char* help, auto value_of) {
        text.family(name, type, help);
        for (std::size_t i = 0; i < count; ++i) {
            const wire::AccountEntry& entry = most_active.accounts[i];
            const bool operators = entry.account.kind == wire::AccountKind::Operators;
            text.sample({{"account",
                          operators ? "(operators)" : wire::shown_name(entry.account.to_text())}},
                        std::uint64_t{value_of(entry)});
        }
    };
    family("fatwal_account_subscribers", Type::Gauge, "Subscribers attached to the account",
           [](const wire::AccountEntry& of) { return of.subscribers; });
    family("fatwal_account_durable_subscribers", Type::Gauge, "Its durable subscribers",
           [](const wire::AccountEntry& of) { return of.durables; });
    family("fatwal_account_published_frames_total", Type::Counter,
           "Frames that were published since the account is in memory",
           [](const wire::AccountEntry& of) { return of.frames; });
    family("fatwal_account_published_bytes_total", Type::Counter,
           "Bytes that were published since the account is in memory",
           [](const wire::AccountEntry& of) { return of.bytes; });
    family("fatwal_account_newest_lsn_bytes", Type::Gauge, "Where its newest change commits",
           [](const wire::AccountEntry& of) { return of.newest; });
}

}  // namespace fatwal::sidecar
