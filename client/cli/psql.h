// Runs psql, which every client installation has: the command line does not link libpq.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fatwal::cli {

// A connection string, or the name of a database, and the password that stood in it.
struct Conninfo {
    std::string text;
    std::optional<std::string> password;
};
// psql gets the password by its environment: the arguments of a process are for everybody to read.
[[nodiscard]] Conninfo split_password(const std::string& database);

inline constexpr std::chrono::milliseconds kWithoutLimit{0};
// For what only reads: a server that is frozen must not freeze who asks what is wrong.
inline constexpr std::chrono::seconds kPsqlWithin{30};

// What psql prints for `script` with these variables: rows without header, columns by |. Nothing
// when it cannot be run, fails or takes longer than `within`; then stderr has the reason.
[[nodiscard]] std::optional<std::string> run_psql(
    const std::string& database, const std::vector<std::pair<std::string, std::string>>& variables,
    const std::string& script, std::chrono::milliseconds within = kWithoutLimit);

// The same, but what psql says on stderr is kept: `error`, on one line, when there is no output.
struct PsqlAnswer {
    std::optional<std::string> output;
    std::string error;
};
[[nodiscard]] PsqlAnswer ask_psql(const std::string& database,
                                  const std::vector<std::pair<std::string, std::string>>& variables,
                                  const std::string& script,
                                  std::chrono::milliseconds within = kPsqlWithin);

// A psql that stays, for scripts that are run again and again on one connection. It is started when
// there is something to run, and again after a failure. One thread.
class PsqlSession {
public:
    explicit PsqlSession(std::string database);
    ~PsqlSession();
    PsqlSession(const PsqlSession&) = delete;
    PsqlSession& operator=(const PsqlSession&) = delete;

    // What ask_psql() gives. A script that has not ended within `within` is ended, and its
    // connection with it.
    [[nodiscard]] PsqlAnswer ask(const std::string& script, std::chrono::milliseconds within);

private:
    class Running;

    std::string database_;
    std::unique_ptr<Running> child_;
};

// Whether a connection pooler answers at this address, which lets no replication connection
// through. False also where nobody answers in time.
[[nodiscard]] bool is_pooled(const std::string& database,
                             std::chrono::milliseconds within = std::chrono::seconds(10));

}  // namespace fatwal::cli
