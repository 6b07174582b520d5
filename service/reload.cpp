#include "service/reload.h"

#include <spdlog/spdlog.h>

#include <exception>

#include "service/failure.h"

namespace fatwal::service {
namespace {

std::string joined(const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
    return all;
}

}  // namespace

Changes take_changes(const std::vector<Setting>& running, const std::vector<Setting>& again) {
    Changes changes;
    for (std::size_t i = 0; i < running.size(); ++i) {
        const std::string value = value_of(again[i]);
        if (value == value_of(running[i])) continue;
        if (running[i].reloads) {
            give(running[i], value);
            changes.taken.push_back(running[i].name + (" = " + value));
        } else {
            changes.need_restart.emplace_back(running[i].name);
        }
    }
    return changes;
}

void log_reload(const Program& program, const std::string& file,
                const std::function<Changes()>& again) {
    if (file.empty()) {
        spdlog::warn(
            "SIGHUP: nothing to read again, as {} runs without a settings file: give it one with "
            "--config",
            program.name);
        return;
    }
    try {
        const Changes changes = again();
        if (!changes.taken.empty()) spdlog::info("{}: {}", file, joined(changes.taken));
        if (!changes.need_restart.empty())
            spdlog::warn("{}: restart {} for: {}", file, program.name,
                         joined(changes.need_restart));
        if (changes.taken.empty() && changes.need_restart.empty())
            spdlog::info("{}: no setting has changed", file);
    } catch (const std::exception& error) {
        spdlog::error("the settings stay as they are: {}", text_of(error));
    }
}

}  // namespace fatwal::service
