// The messages of Postgres's streaming replication protocol, on a connection that is in COPY BOTH. Not blocking.
// Source: https://www.postgresql.org/docs/current/protocol-replication.html
#pragma once

#include <functional>
#include <memory>

#include "connection.h"
#include "fatwal/wire/bytes.h"
#include "fatwal/wire/types.h"

namespace fatwal {

struct FreeCopyData {
    void operator()(char* buffer) const { PQfreemem(buffer); }
};

// A message of the plugin with the buffer that libpq gave it in.
struct Received {
    std::unique_ptr<char, FreeCopyData> buffer;
    wire::Bytes message;  // within `buffer`
};

struct Keepalive {
    wire::Lsn wal_end = 0;
    bool reply_requested = false;
};

class Stream {
public:
    enum class State { Open, Ended };

    explicit Stream(Connection connection) : connection_(std::move(connection)) {}

    [[nodiscard]] int fd() const { return PQsocket(connection_.get()); }

    // Reads what the socket has. False when the connection is lost.
    bool read_socket() { return PQconsumeInput(connection_.get()) == 1; }

    // The next message that was read; nothing when none is whole. On Ended see failure().
    struct Next {
        std::variant<std::monostate, Received, Keepalive> message;
        State state = State::Open;
    };
    Next next();

    // Tells the server what is received and what is settled. False when the connection is lost.
    bool confirm(wire::Lsn received, wire::Lsn settled);
    // Whether bytes wait for the socket to take them; then call flush() when it is writable.
    bool flush() { return PQflush(connection_.get()) == 0; }

    // Ends the stream in order: CopyDone, then what the server still sends is read away until `deadline`.
    void finish(std::chrono::steady_clock::time_point deadline);

    // Why the stream ended.
    Failure failure();

private:
    Connection connection_;  // in COPY BOTH, not blocking
};

}  // namespace fatwal
