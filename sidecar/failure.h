// A failure of fatwald's: what it means for the stream, beside the three parts that a person needs.
#pragma once

#include <string>
#include <utility>

#include "service/failure.h"

namespace fatwal::sidecar {

struct Failure : service::Failure {
    Failure() = default;
    Failure(std::string what_failed, std::string what_was_found, std::string what_mends_it,
            bool is_fatal = true, std::string sqlstate = {}, bool loses_the_slot = false)
        : service::Failure(std::move(what_failed), std::move(what_was_found),
                           std::move(what_mends_it)),
          fatal(is_fatal),
          state(std::move(sqlstate)),
          slot_lost(loses_the_slot) {}

    bool fatal = true;  // trying again would find the same, until somebody mends it
    std::string state;  // the SQLSTATE, if the server raised it
    // The slot cannot be streamed any more: on_lost_slot says what follows, also once it has
    // streamed.
    bool slot_lost = false;
    bool out_of_room = false;  // the spools hold as much as they may
    bool decoding = false;     // the output plugin could not decode a change
};

}  // namespace fatwal::sidecar
