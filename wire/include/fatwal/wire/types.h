// The words of the format: operations, flags, positions; type_list.h has the types. Their source is
// docs/wire-format.md.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

#include "fatwal/wire/layout.h"
#include "fatwal/wire/type_list.h"

namespace fatwal::wire {

inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::uint8_t kFrameKind = 'F';
inline constexpr std::uint8_t kSchemaKind = 'S';

using Lsn = std::uint64_t;
// Microseconds since 2000-01-01 00:00:00 UTC.
using Microseconds = std::int64_t;
inline constexpr std::int64_t kPostgresEpochUnixSeconds = 946'684'800;

// Resync: rows of the relation (of any, without one) changed in a way that the stream cannot tell:
// whoever holds rows of it takes a snapshot.
enum class Op : std::uint8_t {
    Insert = 'I',
    Update = 'U',
    Delete = 'D',
    Truncate = 'T',
    Message = 'M',
    Resync = 'R'
};

[[nodiscard]] constexpr bool is_op(Op op) noexcept {
    return op == Op::Insert || op == Op::Update || op == Op::Delete || op == Op::Truncate ||
           op == Op::Message || op == Op::Resync;
}

// `op` is one of them, as FrameView::parse has checked.
[[nodiscard]] constexpr const char* op_name(Op op) noexcept {
    switch (op) {
        case Op::Insert: return "insert";
        case Op::Update: return "update";
        case Op::Delete: return "delete";
        case Op::Truncate: return "truncate";
        case Op::Message: return "message";
        case Op::Resync: return "resync";
    }
    return "unknown";
}

enum FrameFlag : std::uint16_t {
    kLastOfAccount = 1,
    kLastOfTransaction = 2,
    kNonTransactional = 4,
    kSnapshot = 8
};
enum RecordFlag : std::uint8_t {
    kMoved = 1,
    kCascade = 2,
    kRestartIdentity = 4,
    kEmitted = 8,
    kContentUnavailable = 16,  // of a message whose content is too large for the stream
    kUnrouted = 32,            // of a change whose account is not known: it went to the operators
};
enum RowFlag : std::uint8_t { kHasUnavailable = 1, kDelta = 2 };
enum ColumnFlag : std::uint8_t { kIdentity = 1, kNotNull = 2, kPrimaryKey = 4, kGenerated = 8 };

inline constexpr std::uint16_t kNoRelation = 0xFFFF;

// Where a change stands in the history of the database: the same each time that it is sent.
struct Position {
    Lsn commit_lsn = 0;
    std::uint32_t ordinal = 0;
    friend auto operator<=>(const Position&, const Position&) = default;
};

// Names a version of a table's columns.
struct SchemaId {
    std::uint32_t relation = 0;
    std::uint32_t fingerprint = 0;
    // In the order of a message of the control protocol (control.h).
    static void fields(auto& self, auto& wire) {
        wire(self.relation);
        wire(self.fingerprint);
    }
    friend auto operator<=>(const SchemaId&, const SchemaId&) = default;
};

}  // namespace fatwal::wire
