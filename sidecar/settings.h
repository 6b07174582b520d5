// What fatwald is told: flags before environment before file before default. docs/configuration.md
// has the table.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "sidecar/failure.h"

namespace fatwal::sidecar {

struct Settings {
    std::string database;
    std::string slot = "fatwal";
    std::string publication =
        "fatwal";  // as it is given, for the plugin and fatwal.snapshot, which read it the same
    std::vector<std::string> publications;  // the names in it
    std::string run_dir = "/run/fatwal";
    std::string control;  // default: ipc://RUN_DIR/control.sock
    std::string log_level = "info";
    std::string layout = "account";  // a socket for each account, or "shared": one for all
    int send_high_water_mark =
        0;  // messages for each subscriber; default: 1000, with a shared socket 100000
    int heartbeat_interval_ms = 1000;
    int confirm_interval_ms = 10'000;
    int shutdown_drain_ms = 5000;
    int frame_bytes = 65'536;
    bool messages = true;
    std::int64_t replay_bytes = 67'108'864;          // kept for replay, in all
    std::int64_t replay_account_bytes = 16'777'216;  // the same for one account
    std::int64_t retention_bytes = 10'737'418'240;   // of WAL that a subscriber may hold
    std::int64_t retention_s = 86'400;               // for which it may do so without progress
    std::int64_t max_durables = 100'000;             // durable subscribers, in all
    std::int64_t max_account_durables = 1000;        // the same for one account
    int snapshot_concurrency = 4;                    // snapshots read from the database at a time
    int snapshot_reuse_ms = 5000;  // for which a snapshot serves others of its account
    int reread_concurrency = 2;    // subscribers at a time that are served from the slot again
    std::string spool_dir;         // default: the system's folder for temporary files
    std::int64_t spool_bytes = 10'737'418'240;  // that wait there, in all
    std::string on_lost_slot = "stop";          // or "resync"

    [[nodiscard]] bool shared() const { return layout == "shared"; }
};

struct ShowAndExit {
    int status = 0;  // what was asked for (help, version) is printed already
};

std::variant<Settings, ShowAndExit, Failure> load_settings(int argc, char** argv);

}  // namespace fatwal::sidecar
