// What a channel wants done. Whoever calls a channel carries out its actions in their order; allow
// and reject of one pair rely on it.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "portal/access/basics.h"
#include "portal/access/peer_message.h"
#include "portal/rows/portal.h"

namespace fatwal::access {

// An event to the channel's own device.
struct Push {
    std::string event;
    Json payload;
};

// The answer to the device's message that is being handled. Messages without one were taken.
struct Reply {
    bool ok = false;
    Json payload;  // {"reason": ...} of an error
};

// The join is refused: the device gets the reason, the connection closes. The channel is over.
struct Refuse {
    std::string reason;
};

// Push disconnect{reason}, then close. The channel is over.
struct Disconnect {
    std::string reason;
};

// To a session of the same account, maybe in another process. What cannot be delivered comes back
// by undeliverable().
struct Send {
    Address to;
    PeerMessage message;
};

// Into the FlowBatch. Of the row created_at is the time of the decision.
struct WriteFlow {
    portal::Flows row;
};

// Out of the FlowBatch if it is still in there, else out of the database.
struct DeleteFlow {
    Uuid flow_id;
};

using Action = std::variant<Push, Reply, Refuse, Disconnect, Send, WriteFlow, DeleteFlow>;
using Actions = std::vector<Action>;

}  // namespace fatwal::access
