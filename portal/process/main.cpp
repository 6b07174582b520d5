// fatwal-channel: portal/README.md.
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "portal/process/privileges.h"
#include "portal/process/process.h"
#include "portal/process/publication.h"
#include "service/failure.h"
#include "service/reload.h"
#include "service/service_manager.h"

namespace {

// Devices take a descriptor each, their accounts' sockets some more.
void raise_descriptor_limit(const fatwal::process::Settings& settings) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    const auto wanted = static_cast<rlim_t>(settings.max_sessions) * 2;
    if (limit.rlim_cur < wanted)
        spdlog::warn(
            "max_sessions is {}, for which {} descriptors are needed, and the limit is {}: raise "
            "it (LimitNOFILE= of systemd, ulimit -Hn), or lower max_sessions",
            settings.max_sessions, wanted, limit.rlim_cur);
}

// Calls `act` whenever the signal comes.
class SignalHandler {
public:
    SignalHandler(boost::asio::io_context& io, int signal, std::function<void()> act)
        : signals_(io, signal), act_(std::move(act)) {
        wait();
    }

private:
    void wait() {
        signals_.async_wait([this](boost::system::error_code error, int) {
            if (error) return;
            act_();
            wait();
        });
    }

    boost::asio::signal_set signals_;
    std::function<void()> act_;
};

// While the loop turns systemd's watchdog is fed.
class Watchdog {
public:
    Watchdog(boost::asio::io_context& io, fatwal::service::ServiceManager& manager)
        : manager_(manager), timer_(io) {
        feed();
    }

private:
    void feed() {
        manager_.alive(std::chrono::steady_clock::now());
        const auto next = manager_.next();
        if (!next) return;
        timer_.expires_at(*next);
        timer_.async_wait([this](boost::system::error_code error) {
            if (!error) feed();
        });
    }

    fatwal::service::ServiceManager& manager_;
    boost::asio::steady_timer timer_;
};

// Until SIGTERM; the exit status.
int run(fatwal::process::Settings& settings, int argc, char** argv) {
    auto publication = fatwal::process::check_publication(settings.database, settings.publications);
    fatwal::process::check_privileges(settings.database);
    boost::asio::io_context io(1);
    boost::asio::signal_set signals(io, SIGTERM, SIGINT);
    fatwal::process::Process process(io, settings);
    fatwal::service::ServiceManager manager;
    const std::string listening = "listening on port " + std::to_string(process.port());
    const SignalHandler hangup(io, SIGHUP, [&] {
        manager.reloading();
        fatwal::service::reload(fatwal::process::program(), settings,
                                fatwal::process::specifications, fatwal::process::load_settings,
                                argc, argv);
        manager.ready(listening);
    });
    const fatwal::process::PublicationWatch watch(
        settings.database, settings.publications, std::move(publication),
        [&](fatwal::process::PublicationLook look) {
            boost::asio::post(
                io, [&process, look = std::move(look)] { process.publication_changed(look); });
        });
    const std::function<void()> wait = [&] {
        signals.async_wait([&](boost::system::error_code error, int) {
            if (error) return;
            manager.stopping();
            process.drain([&] { io.stop(); });
            // A second signal is obeyed at once, whatever threads wait for.
            signals.async_wait([&](boost::system::error_code again, int) {
                if (again) return;
                spdlog::warn("ended by a second signal");
                std::_Exit(1);
            });
        });
    };
    wait();
    spdlog::info("{}", listening);
    if (!settings.ready_file.empty()) {
        std::ofstream file(settings.ready_file);
        if (!(file << process.port() << '\n').flush())
            throw fatwal::service::Failure("cannot write --ready-file " + settings.ready_file,
                                           std::strerror(errno),
                                           "Name a file in a folder that exists.");
    }
    manager.ready(listening);
    const Watchdog watchdog(io, manager);
    io.run();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::string hint;
    try {
        auto settings = fatwal::process::load_settings(argc, argv);
        if (!settings) return 0;
        fatwal::service::begin_log("fatwal-channel", settings->log_level, settings->log_format);
        std::signal(SIGPIPE, SIG_IGN);
        raise_descriptor_limit(*settings);
        hint = "look whether --listen " + settings->listen + " and the endpoint " +
               (settings->fleet_endpoint.empty() ? "(none)" : settings->fleet_endpoint) +
               " are free and may be had.";
        return run(*settings, argc, argv);
    } catch (const fatwal::service::Failure& failure) {
        fatwal::service::write_last_line("fatwal-channel", failure.text());
    } catch (const std::exception& error) {
        const fatwal::service::Failure failure(std::string("cannot start: ") + error.what(), {},
                                               hint);
        fatwal::service::write_last_line("fatwal-channel", failure.text());
    }
    return 1;
}
