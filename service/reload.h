// SIGHUP: the settings are read again, from the same command line, environment and file, and those
// that may change in a process that runs take effect (`reloads` of a Setting). The log says which,
// and for which others the process has to be restarted. What cannot be read changes nothing.
//
//     reload(program(), settings, specifications, load_settings, argc, argv);
//
// In the thread that reads the settings.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "service/log.h"
#include "service/settings.h"

namespace fatwal::service {

struct Changes {
    std::vector<std::string> taken;         // "log_level = debug"
    std::vector<std::string> need_restart;  // names
};

// Gives those of `running` that may change what `again` has; both are of one list.
[[nodiscard]] Changes take_changes(const std::vector<Setting>& running,
                                   const std::vector<Setting>& again);

// Reports what `again()` finds.
void log_reload(const Program& program, const std::string& file,
                const std::function<Changes()>& again);

template <class Settings>
void reload(const Program& program, Settings& running,
            std::vector<Setting> (*specifications)(Settings&),
            std::optional<Settings> (*load_settings)(int, const char* const*), int argc,
            const char* const* argv) {
    Settings any;
    log_reload(program, config_file(program, specifications(any), argc, argv), [&] {
        std::optional<Settings> read = load_settings(argc, argv);
        Changes changes = take_changes(specifications(running), specifications(*read));
        set_log_level(running.log_level);
        return changes;
    });
}

}  // namespace fatwal::service
