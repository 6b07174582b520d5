// Runs psql, which every client installation has: the command line does not link libpq.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fatwal::cli {

// What psql prints for `script` with these variables: rows without header, columns by |. Nothing
// when it cannot be run or fails; then it has said why on stderr.
[[nodiscard]] std::optional<std::string> run_psql(
    const std::string& database, const std::vector<std::pair<std::string, std::string>>& variables,
    const std::string& script);

// The same, but what psql says on stderr is kept: `error`, on one line, when there is no output.
struct PsqlAnswer {
    std::optional<std::string> output;
    std::string error;
};
[[nodiscard]] PsqlAnswer ask_psql(const std::string& database,
                                  const std::vector<std::pair<std::string, std::string>>& variables,
                                  const std::string& script);

// Whether a connection pooler answers at this address, which lets no replication connection
// through. False also where nobody answers.
[[nodiscard]] bool is_pooled(const std::string& database);

}  // namespace fatwal::cli
