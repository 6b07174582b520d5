// fatwald: see README.md of this folder.
#include <unistd.h>

#include <csignal>

#include "sidecar/daemon.h"
#include "sidecar/log.h"
#include "sidecar/stop_signals.h"

namespace {

// What fatwald does at its end beside the stream's own drain: what is to be written still is, its
// threads end.
constexpr std::chrono::seconds kFarewell{6};

int fail(const fatwal::service::Failure& failure) {
    (void)fatwal::sidecar::write_line(STDERR_FILENO, "fatwald: " + failure.text());
    return 1;
}

// Ends with a reason, whatever happens.
int run(int argc, char** argv) {
    const auto loaded = fatwal::sidecar::load_settings(argc, argv);
    if (!loaded) return 0;
    const fatwal::sidecar::Settings& settings = *loaded;
    fatwal::sidecar::begin_log(settings.log_level);
    std::signal(SIGPIPE, SIG_IGN);
    const fatwal::sidecar::StopSignals signals(
        std::chrono::milliseconds(settings.shutdown_drain_ms) + kFarewell);
    fatwal::sidecar::RunDir run_dir;
    if (const auto failure = fatwal::sidecar::RunDir::open(settings.run_dir, run_dir))
        return fail(*failure);
    fatwal::sidecar::Daemon daemon(settings, run_dir);
    if (const auto failure = daemon.run(signals.fd())) return fail(*failure);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const fatwal::service::Failure& failure) {
        return fail(failure);
    } catch (const zmq::error_t& error) {
        return fail(fatwal::service::Failure("a socket failed", error.what()));
    } catch (const std::system_error& error) {
        return fail(fatwal::service::Failure("the system refused", error.what()));
    } catch (const std::exception& error) {
        return fail(fatwal::service::Failure("fatwald failed", error.what()));
    }
}
