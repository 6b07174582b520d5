// A process fatwal-channel, asked over its admin socket. Each has threads of its own, so one that
// does not answer delays nothing of another.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "client/console/jobs.h"
#include "client/console/json.h"
#include "service/helper_thread.h"

namespace fatwal::console {

class Channel {
public:
    static constexpr std::chrono::seconds kWithin{4};
    static constexpr std::chrono::milliseconds kEvery{2000};

    explicit Channel(std::string socket);

    // {"socket", "failure", "stats"}, as last seen.
    [[nodiscard]] Json seen() const;
    // The answer to GET `target`.
    [[nodiscard]] service::HttpAnswer ask(const std::string& target);

private:
    void loop(const service::Stop& stop);

    const std::string socket_;
    mutable std::mutex mutex_;
    Json seen_;
    Jobs jobs_{"channel"};
    service::HelperThread thread_;  // last: its loop uses the others
};

}  // namespace fatwal::console
