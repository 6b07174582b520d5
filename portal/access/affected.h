// Which channels a transaction may concern.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "portal/access/basics.h"

namespace fatwal::access {

// A row that grants nothing as it, or a part of it, cannot be understood: for the log.
struct Issue {
    std::string table;
    std::string key;
    std::string reason;
};

// What a client holds at a gateway.
struct Pair {
    Uuid client_id;
    Uuid resource_id;
    friend auto operator<=>(const Pair&, const Pair&) = default;
};

// What of a transaction concerns one gateway channel.
struct GatewayImpact {
    std::vector<Pair>
        pairs;          // of its pairs: those whose justification or resource may differ; each once
    Ids deleted_flows;  // rows of flows of this gateway that are gone
    std::vector<Uuid> written_flows;  // that have come
    Ids moved_clients;  // of its pairs: by their rows they are connected from elsewhere than before
    bool itself = false;  // its own row, token, site or account
};

// Of attached channels only; none of them is affected more often than once a transaction.
struct Affected {
    Ids clients;
    std::unordered_map<Uuid, GatewayImpact> gateways;
    bool ignored = false;      // the transaction was applied already (worth an info in the log)
    bool quarantined = false;  // the state has just put itself aside: take a new snapshot
    std::size_t bad_rows = 0;  // how many were left out
    // For the log, at most kMaxIssues: the first of them, and rows that are there but make no
    // sense, as a policy with a malformed condition. Each of these is named once for each of its
    // contents.
    std::vector<Issue> issues;
    static constexpr std::size_t kMaxIssues = 100;
    // Of the account's settings, when they differ from the last report: what of them is ignored.
    std::vector<std::string> ignored_settings;
};

}  // namespace fatwal::access
