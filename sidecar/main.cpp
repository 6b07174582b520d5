// fatwald: see README.md of this folder.
#include <csignal>
#include <memory>

#include "service/reload.h"
#include "sidecar/daemon.h"
#include "sidecar/signals.h"

namespace {

// What fatwald does at its end beside the stream's own drain: what is to be written still is, its
// threads end.
constexpr std::chrono::seconds kFarewell{6};

int fail(const fatwal::service::Failure& failure) {
    fatwal::service::write_last_line("fatwald", failure.text());
    return 1;
}

// Ends with a reason, whatever happens.
int run(int argc, char** argv) {
    namespace sidecar = fatwal::sidecar;
    auto loaded = sidecar::load_settings(argc, argv);
    if (!loaded) return 0;
    sidecar::Settings& settings = *loaded;
    const auto log = std::make_shared<fatwal::service::RecentLines>();
    fatwal::service::begin_log("fatwald", settings.log_level, settings.log_format, log);
    std::signal(SIGPIPE, SIG_IGN);
    const sidecar::Signals signals(std::chrono::milliseconds(settings.shutdown_drain_ms) +
                                   kFarewell);
    sidecar::RunDir run_dir;
    if (const auto failure = sidecar::RunDir::open(settings.run_dir, run_dir))
        return fail(*failure);
    sidecar::Daemon daemon(settings, run_dir, *log);
    const auto reload = [&] {
        fatwal::service::reload(sidecar::program(), settings, sidecar::specifications,
                                sidecar::load_settings, argc, argv);
    };
    if (const auto failure = daemon.run(signals, reload)) return fail(*failure);
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
