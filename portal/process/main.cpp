// fatwal-channel: portal/README.md.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <string>

#include "portal/process/privileges.h"
#include "portal/process/process.h"
#include "portal/process/publication.h"
#include "service/failure.h"

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

// Until SIGTERM; the exit status.
int run(const fatwal::process::Settings& settings) {
    auto publication = fatwal::process::check_publication(settings.database, settings.publications);
    fatwal::process::check_privileges(settings.database);
    boost::asio::io_context io(1);
    boost::asio::signal_set signals(io, SIGTERM, SIGINT);
    fatwal::process::Process process(io, settings);
    const fatwal::process::PublicationWatch watch(
        settings.database, settings.publications, std::move(publication),
        [&](fatwal::process::PublicationLook look) {
            boost::asio::post(
                io, [&process, look = std::move(look)] { process.publication_changed(look); });
        });
    const std::function<void()> wait = [&] {
        signals.async_wait([&](boost::system::error_code error, int) {
            if (error) return;
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
    spdlog::info("listening on port {}", process.port());
    if (!settings.ready_file.empty()) {
        std::ofstream file(settings.ready_file);
        if (!(file << process.port() << '\n').flush())
            throw fatwal::service::Failure("cannot write --ready-file " + settings.ready_file,
                                           std::strerror(errno),
                                           "Name a file in a folder that exists.");
    }
    io.run();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::string hint;
    try {
        const auto settings = fatwal::process::load_settings(argc, argv);
        if (!settings) return 0;
        spdlog::set_default_logger(spdlog::stderr_logger_mt("fatwal-channel"));
        spdlog::set_level(static_cast<spdlog::level::level_enum>(settings->log_level));
        std::signal(SIGPIPE, SIG_IGN);
        raise_descriptor_limit(*settings);
        hint = "look whether --listen " + settings->listen + " and the endpoint " +
               (settings->fleet_endpoint.empty() ? "(none)" : settings->fleet_endpoint) +
               " are free and may be had.";
        return run(*settings);
    } catch (const fatwal::service::Failure& failure) {
        std::fprintf(stderr, "fatwal-channel: %s\n", failure.text().c_str());
    } catch (const std::exception& error) {
        const fatwal::service::Failure failure(std::string("cannot start: ") + error.what(), {},
                                               hint);
        std::fprintf(stderr, "fatwal-channel: %s\n", failure.text().c_str());
    }
    return 1;
}
