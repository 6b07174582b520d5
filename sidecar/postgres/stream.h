// The messages of Postgres's streaming replication protocol, on a connection that is in COPY BOTH.
// Not blocking. Source: https://www.postgresql.org/docs/current/protocol-replication.html
//
// With the plugin pgoutput a decoder makes the messages of the plugin fatwal of what comes
// (sidecar/pgoutput/decoder.h). Whoever reads the stream sees no difference, but for one: the
// stream can wait for what the catalogs say of a table (waits_for(), learn()).
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <variant>

#include "fatwal/wire/frame.h"
#include "fatwal/wire/types.h"
#include "sidecar/pgoutput/decoder.h"
#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

struct FreeCopyData {
    void operator()(char* buffer) const { PQfreemem(buffer); }
};

// A message of the plugin.
struct PluginMessage {
    // What libpq allocated for the message, when it stands alone in its CopyData: a large frame is
    // then handed on without a copy. Empty for one of several, whose bytes live until the next
    // message is asked for.
    std::unique_ptr<char, FreeCopyData> buffer;
    wire::Bytes message;
};

// The messages of one CopyData, one behind the other. The plugin packs the frames of a transaction
// for many accounts into one, as a walsender pays for each CopyData; what follows here (ledger,
// accounts, schemas) sees each message in its turn, as before.
class CopyData {
public:
    CopyData() = default;
    // The messages begin at `from` in what libpq gave, which is `length` bytes long.
    CopyData(std::unique_ptr<char, FreeCopyData> buffer, std::size_t from, std::size_t length)
        : buffer_(std::move(buffer)),
          rest_(wire::as_bytes({buffer_.get() + from, length - from})),
          whole_(rest_),
          left_(true) {}

    // The next message; nothing when all were given. A malformed one comes with all that follows
    // it, and so is refused by its reader.
    [[nodiscard]] std::optional<PluginMessage> next();

private:
    std::unique_ptr<char, FreeCopyData> buffer_;
    wire::Bytes rest_;
    wire::Bytes whole_;
    bool left_ =
        false;  // also while the rest is empty: a CopyData without bytes is one malformed message
};

struct Keepalive {
    wire::Lsn wal_end = 0;
    bool reply_requested = false;
};

class Stream {
public:
    Stream(Connection connection, const Settings& settings);

    [[nodiscard]] int fd() const { return PQsocket(connection_.get()); }

    // Reads what the socket has. False when the connection is lost.
    bool read_socket() { return PQconsumeInput(connection_.get()) == 1; }

    // The next message that was read; nothing when none is whole, or the stream waits for facts.
    // When it has ended see failure().
    struct Next {
        std::variant<std::monostate, PluginMessage, Keepalive> message;
        bool ended = false;
    };
    Next next();

    // What the stream needs from the catalogs before next() can go on; null: nothing. Until learn()
    // there is no use in reading the socket.
    [[nodiscard]] const pgoutput::Wanted* waits_for() const {
        return waits_ ? &decoder_->wanted() : nullptr;
    }
    // Takes what was asked for. False: it is to be asked for again (Decoder::learn()).
    [[nodiscard]] bool learn(pgoutput::RelationFacts facts, bool insist);

    enum class Reply { NotWanted, Wanted };
    // Notifies the server of what is received and what is confirmed; it may be asked for a
    // keepalive in reply, which shows that it is alive. False when the connection is lost.
    bool confirm(wire::Lsn received, wire::Lsn confirmed, Reply reply = Reply::NotWanted);
    // Whether bytes wait for the socket to take them; then call flush() when it is writable.
    bool flush() { return PQflush(connection_.get()) == 0; }

    // Ends the stream in order: CopyDone, then what the server still sends is read away until
    // `deadline`.
    void finish(std::chrono::steady_clock::time_point deadline);

    // Why the stream ended.
    Failure failure();

    // When the server sent what next() gave last, by its own clock; 0 before the first.
    [[nodiscard]] wire::Microseconds sent() const { return sent_; }

private:
    Next receive();
    Next next_decoded();

    wire::Microseconds sent_ = 0;
    Connection connection_;  // in COPY BOTH, not blocking
    CopyData data_;          // that was read last, as far as its messages were not given yet
    std::unique_ptr<pgoutput::Decoder> decoder_;  // of pgoutput; else null
    std::optional<PluginMessage> held_;           // of pgoutput, that the decoder has not taken yet
    bool waits_ = false;
    std::optional<Failure> malformed_;
};

}  // namespace fatwal::sidecar
