#include "portal/access/json_text.h"

#include "fatwal/wire/text.h"

namespace fatwal::access {

std::optional<Json> parse_json(std::string_view text) {
    if (!wire::is_json(text, kMostDepth)) return std::nullopt;
    Json out = Json::parse(text, nullptr, false);
    if (out.is_discarded()) return std::nullopt;
    return out;
}

}  // namespace fatwal::access
