// Whether a failure of Postgres passes by itself, by its SQLSTATE.
//
// A failure that passes is tried again with a growing pause: the server starts, is full, switches
// over, or cannot be reached. Any other one waits for a person, so fatwald ends with it at its
// first start, where that person reads it. Once it has streamed it tries those again too
// (daemon.cpp): somebody mends them, and subscribers need not wait for another start.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fatwal::sidecar {

// Empty is a failure that the server did not report: the network, or libpq itself.
[[nodiscard]] bool passes(std::string_view sqlstate);

// The SQLSTATEs in an error of libpq that was made with PQERRORS_VERBOSE. The error of a refused
// connection has no other form.
[[nodiscard]] std::vector<std::string> sqlstates_in(std::string_view error);

// What to do about an error of libpq that is about TLS; empty for any other. A person mends them.
[[nodiscard]] std::string_view tls_hint(std::string_view error);

// Whether connecting again may do better, by libpq's error (PQERRORS_VERBOSE).
[[nodiscard]] bool connecting_passes(std::string_view error);

// Whether decoding failed because the publication was not there when the change was made: pgoutput
// reads it as it was then. Known by the server's English text.
[[nodiscard]] bool is_of_a_missing_publication(std::string_view sqlstate, std::string_view message);

}  // namespace fatwal::sidecar
