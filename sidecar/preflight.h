// What the server must have before a slot can be streamed.
#pragma once

#include <optional>

#include "connection.h"

namespace fatwal {

struct Server {
    bool slot_exists = false;
    std::chrono::milliseconds sender_timeout{0};
};

// Checks settings, extension, role, publications and slot over an ordinary connection; the first lack is the failure, with the statement
// that mends it.
std::variant<Server, Failure> preflight(PGconn* connection, const Settings& settings);

}  // namespace fatwal
