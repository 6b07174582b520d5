// LSNs as Postgres prints them.
#pragma once

#include <string>

#include "fatwal/wire/json.h"

namespace fatwal {

inline std::string lsn_text(wire::Lsn lsn) {
    std::string text;
    wire::render_lsn(
        lsn, {&text, [](void* target, const char* part, std::size_t length) { static_cast<std::string*>(target)->append(part, length); }});
    return text;
}

}  // namespace fatwal
