// What is taken out of a text before somebody else reads it: `fatwal bundle`. No I/O.
//
// It goes by the forms that fatwald's and Postgres's messages have, so it is a second line: the
// first is that nothing else than these texts can hold a secret or a value of a row.
#pragma once

#include <cstdint>
#include <string>

#include "client/cli/diagnosis.h"

namespace fatwal::cli {

// Passwords of connection strings and addresses, bearer tokens, keys, and the values of rows that
// Postgres's messages quote. A very long line is cut.
[[nodiscard]] std::string without_secrets(const std::string& text);

// As fatwald's log names them: `subscriber "n" of account k`.
[[nodiscard]] std::string with_disguised_names(const std::string& text, const Disguise& disguise);

// The same name is the same text within one bundle; without `salt` nobody can try names out.
[[nodiscard]] std::string hashed_name(const std::string& name, std::uint64_t salt);

// Takes out of what doctor.sql and STATUS gave what may hold values of rows, and disguises names.
void redact(Observed& observed);

}  // namespace fatwal::cli
