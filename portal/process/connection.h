// A connection to the database, for the little that the workers ask of it.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "service/failure.h"

namespace fatwal::process {

struct SqlError : service::Failure {
    SqlError(std::string_view sqlstate, const std::string& text)
        : service::Failure(text), state(sqlstate), of_the_rows(is_of_the_rows(sqlstate)) {}
    std::string state;
    bool of_the_rows;  // another attempt would find the same

private:
    // Data exceptions, constraints, the check option of a view, what a function or trigger raises,
    // and rows or index entries that cannot be read.
    static bool is_of_the_rows(std::string_view state) {
        for (const char* of : {"22", "23", "44", "P0", "XX001", "XX002"})
            if (state.starts_with(of)) return true;
        return false;
    }
};

// Blocks: to connect 5 s for each host that the connection string names (connect_timeout), then as
// long as the limits say. Every method throws SqlError.
class Connection {
public:
    // The server ends a statement that takes longer, or that waits longer for a lock. Whether the
    // server itself is silent shows 2 s behind that, and the connection is closed.
    struct Limits {
        std::chrono::milliseconds statement;
        std::chrono::milliseconds lock;
    };
    struct ClearResult {
        void operator()(PGresult* result) const { PQclear(result); }
    };
    using Result = std::unique_ptr<PGresult, ClearResult>;
    using Parameters = std::vector<std::optional<std::string>>;

    Connection(const std::string& database, const Limits& limits);

    [[nodiscard]] bool open() const { return PQstatus(connection_.get()) == CONNECTION_OK; }
    Result run(const std::string& sql, const Parameters& parameters = {});
    // `lines` in the text format, after COPY … FROM STDIN was run.
    void copy(const std::string& lines);

private:
    struct CloseConnection {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };
    Result checked(PGresult* raw);
    // As PQgetResult, but not for ever: until what begin_wait() has set.
    PGresult* next_result();
    void begin_wait();
    void wait();

    std::unique_ptr<PGconn, CloseConnection> connection_;
    std::chrono::milliseconds answer_within_;
    std::chrono::steady_clock::time_point until_;
};

}  // namespace fatwal::process
