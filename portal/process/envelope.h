// What a device receives, as text: {"event", "payload"}, with what else belongs around a payload.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "portal/access/basics.h"

namespace fatwal::process {

class Link;

// JSON as text. Bytes of a row or of a peer that are no UTF-8 are replaced: an exception here would
// end the work of a whole account.
[[nodiscard]] std::string text_of(const access::Json& json);

// An event. `committed`: when the change was committed that it is about, in microseconds since
// 1970; a device measures by it how old an event is.
[[nodiscard]] std::string envelope(std::string_view event, const access::Json& payload,
                                   const std::optional<access::Instant>& committed = {});

// The answer to a device's message. `ref`: what the device has named its message; null: nothing.
[[nodiscard]] std::string reply_envelope(bool ok, const access::Json& payload,
                                         const access::Json& ref);

// Sends disconnect{reason}, then closes: the one way in which the process ends a device's
// connection and says why.
void disconnect(Link& link, const std::string& reason);

}  // namespace fatwal::process
