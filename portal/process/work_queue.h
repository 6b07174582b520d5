// The work of one account, in the order in which it was decided, a few milliseconds a turn.
//
// A transaction can concern all of an account's channels, and each of them can want thousands of
// things. Done at once, that would keep all other accounts of the process waiting. So it is queued:
//
//   steps      what channels are still to be asked, as "here is the transaction"
//   tasks      what they have decided: to push, to send to another session, to write a flow
//   leaving    gateways whose sessions are over, which still undo what they had, piece by piece
//   waiting    what may begin only between two transactions: a device's message, a peer's, a timer
//   admission  devices that may come in then
//
// work() takes, as long as its slice of time lasts, always from the first of these that has
// something. What is left follows in later turns of the loop, posted behind what the loop has to do
// already.
//
// Invariants:
//   - A transaction is one change for all. The account is whole when no step and nothing leaving is
//     left and no part of a transaction is in the state; only then anything waiting begins. Tasks
//     do not count: they are decided, and their order holds by itself.
//   - Tasks are carried out in the order in which they were decided: an allow and a reject of one
//     pair reach the gateway as the channel meant them.
//   - What waits keeps its order, so a device's messages are handled as they were sent.
//   - work() never runs within itself: what a task brings about comes behind those that wait.
// Of each device as much waits as the rates let in within one transaction. One thread, the loop's.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "portal/access/action.h"
#include "portal/access/gateway_channel.h"

namespace fatwal::process {

struct Session;

class WorkQueue {
public:
    static constexpr std::chrono::milliseconds kSlice{5};  // of one turn

    // Something that a session's channel is asked; what it answers becomes tasks.
    struct Step {
        access::Address who;
        std::function<access::Actions(Session&)> ask;
        std::optional<access::Instant> committed;
    };
    // Something that a session's channel has decided.
    struct Task {
        access::Address sender;
        access::Action action;
        std::optional<access::Instant> committed;
        access::Json ref;
    };
    struct Handlers {
        // Whether a part of a transaction is in the account's state.
        std::function<bool()> is_applying;
        std::function<void(const Step&)> ask;
        std::function<void(Task&)> carry_out;
        std::function<void()> admit;
        // Work that has taken several turns is done.
        std::function<void()> done;
        // Calls it in a later turn of the loop, unless the account is gone or broken by then.
        std::function<void(std::function<void()>)> later;
    };

    explicit WorkQueue(Handlers handlers) : handlers_(std::move(handlers)) {}

    void add(Task task) { tasks_.push_back(std::move(task)); }
    void add(Step step) { steps_.push_back(std::move(step)); }
    // Ahead of the others: a channel takes up what it has begun before anything else is asked.
    void add_first(Step step) { steps_.push_front(std::move(step)); }
    void add_leaving(std::unique_ptr<access::GatewayChannel> gateway) {
        leaving_.push_back(std::move(gateway));
    }
    // Calls admit() when the account is whole.
    void admit_later() { admits_later_ = true; }
    void admits_now() { admits_later_ = false; }
    // Calls it now if the account is whole and nothing waits; else behind what waits. A session
    // that was found before may be gone then.
    void when_whole(std::function<void()> then);

    void work();
    // Carries out what is decided, and asks what is to be asked, whatever time it takes: the
    // account ends.
    void finish();
    // Nothing more is begun: the account's work has thrown.
    void stop() { is_stopped_ = true; }

    [[nodiscard]] bool is_whole() const {
        return steps_.empty() && leaving_.empty() && !handlers_.is_applying();
    }
    [[nodiscard]] bool is_idle() const { return is_whole() && waiting_.empty(); }
    // Whether the work under way takes more than one turn.
    [[nodiscard]] bool is_sliced() const { return is_sliced_; }
    // Whether something is decided that is not carried out.
    [[nodiscard]] bool has_tasks() const { return !tasks_.empty(); }
    // The same, or is still to be asked.
    [[nodiscard]] bool is_at_work() const { return has_tasks() || !steps_.empty(); }

private:
    void work_off();
    // Whether there was anything to do.
    bool do_one();

    Handlers handlers_;
    std::deque<Task> tasks_;
    std::deque<Step> steps_;
    std::deque<std::unique_ptr<access::GatewayChannel>> leaving_;
    std::deque<std::function<void()>> waiting_;
    bool admits_later_ = false;
    bool is_busy_ = false;  // within work_off(), or a later turn of it is posted
    bool is_sliced_ = false;
    bool is_stopped_ = false;
};

}  // namespace fatwal::process
