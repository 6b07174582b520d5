// fatwald: see README.md of this folder.
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "daemon.h"

namespace {

int fail(const fatwal::Failure& failure) {
    std::fprintf(stderr, "fatwald: %s\n", failure.text().c_str());
    return 1;
}

// SIGTERM and SIGINT come through a descriptor, to the event loop. To be called before any thread
// is made.
int take_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

// Ends with a reason, whatever happens.
int run(int argc, char** argv) {
    auto loaded = fatwal::load_settings(argc, argv);
    if (const auto* shown = std::get_if<fatwal::ShowAndExit>(&loaded)) return shown->status;
    if (const auto* failure = std::get_if<fatwal::Failure>(&loaded)) return fail(*failure);
    const auto& settings = std::get<fatwal::Settings>(loaded);
    spdlog::set_default_logger(spdlog::stderr_logger_st("fatwald"));
    spdlog::set_level(spdlog::level::from_str(settings.log_level));

    const int signals = take_signals();
    if (signals < 0) return fail({"cannot take signals", "signalfd failed.", {}});
    fatwal::RunDir run_dir;
    if (const auto failure = fatwal::RunDir::open(settings.run_dir, run_dir)) return fail(*failure);
    fatwal::Daemon daemon(settings, run_dir);
    if (const auto failure = daemon.run(signals)) return fail(*failure);
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
