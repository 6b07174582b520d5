// Answers of the console's pages.
#pragma once

#include <string>

#include "client/console/json.h"
#include "service/http.h"

namespace fatwal::console {

[[nodiscard]] inline service::HttpAnswer json_answer(const Json& json, unsigned status = 200) {
    return {status, text_of(json), "application/json", {}, {}, {}};
}

// `hint`: what to do; empty when the error says it.
[[nodiscard]] inline service::HttpAnswer refusal(unsigned status, const std::string& error,
                                                 const std::string& hint) {
    return json_answer({{"error", error}, {"hint", hint}}, status);
}

}  // namespace fatwal::console
