#include "client/console/jobs.h"

#include <exception>
#include <utility>

#include "client/console/answers.h"

namespace fatwal::console {

Jobs::Jobs(const char* name) {
    thread_.start(name, [this](const service::Stop& stop) { loop(stop); });
}

service::HttpAnswer Jobs::run(Job job) {
    const auto later = std::make_shared<service::HttpLater>();
    {
        const std::lock_guard lock(mutex_);
        if (waiting_.size() >= kMostWaiting)
            return refusal(503, "too many requests wait", "Try again.");
        waiting_.push_back({std::move(job), later});
    }
    wake_.notify_one();
    return {.later = later};
}

void Jobs::loop(const service::Stop& stop) {
    while (!stop.requested()) {
        Waiting next;
        {
            std::unique_lock lock(mutex_);
            if (!wake_.wait(lock, stop.token(), [this] { return !waiting_.empty(); })) return;
            next = std::move(waiting_.front());
            waiting_.pop_front();
        }
        try {
            next.later->give(next.job());
        } catch (const std::exception& error) {
            next.later->give(refusal(502, error.what(), ""));
        }
    }
}

}  // namespace fatwal::console
