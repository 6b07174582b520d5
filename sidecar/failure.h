// A failure in the three parts that a person needs: what failed, what was found, what mends it.
#pragma once

#include <string>

namespace fatwal::sidecar {

struct Failure {
    std::string message;
    std::string detail;
    std::string hint;
    bool fatal = true;       // trying again would find the same, until somebody mends it
    std::string state = {};  // the SQLSTATE, if the server raised it
    // The slot cannot be streamed any more: on_lost_slot says what follows, also once it has
    // streamed.
    bool slot_lost = false;
    bool out_of_room = false;  // the spools hold as much as they may
    bool decoding = false;     // the output plugin could not decode a change

    [[nodiscard]] std::string text() const {
        std::string all = message;
        if (!detail.empty()) all += "\n  detail: " + detail;
        if (!hint.empty()) all += "\n  hint: " + hint;
        return all;
    }
};

}  // namespace fatwal::sidecar
