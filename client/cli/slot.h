// fatwald's slot, as the commands on it find it: `fatwal slot`.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace fatwal::cli {

// The members of the slot in pg_replication_slots, with how much WAL it keeps. Nothing when it is
// not there or not fatwald's; stderr has said which, and what to do.
[[nodiscard]] std::optional<nlohmann::json> find_slot(const std::string& database,
                                                      const std::string& slot);

}  // namespace fatwal::cli
