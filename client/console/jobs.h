// Work that waits for an answer, one job after the other on a thread of its own. The thread of the
// HTTP server hands it over and gives the answer later.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "service/helper_thread.h"
#include "service/http.h"

namespace fatwal::console {

class Jobs {
public:
    static constexpr std::size_t kMostWaiting = 64;
    using Job = std::function<service::HttpAnswer()>;

    explicit Jobs(const char* name);

    // 503 when too many wait. What a job throws is answered 502 with its text.
    [[nodiscard]] service::HttpAnswer run(Job job);

private:
    struct Waiting {
        Job job;
        std::shared_ptr<service::HttpLater> later;
    };
    void loop(const service::Stop& stop);

    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::deque<Waiting> waiting_;
    service::HelperThread thread_;  // last: its loop uses the others
};

}  // namespace fatwal::console
