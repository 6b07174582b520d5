// A connection to Postgres, and statements on it: libpq, never blocking, with a deadline and a
// descriptor that ends each wait (patience.h).
//
// Every connection has the same session (kSessionSettings), whatever a role or a database sets, as
// the text of values must agree between snapshots and the stream. Failures carry the server's own
// detail and hint, and whether trying again may help (sqlstate.h).
//
// A connection belongs to one thread at a time. What of it runs where: connector.h (connecting),
// keeper.h (housekeeping), snapshot_sessions.h, reread.h; the stream's is fatwald's loop's.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fatwal/wire/types.h"
#include "sidecar/failure.h"
#include "sidecar/settings.h"

namespace fatwal::sidecar {

struct CloseConnection {
    void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, CloseConnection>;
struct ClearResult {
    void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

enum class ConnectAs : std::uint8_t { Ordinary, Replication };

// Why no connection could be opened.
struct ConnectFailure : Failure {
    using Failure::Failure;
    bool refused_for_now = false;  // the server starts or shuts down
};

// Opens a connection, not blocking, with its session's settings (kSessionSettings); throws the
// ConnectFailure that `what` begins. Tries each server of the connection string for its
// connect_timeout, and stops as soon as the thread is to stop (Patience).
Connection connect(const Settings& settings, ConnectAs as, const std::string& what);

// Runs one command or query, with its parameters as text if there are any; throws the Failure that
// `what` begins. Waits as the thread's Patience says: a statement that is not answered by then is
// canceled, and still_runs() is true of its connection.
Result run(PGconn* connection, const std::string& what, const std::string& sql,
           const std::vector<std::string>& parameters = {});

// Whether a statement was left running: the connection is of no more use.
bool still_runs(PGconn* connection);

// What each connection sets, by name and value, whatever a role or a database sets. The first group
// makes the text of values the same on each connection: snapshots and the stream must agree, today
// and after an ALTER ROLE. The second lets our own statements work. A statement's timeout is its
// thread's own.
inline constexpr std::pair<const char*, const char*> kSessionSettings[] = {
    {"client_encoding", "UTF8"},
    {"DateStyle", "ISO, MDY"},
    {"IntervalStyle", "postgres"},
    {"TimeZone", "UTC"},
    {"bytea_output", "hex"},
    {"extra_float_digits", "3"},
    {"lc_monetary", "C"},
    {"search_path", "pg_catalog"},
    {"quote_all_identifiers", "off"},
    {"standard_conforming_strings", "on"},
    {"default_transaction_read_only", "off"},
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_deferrable", "off"},
    {"statement_timeout", "0"},
    {"lock_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
    {"idle_session_timeout", "0"}};
// The command that streams `slot` from `from` on; 0: from its confirmed position.
std::string start_replication(PGconn* connection, const Settings& settings, const std::string& slot,
                              wire::Lsn from);

// The failure of a libpq call, with the server's own detail and hint. Fatal unless another attempt
// may succeed.
Failure failure_of(const std::string& what, PGconn* connection, PGresult* result = nullptr);

// An LSN as the server writes it; 0 when it is none.
wire::Lsn lsn_of(const std::string& text);

// `text` as an SQL literal or identifier of this connection: whether a backslash escapes in a
// literal is a setting of the session (standard_conforming_strings), which libpq knows. For
// statements that take no parameters: COPY, and all that goes through a walsender. Throws a Failure
// when libpq refuses the text.
std::string quote_literal(PGconn* connection, const std::string& text);
std::string quote_identifier(PGconn* connection, const std::string& text);
// `text` as a literal of a replication command. Their grammar is not SQL's: a backslash never
// escapes, and E'...', which libpq writes for one, is a syntax error.
std::string quote_replication_literal(const std::string& text);

}  // namespace fatwal::sidecar
