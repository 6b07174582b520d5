// A failure in the three parts that a person needs: what failed, what was found, what mends it.
#pragma once

#include <string>

namespace fatwal {

struct Failure {
    std::string message;
    std::string detail;
    std::string hint;
    bool fatal = true;       // trying again would find the same
    std::string state = {};  // the SQLSTATE, if the server raised it

    [[nodiscard]] std::string text() const {
        std::string all = message;
        if (!detail.empty()) all += "\n  detail: " + detail;
        if (!hint.empty()) all += "\n  hint: " + hint;
        return all;
    }
};

}  // namespace fatwal
