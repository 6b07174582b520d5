// What fatwal-channel answers to GET /why, in sentences for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace fatwal::cli {

// `answer`: as portal/access/explanation.h has it. What it does not say is not said. The verdict
// comes first, then what it was made by. Control characters of names are left out.
[[nodiscard]] std::string explained(const nlohmann::json& answer);

}  // namespace fatwal::cli
