// `fatwal doctor` and `fatwal status`: what is not as it should be, and fatwald's values as they
// are.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <limits>

#include <nlohmann/json.hpp>

#include "client/cli/commands.h"
#include "client/cli/control_client.h"
#include "client/cli/observation.h"

namespace fatwal::cli {

namespace {

constexpr int kCannotPrint = 2;

// Where it is no terminal lines stay whole: they may be searched.
std::size_t columns_of_output() {
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return std::numeric_limits<std::size_t>::max();
    return size.ws_col;
}

bool printed() {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
    std::perror("fatwal: standard output cannot be written");
    return false;
}

}  // namespace

int doctor(const DoctorArguments& arguments) {
    if (arguments.control.empty() && arguments.database.empty()) {
        std::fprintf(stderr,
                     "nothing to check: give --control ENDPOINT, --database CONNINFO or both\n");
        return 2;
    }
    const std::vector<Finding> findings = diagnose(observe(arguments));
    if (arguments.json)
        for (const Finding& finding : findings) std::printf("%s\n", finding_json(finding).c_str());
    else
        std::fputs(to_table(findings, arguments.all, columns_of_output()).c_str(), stdout);
    return printed() ? exit_status_of(findings) : kCannotPrint;
}

int status(const StatusArguments& arguments) {
    ControlClient client(arguments.control, arguments.keys);
    const auto reply = client.ask<wire::StatusReply>(wire::Status{});
    if (!reply) return 1;
    nlohmann::ordered_json all;
    for (const auto& [name, value] : reply->values) {
        all[name] = value;
        if (!arguments.json) std::printf("%-25s %s\n", name.c_str(), value.c_str());
    }
    if (arguments.json) std::printf("%s\n", all.dump().c_str());
    return printed() ? 0 : 1;
}

}  // namespace fatwal::cli
