#include "portal/process/work_queue.h"

#include <utility>

namespace fatwal::process {

using Clock = std::chrono::steady_clock;

void WorkQueue::when_whole(std::function<void()> then) {
    if (is_idle())
        then();
    else
        waiting_.push_back(std::move(then));
}

void WorkQueue::work() {
    if (!std::exchange(is_busy_, true)) work_off();
}

void WorkQueue::work_off() {
    const auto until = Clock::now() + kSlice;
    bool had_some = true;
    while (had_some && !is_stopped_ && Clock::now() < until) had_some = do_one();
    if (is_stopped_) return;
    if (!had_some) {
        is_busy_ = false;
        if (std::exchange(is_sliced_, false)) handlers_.done();
        return;
    }
    is_sliced_ = true;
    handlers_.later([this] { work_off(); });
}

bool WorkQueue::do_one() {
    if (!tasks_.empty()) {
        Task task = std::move(tasks_.front());
        tasks_.pop_front();
        handlers_.carry_out(task);
    } else if (!steps_.empty()) {
        const Step step = std::move(steps_.front());
        steps_.pop_front();
        handlers_.ask(step);
    } else if (!leaving_.empty()) {
        if (!leaving_.front()->let_go()) leaving_.pop_front();
    } else if (!is_whole()) {
        return false;
    } else if (!waiting_.empty()) {
        const auto then = std::move(waiting_.front());
        waiting_.pop_front();
        then();
    } else if (std::exchange(admits_later_, false)) {
        handlers_.admit();
    } else {
        return false;
    }
    return true;
}

void WorkQueue::finish() {
    is_busy_ = true;
    while (is_at_work() && !is_stopped_) do_one();
}

}  // namespace fatwal::process
