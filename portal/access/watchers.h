// Which channels are attached to an account, what gateways hold, and whom of them a change
// concerns.
//
// A change says what it touched by rows: an actor, a group, a resource. resolve() turns that into
// channels, and asks from the smaller side:
//
//     touched           ─► client channels                    ─► pairs of gateway channels
//     client, actor        the actor's clients                   what the client holds
//     group                its members that are attached,        by the resources of its policies
//                          or everyone
//     resource             by the groups of its policies         who holds the resource
//     token, gateway       whose session has it                  itself
//     account              all                                   all, itself
//
// A pair is held by a gateway's channel while it lets a client through to a resource.
//
// Rule of threads: one thread at a time, as all of an account (basics.h).
//
// Invariants: only attached channels are ever affected; the two indexes of what is held have the
// same (gateway, client, resource); a channel that is attached twice (one session takes over from
// another) is attached until both have left.
#pragma once

#include <set>
#include <unordered_map>
#include <utility>

#include "portal/access/affected.h"
#include "portal/access/index.h"
#include "portal/access/rows.h"
#include "portal/access/touched.h"

namespace fatwal::access {

class Watchers {
public:
    void attach_client(const Uuid& client_id, const Uuid& token_id);
    void detach_client(const Uuid& client_id, const Uuid& token_id);
    void attach_gateway(const Uuid& gateway_id, const Uuid& token_id);
    void detach_gateway(const Uuid& gateway_id, const Uuid& token_id);
    void hold(const Uuid& gateway_id, const Pair& pair);
    void release(const Uuid& gateway_id, const Pair& pair);

    // Adds the channels that a transaction concerns, by the rows behind it; takes out of `affected`
    // the gateways that are not attached here.
    void resolve(const Rows& rows, const Touched& touched, Affected& affected) const;
    // Adds all, as after a snapshot.
    void resolve_all(Affected& affected) const;

private:
    // The counts of sessions.
    using Attached = std::unordered_map<Uuid, int>;
    // (gateway, the other of client and resource)
    using Held = std::unordered_map<Uuid, std::set<std::pair<Uuid, Uuid>>>;

    void attach(Attached& attached, const Uuid& id, const Uuid& token_id);
    void detach(Attached& attached, const Uuid& id, const Uuid& token_id);
    void resolve_client(const Uuid& client_id, Affected& affected) const;
    void resolve_moved(const Uuid& client_id, Affected& affected) const;
    void resolve_group(const Rows& rows, const Uuid& group_id, bool is_everyones,
                       Affected& affected) const;
    void resolve_resource(const Uuid& resource_id, Affected& affected) const;
    void resolve_token(const Uuid& token_id, Affected& affected) const;

    Attached clients_;
    Attached gateways_;
    Index by_token_;
    Held held_by_client_;
    Held held_of_resource_;
};

}  // namespace fatwal::access
