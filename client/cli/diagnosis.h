// The judgement of `fatwal doctor`: what was observed in, findings out. No I/O.
//
// What could not be observed is a finding of its own where it was asked for, and else left out:
// doctor without --control says nothing of fatwald, and without --database nothing of the database.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "client/cli/finding.h"
#include "fatwal/wire/control.h"

namespace fatwal::cli {

// How a name is shown: as it is, or hashed for others (client/cli/bundle.cpp).
using Disguise = std::function<std::string(const std::string&)>;

// A clock against this host's. The true difference is within `unsure_ms`, as the answer was
// somewhere on its way for so long.
struct ClockDifference {
    std::int64_t ahead_ms = 0;
    std::int64_t unsure_ms = 0;
};

struct Observed {
    // Each is nothing where it was not asked for. `failure`: it was, in vain.
    struct Database {
        nlohmann::json facts;  // what doctor.sql gives; null with a failure
        std::string failure;
        bool pooled = false;
        ClockDifference clock;
    };
    struct Fatwald {
        std::map<std::string, std::string> status;  // empty with a failure
        std::string failure;
        std::optional<std::vector<wire::HoldEntry>> holds;  // nothing: they cannot be read
        bool knows_holds = true;                            // false: it is older than their list
        std::optional<ClockDifference> clock;               // nothing: an older fatwald
    };
    struct KeyFile {
        std::string path;
        unsigned mode = 0;
        std::string failure;
    };
    std::optional<Database> database;
    std::optional<Fatwald> fatwald;
    std::optional<KeyFile> key_file;
    std::string slot;     // of --slot; empty: fatwald's, or whichever the database has
    std::string version;  // of this program and its library
    std::string managed;  // the comment on the schema that this program would make
    Disguise disguise = [](const std::string& name) { return name; };
};

// Sorted, the worst first.
[[nodiscard]] std::vector<Finding> diagnose(const Observed& observed);

// "1.5 GB", "2 h 5 min".
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);
[[nodiscard]] std::string seconds_text(std::uint64_t seconds);

// Who holds the slot back and until when, in one sentence.
[[nodiscard]] std::string hold_text(const wire::HoldEntry& hold, const Disguise& disguise);

}  // namespace fatwal::cli
