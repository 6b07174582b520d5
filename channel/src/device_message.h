// What devices say, read with its bounds.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "fatwal/channel/action.h"
#include "fatwal/channel/channel_context.h"

namespace fatwal::channel {

[[nodiscard]] inline std::optional<Uuid> read_id(const Json& payload, const char* key) {
    if (!payload.is_object()) return std::nullopt;
    const auto found = payload.find(key);
    if (found == payload.end() || !found->is_string()) return std::nullopt;
    return Uuid::from_text(found->get_ref<const std::string&>());
}

// A list of ids; nothing when it is none, or too long.
[[nodiscard]] inline std::optional<std::vector<Uuid>> read_ids(const Json& payload,
                                                               const char* key) {
    if (!payload.is_object()) return std::nullopt;
    const auto found = payload.find(key);
    if (found == payload.end() || !found->is_array() || found->size() > kMaxPeers)
        return std::nullopt;
    std::vector<Uuid> out;
    for (const Json& text : *found) {
        const auto id =
            text.is_string() ? Uuid::from_text(text.get_ref<const std::string&>()) : std::nullopt;
        if (!id) return std::nullopt;
        out.push_back(*id);
    }
    return out;
}

[[nodiscard]] inline std::optional<std::vector<std::string>> read_candidates(const Json& payload) {
    if (!payload.is_object()) return std::nullopt;
    const auto found = payload.find("candidates");
    if (found == payload.end() || !found->is_array() || found->size() > kMaxIceCandidates)
        return std::nullopt;
    std::vector<std::string> out;
    for (const Json& text : *found) {
        if (!text.is_string() || text.get_ref<const std::string&>().size() > kMaxIceCandidateBytes)
            return std::nullopt;
        out.push_back(text.get<std::string>());
    }
    return out;
}

[[nodiscard]] inline Json ice_payload(const IceCredentials& ice) {
    return {{"username", ice.username}, {"password", ice.password}};
}
[[nodiscard]] inline Json time_payload(const std::optional<Time>& time) {
    return time ? Json(unix_seconds(*time)) : Json();
}

}  // namespace fatwal::channel
