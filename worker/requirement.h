// What has to be before the process can start.
#pragma once

#include <stdexcept>

namespace fatwal::worker {

// Says what is missing and the statement that mends it.
struct RequirementError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace fatwal::worker
