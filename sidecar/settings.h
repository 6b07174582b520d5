// What fatwald is told: flags before environment before file before default. docs/configuration.md has the table.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>

#include "failure.h"

namespace fatwal {

struct Settings {
    std::string database;
    std::string slot = "fatwal";
    std::string publication = "fatwal";
    std::string run_dir = "/run/fatwal";
    std::string control;  // default: ipc://RUN_DIR/control.sock
    std::string log_level = "info";
    int send_high_water_mark = 1000;  // messages for each subscriber
    int heartbeat_interval_ms = 1000;
    int confirm_interval_ms = 10'000;
    int shutdown_drain_ms = 5000;
    int frame_bytes = 65'536;
    bool messages = true;
};

struct ShowAndExit {
    int status = 0;  // what was asked for (help, version) is printed already
};

std::variant<Settings, ShowAndExit, Failure> load_settings(int argc, char** argv);

}  // namespace fatwal
