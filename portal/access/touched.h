// What the changes of one transaction concern, before the channels of it are known.
#pragma once

#include <string>
#include <unordered_map>

#include "portal/access/affected.h"
#include "portal/access/basics.h"

namespace fatwal::access {

struct Touched {
    Ids actors;
    Ids groups;
    // Managed groups that may be everyone's now and were not, or were: whether they were, before
    // the first of the changes.
    std::unordered_map<Uuid, bool> were_everyones;
    Ids clients;
    Ids moved_clients;    // connected from elsewhere, by their rows
    Ids resources;        // as gateways see them too
    Ids shown_resources;  // only as clients are shown them
    Ids tokens;
    Ids gateways;
    bool account = false;
    // Why the rows that are known no longer say what is in the database; empty: they do.
    std::string poisoned_by;
    // Of it the issues, and the flows of gateways that came and went. Whoever begins the
    // transaction sets it.
    Affected* out = nullptr;
};

}  // namespace fatwal::access
