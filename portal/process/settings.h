// The settings of fatwal-channel: specifications() describes each, and docs/configuration.md has
// the table that is made of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fatwal/client/keys.h"
#include "portal/process/join_request.h"
#include "service/http.h"
#include "service/log.h"
#include "service/settings.h"

namespace fatwal::process {

// A unit that is not a plain number stands in the name: _ms, _s, _bytes, _mib.
struct Settings {
    std::string database;
    std::string publication;  // as fatwald reads it too
    std::vector<std::string> control;
    std::string key_file;  // with server_key, or none of both
    std::string server_key;
    std::string secret_file;
    std::string listen = "127.0.0.1:8080";
    std::string name;  // after load_settings() never empty
    std::string fleet_endpoint;
    std::vector<std::string> fleet_peers;
    std::vector<std::string> trusted_proxies;
    std::string admin_socket;  // empty: there is none
    std::string http;          // empty: off
    std::string http_token_file;
    std::string minimum_client_version;  // empty: any
    std::string minimum_gateway_version;
    std::string ready_file;
    service::LogLevel log_level = service::LogLevel::Info;
    service::LogFormat log_format = service::LogFormat::Text;
    int max_sessions = 10'000;
    int max_pending = 10'000;
    int connects_per_second = 500;
    int max_message_bytes = 65'536;
    int max_queue_bytes = 8'388'608;
    int max_queued_mib = 1024;
    int client_messages_per_second = 50;
    int client_flows_per_second = 20;
    int account_messages_per_second = 5'000;
    int account_flows_per_second = 1'000;
    int idle_timeout_s = 30;
    int join_timeout_s = 10;
    int stale_after_s = 60;
    int revoke_after_s = 0;   // 0: never
    int flow_lifetime_s = 0;  // 0: as long as its policy and its token hold
    int account_linger_s = 60;
    int drain_s = 20;
    int flow_batch_ms = 1000;
    int relay_debounce_ms = 10'000;

    // Made of the above.
    std::vector<std::string> publications;  // the names in `publication`
    std::optional<client::Keys> keys;       // of its subscriptions
    std::string secret;
    std::optional<service::HttpOptions> http_options;
    std::string listen_address;
    std::uint16_t listen_port = 0;
    Proxies proxies;  // its headers are settings themselves
};

[[nodiscard]] const service::Program& program();
[[nodiscard]] std::vector<service::Setting> specifications(Settings& settings);

// Nothing when --help or --version was asked for, and is printed. Throws a service::Failure.
[[nodiscard]] std::optional<Settings> load_settings(int argc, const char* const* argv);

}  // namespace fatwal::process
