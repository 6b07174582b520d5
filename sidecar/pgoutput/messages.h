// The messages of the output plugin pgoutput, protocol 1. Source:
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
//
// A reader checks each message against its bytes; what does not hold gives nothing, and nothing
// outside the bytes is read. Texts are views of the message.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fatwal/wire/bytes.h"
#include "fatwal/wire/types.h"

namespace fatwal::sidecar::pgoutput {

struct Begin {
    wire::Lsn commit_lsn = 0;  // where the commit record begins
    wire::Microseconds commit_time = 0;
    std::uint32_t xid = 0;
};

struct Commit {
    wire::Lsn commit_lsn = 0;
    wire::Lsn end_lsn = 0;  // where the commit record ends
};

struct Relation {
    struct Column {
        std::string name;
        bool identity = false;
        std::uint32_t type = 0;
        std::int32_t modifier = -1;
        friend bool operator==(const Column&, const Column&) = default;
    };
    std::uint32_t oid = 0;
    std::string schema;
    std::string name;
    char replica_identity = 'd';
    std::vector<Column> columns;
    friend bool operator==(const Relation&, const Relation&) = default;
};

// A type that is not built in; of a domain the name is its base type's.
struct Type {
    std::uint32_t oid = 0;
    std::string_view schema;
    std::string_view name;
};

struct Field {
    enum class State : std::uint8_t { Null, Unchanged, Text };
    State state = State::Null;
    std::string_view text;
};
using Tuple = std::vector<Field>;

// `old` has one field for each column of the relation: all of them under REPLICA IDENTITY FULL,
// else only the identity's columns have values.
struct Change {
    char kind = 'I';  // 'I', 'U' or 'D'
    std::uint32_t relation = 0;
    bool has_old = false;
};

struct Truncate {
    std::vector<std::uint32_t> relations;
    bool cascade = false;
    bool restart_identity = false;
};

struct Emitted {
    bool transactional = false;
    wire::Lsn lsn = 0;  // where the message's record ends
    const char* prefix = "";
    std::string_view content;
};

// What is of no concern here: the origin of a transaction.
struct Passed {};

using Message = std::variant<Begin, Commit, Relation, Type, Change, Truncate, Emitted, Passed>;

// The tuples of a change, whose storage is used again from one message to the next.
struct Tuples {
    Tuple newer;
    Tuple old;
};

// Nothing when the message is malformed, or of a kind that protocol 1 does not have.
[[nodiscard]] std::optional<Message> read_message(wire::Bytes bytes, Tuples& tuples);

}  // namespace fatwal::sidecar::pgoutput
