#include "client/console/channel.h"

#include <exception>
#include <utility>

#include "client/cli/admin_socket.h"
#include "client/cli/explanation.h"
#include "client/console/answers.h"

namespace fatwal::console {

Channel::Channel(std::string socket)
    : socket_(std::move(socket)),
      seen_({{"socket", socket_}, {"failure", "it has not answered yet"}, {"stats", nullptr}}) {
    thread_.start("channel", [this](const service::Stop& stop) { loop(stop); });
}

void Channel::loop(const service::Stop& stop) {
    do {
        Json now = {{"socket", socket_}, {"failure", ""}, {"stats", Json::object()}};
        try {
            now["stats"] = cli::ask_admin(socket_, "GET", "/stats", kWithin);
        } catch (const std::exception& error) {
            now["failure"] = error.what();
        }
        const std::lock_guard lock(mutex_);
        seen_ = std::move(now);
    } while (!stop.wait_for(kEvery));
}

Json Channel::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

service::HttpAnswer Channel::ask(const std::string& target) {
    return jobs_.run([socket = socket_, target] {
        Json said = cli::ask_admin(socket, "GET", target, kWithin);
        if (target.starts_with("/why")) said["text"] = cli::explained(said);
        return json_answer(said);
    });
}

}  // namespace fatwal::console
