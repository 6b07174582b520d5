// fatwald: see README.md of this folder.
#include <unistd.h>

#include <csignal>

#include "daemon.h"
#include "log.h"
#include "stop_signals.h"

namespace {

// What fatwald does at its end beside the stream's own drain: what is to be written still is, its
// threads end.
constexpr std::chrono::seconds kFarewell{6};

int fail(const fatwal::Failure& failure) {
    (void)fatwal::write_line(STDERR_FILENO, "fatwald: " + failure.text());
    return 1;
}

// Ends with a reason, whatever happens.
int run(int argc, char** argv) {
    auto loaded = fatwal::load_settings(argc, argv);
    if (const auto* shown = std::get_if<fatwal::ShowAndExit>(&loaded)) return shown->status;
    if (const auto* failure = std::get_if<fatwal::Failure>(&loaded)) return fail(*failure);
    const auto& settings = std::get<fatwal::Settings>(loaded);
    fatwal::begin_log(settings.log_level);
    std::signal(SIGPIPE, SIG_IGN);
    const fatwal::StopSignals signals(std::chrono::milliseconds(settings.shutdown_drain_ms) +
                                      kFarewell);
    fatwal::RunDir run_dir;
    if (const auto failure = fatwal::RunDir::open(settings.run_dir, run_dir)) return fail(*failure);
    fatwal::Daemon daemon(settings, run_dir);
    if (const auto failure = daemon.run(signals.fd())) return fail(*failure);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const fatwal::Failure& failure) {
        return fail(failure);
    } catch (const zmq::error_t& error) {
        return fail({"a socket failed", error.what(), {}});
    } catch (const std::system_error& error) {
        return fail({"the system refused", error.what(), {}});
    } catch (const std::exception& error) {
        return fail({"fatwald failed", error.what(), {}});
    }
}
