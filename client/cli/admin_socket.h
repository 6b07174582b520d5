// Asks a process fatwal-channel over its admin socket (portal/process/admin.h): one request, one
// answer.
#pragma once

#include <chrono>
#include <string>

#include <nlohmann/json.hpp>

namespace fatwal::cli {

// The JSON object that it answers. Throws std::runtime_error, with what to do, when there is no
// answer in time or it is a refusal.
[[nodiscard]] nlohmann::json ask_admin(const std::string& socket, const std::string& method,
                                       const std::string& target,
                                       std::chrono::seconds within = std::chrono::seconds(15));

// A value as it may stand in a target's query.
[[nodiscard]] std::string percent_encoded(const std::string& value);

}  // namespace fatwal::cli
