// The settings of fatwald: specifications() describes each, and docs/configuration.md has the table
// that is made of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fatwal/wire/key_file.h"
#include "service/http.h"
#include "service/log.h"
#include "service/settings.h"

namespace fatwal::sidecar {

enum class Layout : std::uint8_t { Account, Shared };
enum class OnLostSlot : std::uint8_t { Stop, Resync };
// Of the slot. Pgoutput: Postgres's own, for servers that load no other.
enum class Plugin : std::uint8_t { Fatwal, Pgoutput };

// A unit that is not a plain number stands in the name: _ms, _s, _bytes.
struct Settings {
    std::string database;
    std::string slot = "fatwal";
    Plugin plugin = Plugin::Fatwal;
    std::string publication = "fatwal";  // as the plugin and fatwal.snapshot read it too
    std::string run_dir = "/run/fatwal";
    std::string control;
    std::string keyed_control;
    std::string keyed_data;
    std::string advertise;
    std::string key_file;
    int max_keyed_connections = 10'000;
    service::LogLevel log_level = service::LogLevel::Info;
    service::LogFormat log_format = service::LogFormat::Text;
    Layout layout = Layout::Account;
    int send_high_water_mark = 0;  // after load_settings() never 0
    int heartbeat_interval_ms = 1000;
    int confirm_interval_ms = 10'000;
    int shutdown_drain_ms = 5000;
    int frame_bytes = 65'536;
    bool messages = true;
    std::int64_t replay_bytes = 67'108'864;
    std::int64_t replay_account_bytes = 16'777'216;
    std::int64_t retention_bytes = 10'737'418'240;
    std::int64_t retention_s = 86'400;
    std::int64_t max_durables = 100'000;
    std::int64_t max_account_durables = 1000;
    std::int64_t max_credential_durables = 10'000;
    int snapshot_concurrency = 4;
    int snapshot_reuse_ms = 5000;
    int reread_concurrency = 2;
    std::string spool_dir;
    std::int64_t spool_bytes = 10'737'418'240;
    OnLostSlot on_lost_slot = OnLostSlot::Stop;
    std::string http;
    std::string http_token_file;

    // Made of the above.
    std::vector<std::string> publications;             // the names in `publication`
    wire::KeyPair server_keys;                         // in `key_file`
    std::optional<service::HttpOptions> http_options;  // of `http`; nothing: it is off

    // Whether peers with keys are taken.
    [[nodiscard]] bool keyed() const { return !keyed_control.empty(); }
    [[nodiscard]] bool shared() const { return layout == Layout::Shared; }
    [[nodiscard]] const char* plugin_name() const {
        return plugin == Plugin::Pgoutput ? "pgoutput" : "fatwal";
    }
};

[[nodiscard]] const service::Program& program();
[[nodiscard]] std::vector<service::Setting> specifications(Settings& settings);

// Nothing when --help or --version was asked for, and is printed. Throws a service::Failure.
[[nodiscard]] std::optional<Settings> load_settings(int argc, const char* const* argv);

}  // namespace fatwal::sidecar
