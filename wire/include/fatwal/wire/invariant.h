// What holds whatever peers send, rows have in them and clocks say: checked in all builds.
//
// A false invariant is a fault of ours. Going on could confirm what was not delivered, or keep
// access that was taken away, so the check throws: fatwald ends with the message and begins again
// at what is confirmed, and fatwal-channel puts the account aside and takes a new snapshot.
// The plugin has Postgres's Assert instead.
#pragma once

#include <stdexcept>
#include <string>

namespace fatwal::wire {

class InvariantError : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

[[noreturn]] inline void fail_invariant(const char* what, const char* expression, const char* file,
                                        int line) {
    throw InvariantError(std::string("this is a fault of fatwal: ") + what + " (" + expression +
                         ", " + file + ':' + std::to_string(line) + ')');
}

}  // namespace fatwal::wire

// `what`: the invariant as a sentence.
#define FATWAL_INVARIANT(expression, what) \
    ((expression) ? void(0)                \
                  : ::fatwal::wire::fail_invariant(what, #expression, __FILE_NAME__, __LINE__))
