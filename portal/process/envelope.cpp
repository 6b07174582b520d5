#include "portal/process/envelope.h"

#include "portal/process/link.h"

namespace fatwal::process {

using access::Json;

std::string text_of(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// By hand, as a payload can be a whole account's view: an object around it would copy it.
std::string envelope(std::string_view event, const Json& payload,
                     const std::optional<access::Instant>& committed) {
    std::string out = "{";
    if (committed)
        out += "\"committed_at\":" + std::to_string(committed->time_since_epoch().count()) + ',';
    return out.append("\"event\":\"").append(event) + "\",\"payload\":" + text_of(payload) + '}';
}

std::string reply_envelope(bool ok, const Json& payload, const Json& ref) {
    Json out = {{"event", "reply"}, {"status", ok ? "ok" : "error"}, {"payload", payload}};
    if (!ref.is_null()) out["ref"] = ref;
    return text_of(out);
}

void disconnect(Link& link, const std::string& reason) {
    link.send(envelope("disconnect", {{"reason", reason}}));
    link.close(reason);
}

}  // namespace fatwal::process
