// The keys of the test programs, so that each runs over the network too: FATWAL_KEY_FILE names the
// file with our pair, FATWAL_SERVER_KEY is fatwald's public key.
#pragma once

#include <cstdlib>
#include <optional>

#include "fatwal/client/keys.h"

namespace fatwal::test {

// Nothing when the variables are not set.
inline std::optional<client::Keys> keys_from_environment() {
    const char* file = std::getenv("FATWAL_KEY_FILE");
    const char* server = std::getenv("FATWAL_SERVER_KEY");
    if (file == nullptr || server == nullptr) return std::nullopt;
    return client::Keys::from_file(file, server);
}

}  // namespace fatwal::test
