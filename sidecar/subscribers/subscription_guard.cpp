#include "sidecar/subscribers/subscription_guard.h"

#include <algorithm>

namespace fatwal::sidecar {

bool SubscriptionGuard::admit(int descriptor, std::uint64_t inode, bool useful,
                              std::size_t attached, Time now) {
    Budgets& connection = connections_[descriptor];
    if (connection.inode != inode) connection = {inode, 0, 0, now, now};
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now - connection.since);
    if (seconds.count() > 0) {
        const auto filled = static_cast<std::uint64_t>(seconds.count());
        const auto fill = [filled](std::uint64_t& used, std::uint64_t each) {
            used -= std::min(used, filled * each);
        };
        fill(connection.messages, kMessagesPerSecond);
        fill(connection.useless, kUselessPerSecond);
        connection.since += seconds;
    }
    connection.last = now;
    ++connection.messages;
    if (!useful) ++connection.useless;
    return connection.messages <= kMessages + kMessagesForEach * std::uint64_t{attached} &&
           connection.useless <= kUseless;
}

void SubscriptionGuard::tick(Time now) {
    constexpr std::chrono::minutes kKept{1};
    std::erase_if(connections_, [&](const auto& entry) { return now - entry.second.last > kKept; });
}

}  // namespace fatwal::sidecar
