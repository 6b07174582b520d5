// Runs psql, which every client installation has: the command line does not link libpq.
#pragma once

#include <chrono>
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

// A psql that stays, for scripts that are run again and again on one connection. It is started when
// there is something to run, and again after a failure. One thread.
class PsqlSession {
public:
    explicit PsqlSession(std::string database) : database_(std::move(database)) {}
    ~PsqlSession() { end(); }
    PsqlSession(const PsqlSession&) = delete;
    PsqlSession& operator=(const PsqlSession&) = delete;

    // What ask_psql() gives. A script that has not ended within `within` is ended, and its
    // connection with it.
    [[nodiscard]] PsqlAnswer ask(const std::string& script, std::chrono::milliseconds within);

private:
    void begin();
    void end();
    // False: psql has ended, or the time is over.
    bool read_some(std::string& to, std::chrono::steady_clock::time_point until) const;

    std::string database_;
    int child_ = -1;
    int in_ = -1;
    int out_ = -1;
};

// Whether a connection pooler answers at this address, which lets no replication connection
// through. False also where nobody answers.
[[nodiscard]] bool is_pooled(const std::string& database);

}  // namespace fatwal::cli
