#include "portal/process/report.h"

namespace fatwal::process {

using service::MetricsText;
using Type = MetricsText::Type;

namespace {

void write_process(const Report& of, MetricsText& text) {
    text.family("fatwal_channel_build_info", Type::Gauge, "1; its labels say what runs");
    text.sample({{"version", FATWAL_VERSION}, {"name", of.name}}, std::uint64_t{1});
    text.gauge("fatwal_channel_uptime_seconds", "Since the process began", of.uptime_s);
    text.gauge("fatwal_channel_ready", "1 if /readyz answers 200",
               std::uint64_t{of.readiness.ready});
    text.histogram("fatwal_channel_loop_delay_seconds",
                   "How late the loop comes to what is due: a timer of a quarter of a second",
                   of.delays.histogram());
    text.gauge("fatwal_channel_loop_delay_longest_seconds",
               "The longest delay of the last minute or two", of.delays.longest());
}

void write_devices(const Health& of, MetricsText& text) {
    text.family("fatwal_channel_devices", Type::Gauge, "Devices that are connected here");
    text.sample({{"kind", "client"}}, std::uint64_t{of.clients});
    text.sample({{"kind", "gateway"}}, std::uint64_t{of.gateways});
    text.sample({{"kind", "relay"}}, std::uint64_t{of.relays});
    text.gauge("fatwal_channel_fleet_gateways", "Gateways that are known in the whole fleet",
               std::uint64_t{of.gateways_online});
    text.gauge("fatwal_channel_accounts", "Accounts that are followed", std::uint64_t{of.accounts});
    text.gauge("fatwal_channel_accounts_live", "Accounts whose rows are up to date",
               std::uint64_t{of.accounts_live});
    text.gauge("fatwal_channel_registrations_waiting", "Registrations that wait for the database",
               std::uint64_t{of.registrations_waiting});
    text.gauge("fatwal_channel_flows_waiting", "Rows of flows that wait for the database",
               std::uint64_t{of.flows_waiting});
    text.gauge("fatwal_channel_fleet_processes", "Other processes that are there",
               std::uint64_t{of.fleet});
    text.counter("fatwal_channel_fleet_not_understood_total",
                 "Messages of other processes that made no sense", of.fleet_not_understood);
}

void write_work(const Measures& of, MetricsText& text) {
    text.family("fatwal_channel_pushes_total", Type::Counter, "Events that were sent to devices");
    text.sample({{"kind", "client"}}, of.pushes_to_clients);
    text.sample({{"kind", "gateway"}}, of.pushes_to_gateways);
    text.family("fatwal_channel_authorizations_total", Type::Counter,
                "What became of requests for resources, and of pairs that were let through");
    for (std::size_t i = 0; i < of.outcomes.size(); ++i)
        text.sample({{"outcome", Measures::kOutcomes.at(i)}}, of.outcomes.at(i));
    text.histogram("fatwal_channel_transaction_latency_seconds",
                   "From a COMMIT to its account having taken it in, by this machine's clock",
                   of.transaction_latency);
    text.histogram("fatwal_channel_push_latency_seconds",
                   "From a COMMIT to an event that it brings about, by this machine's clock",
                   of.push_latency);
    text.histogram("fatwal_channel_decision_seconds",
                   "How long it takes to say what a change means for one device", of.decisions);
}

}  // namespace

void Report::write(MetricsText& text) const {
    write_process(*this, text);
    write_devices(health, text);
    write_work(measures, text);
}

service::Readiness readiness_of(const Health& health) {
    if (health.is_draining) return {false, "draining", "the process ends"};
    return {true, "ok", {}};
}

}  // namespace fatwal::process
