// A sink that appends to a string. Not for the extension.
#pragma once

#include <string>

#include "fatwal/wire/json.h"

namespace fatwal::wire {

// `text` outlives the sink.
[[nodiscard]] inline Sink sink_to(std::string& text) {
    return {&text, [](void* target, const char* part, std::size_t length) {
                static_cast<std::string*>(target)->append(part, length);
            }};
}

[[nodiscard]] inline std::string lsn_text(Lsn lsn) {
    std::string text;
    render_lsn(lsn, sink_to(text));
    return text;
}

}  // namespace fatwal::wire
