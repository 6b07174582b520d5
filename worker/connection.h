// A connection to the database, for the little that the workers ask of it.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fatwal::worker {

struct SqlError : std::runtime_error {
    SqlError(std::string_view state, const std::string& message)
        : std::runtime_error(message),
          of_the_rows(state.starts_with("22") || state.starts_with("23")) {}
    bool of_the_rows;  // another attempt would find the same
};

// Blocks, for about a minute at most. Every method throws SqlError.
class Connection {
public:
    struct ClearResult {
        void operator()(PGresult* result) const { PQclear(result); }
    };
    using Result = std::unique_ptr<PGresult, ClearResult>;
    using Parameters = std::vector<std::optional<std::string>>;

    explicit Connection(const std::string& database);

    [[nodiscard]] bool open() const { return PQstatus(connection_.get()) == CONNECTION_OK; }
    Result run(const std::string& sql, const Parameters& parameters = {});
    // `lines` in the text format, after COPY … FROM STDIN was run.
    void copy(const std::string& lines);

private:
    struct CloseConnection {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };
    Result checked(PGresult* raw);
    // As PQgetResult, but not for ever.
    PGresult* next_result();

    std::unique_ptr<PGconn, CloseConnection> connection_;
};

// An array of texts without quotes, commas or backslashes in them: ids, names of tables.
[[nodiscard]] std::string plain_array(const std::vector<std::string>& elements);

}  // namespace fatwal::worker
