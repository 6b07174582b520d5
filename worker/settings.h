// What fatwal-channel is told: flags before environment before file before default.
// docs/configuration.md has the table.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "worker/join_request.h"

namespace fatwal::worker {

struct Settings {
    std::string database;              // libpq connection string, for the rows of flows
    std::string publication;           // what fatwald streams, as it is given there
    std::vector<std::string> control;  // endpoints of fatwald's control sockets
    std::string listen = "127.0.0.1:8080";
    std::string secret_file;  // the fleet's secret, at least 32 bytes
    std::string name;         // of this process's durable subscriptions; default: channel-HOST-PORT
    std::string fleet_endpoint;  // where the other processes reach this one
    std::vector<std::string> fleet_peers;
    std::vector<std::string> trusted_proxies;  // whose headers are believed
    std::string admin_socket;  // where `fatwal channel` finds this process; empty: nowhere
    std::string minimum_client_version;  // an older one is refused; empty: none is
    std::string minimum_gateway_version;
    std::string ready_file;
    std::string log_level = "info";
    int max_sessions = 10'000;
    int max_pending = 10'000;  // connections that have not said yet what they want
    int connects_per_second = 500;
    int max_message_bytes = 65'536;   // that a device may send
    int max_queue_bytes = 8'388'608;  // that wait for a slow device, which is then cut
    int max_queued_mib = 1024;        // in all queues; a quarter of it for one account
    int client_messages_per_second = 50;
    int client_flows_per_second = 20;
    int account_messages_per_second = 5'000;  // of all its clients and gateways
    int account_flows_per_second = 1'000;
    int idle_timeout_s = 30;    // of a device that does not even answer pings
    int join_timeout_s = 10;    // without a fatwald that has the account's rows in its queue
    int stale_after_s = 60;     // without a fatwald
    int revoke_after_s = 0;     // the same, after which what was granted ends; 0: it stays
    int flow_lifetime_s = 0;    // the longest of a flow; 0: as long as its policy holds
    int account_linger_s = 60;  // an account without devices is followed on
    int drain_s = 20;           // over which sessions are closed at SIGTERM
    int flow_batch_ms = 1000;
    int relay_debounce_ms = 10'000;

    // Made of the above.
    std::vector<std::string> publications;  // the names
    std::string secret;
    std::string listen_address;
    std::uint16_t listen_port = 0;
    Proxies proxies;  // its headers are settings themselves
};

// Settings, or nothing with the exit status in `status`: what was asked for, or what is wrong, is
// printed.
[[nodiscard]] std::optional<Settings> load_settings(int argc, char** argv, int& status);

}  // namespace fatwal::worker
