// fatwal channel: who is connected to a process fatwal-channel, why a client reaches a resource or
// not, and to end a session.
#include <cstdio>

#include "client/cli/admin_socket.h"
#include "client/cli/commands.h"
#include "client/cli/explanation.h"

namespace fatwal::cli {

namespace {

void print(const nlohmann::json& json) {
    std::printf("%s\n",
                json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void list(const ChannelArguments& arguments) {
    std::string after;
    do {
        const auto part = ask_admin(arguments.socket, "GET",
                                    "/sessions?account=" + percent_encoded(arguments.account) +
                                        "&after=" + percent_encoded(after));
        for (const auto& session : part.at("sessions")) print(session);
        after = part.value("next", "");
    } while (!after.empty());
}

void why(const ChannelArguments& arguments) {
    std::string target = "/why?client=" + percent_encoded(arguments.client) +
                         "&resource=" + percent_encoded(arguments.resource);
    if (!arguments.account.empty()) target += "&account=" + percent_encoded(arguments.account);
    const auto answer = ask_admin(arguments.socket, "GET", target);
    if (arguments.json)
        print(answer);
    else
        std::fputs(explained(answer).c_str(), stdout);
}

}  // namespace

int channel(const ChannelArguments& arguments) {
    const std::string account = "account=" + percent_encoded(arguments.account);
    switch (arguments.command) {
        case ChannelArguments::Command::List: list(arguments); break;
        case ChannelArguments::Command::Stats:
            print(ask_admin(arguments.socket, "GET", "/stats"));
            break;
        case ChannelArguments::Command::Why: why(arguments); break;
        case ChannelArguments::Command::Disconnect:
            print(ask_admin(arguments.socket, "POST",
                            "/disconnect?" + account + "&kind=" + percent_encoded(arguments.kind) +
                                "&id=" + percent_encoded(arguments.id)));
            break;
        case ChannelArguments::Command::Reject:
            print(ask_admin(arguments.socket, "POST",
                            "/reject?" + account + "&client=" + percent_encoded(arguments.client) +
                                "&resource=" + percent_encoded(arguments.resource)));
            break;
    }
    return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace fatwal::cli
