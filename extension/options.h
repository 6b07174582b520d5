// The options of START_REPLICATION and of pg_logical_slot_*_binary_changes.
#pragma once

#include "extension/server.h"

namespace fatwal::plugin {

inline constexpr int kDefaultFrameBytes = 64 * 1024;

struct Options {
    List* publication_names;  // of char*
    std::size_t frame_bytes;
    bool messages;
};

// Reads the options; refuses unknown and malformed ones with the list of the known ones. Lasts in
// the current context.
Options parse_options(List* options);

// The names in a list of publications (fatwal/wire/publication_names.h), one at least; an ERROR
// when it is none. Lasts in the current context.
List* parse_publication_names(const char* text);

}  // namespace fatwal::plugin
