// Writes where devices were last seen, and takes away the rows of flows that have ended, on a
// thread of its own.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "portal/process/background_thread.h"
#include "portal/process/join_request.h"

namespace fatwal::process {

// The last_seen_* columns of a device and its token state the context that its flows are judged by
// after a restart; the first use of a client's or relay's token binds it to that device. Once a
// second goes what came in it, with a statement for clients, one for gateways and one for tokens,
// each a transaction of its own. What somebody else has locked, and all while the database is away,
// goes again, the last of each device.
//
// Devices of all tenants share a statement. A token that was deleted meanwhile, or a row that the
// database refuses, costs its own device alone (by_halves.h): the others are written, tokens are
// bound, and flows that have ended are deleted as without it.
class LastSeen {
public:
    explicit LastSeen(std::string database);
    // What waits is written first, if the database takes it at once.
    ~LastSeen();
    LastSeen(const LastSeen&) = delete;
    LastSeen& operator=(const LastSeen&) = delete;

    void seen(JoinRequest device);

private:
    class Session;
    // A relay says its id itself, which can be that of another account's device.
    struct Key {
        Role role = Role::Client;
        std::optional<Uuid> account_id;
        Uuid device_id;
        friend auto operator<=>(const Key&, const Key&) = default;
    };
    using Devices = std::map<Key, JoinRequest>;
    void loop();
    void give_back(Devices devices);

    [[nodiscard]] Devices next_devices(std::size_t most);

    std::string database_;
    Devices waiting_;  // shared with the thread; at most kMostWaiting
    Key turn_;         // of the thread: the device that was taken last
    BackgroundThread thread_;
};

}  // namespace fatwal::process
