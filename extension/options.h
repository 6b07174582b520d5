// The options of START_REPLICATION and of pg_logical_slot_*_binary_changes.
#pragma once

#include "server.h"

namespace fatwal {

struct Options {
    List* publication_names;  // of char*
    std::size_t frame_bytes;
    bool messages;
};

// Reads the options; refuses unknown and malformed ones with the list of the known ones. Lasts in the current context.
Options parse_options(List* options);

}  // namespace fatwal
