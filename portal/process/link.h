// A device's connection as the rest of the process sees it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace fatwal::process {

class QueueBudget;

class Link {
public:
    Link() = default;
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;
    virtual ~Link() = default;

    // Queued; a device that does not take what is queued is cut (closed() is called, not from
    // within send()).
    virtual void send(std::string message) = 0;
    // The same of what a device is shown first, however long it is: it counts apart from what the
    // device has not taken. Whoever begins to show it asks for room first.
    virtual void send_first(std::string message) = 0;
    // `account`: the budget of the device's account.
    [[nodiscard]] virtual bool has_room_for_first(const QueueBudget& account) const = 0;
    // What is queued counts for this too: first for the process, then for the account.
    virtual void count_for(std::shared_ptr<QueueBudget> budget) = 0;
    // Whether the device is still there: it is pinged, and anything that comes of it within the
    // time says yes. `answer` is called once, not from within probe().
    virtual void probe(std::chrono::milliseconds within,
                       std::function<void(bool there)> answer) = 0;
    // After what is queued, with the close code of the reason, and within a few seconds; at once if
    // much of what the device is shown first still waits. Neither callback is called any more.
    virtual void close(std::string_view reason) = 0;

    std::function<void(std::string_view message)> received;
    std::function<void()> closed;
};

}  // namespace fatwal::process
