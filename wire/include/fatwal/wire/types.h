// The words of the format: type codes, operations, flags, positions. docs/wire-format.md is their
// source.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace fatwal::wire {

inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::uint8_t kFrameKind = 'F';
inline constexpr std::uint8_t kSchemaKind = 'S';

using Lsn = std::uint64_t;
// Microseconds since 2000-01-01 00:00:00 UTC.
using Microseconds = std::int64_t;
inline constexpr std::int64_t kPostgresEpochUnixSeconds = 946'684'800;

enum class TypeCode : std::uint8_t {
    Other = 0,
    Bool = 1,
    Int2 = 2,
    Int4 = 3,
    Int8 = 4,
    Float4 = 5,
    Float8 = 6,
    Numeric = 7,
    Text = 8,
    Bytea = 9,
    Uuid = 10,
    Json = 11,
    Jsonb = 12,
    Date = 13,
    Time = 14,
    TimeTz = 15,
    Timestamp = 16,
    TimestampTz = 17,
    Interval = 18,
    Inet = 19,
    Cidr = 20,
    MacAddr = 21,
    Oid = 22,
    Enum = 23,
    Array = 24,
};
inline constexpr std::uint8_t kTypeCodes = 25;

// Whether this release knows the type. The extension may be newer: its codes are read past, as each
// column has a slot of eight bytes whatever its type.
[[nodiscard]] constexpr bool is_known(TypeCode code) noexcept {
    return static_cast<std::uint8_t>(code) < kTypeCodes;
}

// Whether the slot of this type holds the value itself and not an offset and a length.
[[nodiscard]] constexpr bool is_fixed(TypeCode code) noexcept {
    switch (code) {
        case TypeCode::Bool:
        case TypeCode::Int2:
        case TypeCode::Int4:
        case TypeCode::Int8:
        case TypeCode::Float4:
        case TypeCode::Float8:
        case TypeCode::Date:
        case TypeCode::Time:
        case TypeCode::Timestamp:
        case TypeCode::TimestampTz:
        case TypeCode::MacAddr:
        case TypeCode::Oid:
        case TypeCode::Enum: return true;
        default: return false;
    }
}

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

inline constexpr std::size_t kFrameHeaderBytes = 48;
inline constexpr std::size_t kRecordHeaderBytes = 16;
inline constexpr std::size_t kRowHeaderBytes = 8;
inline constexpr std::size_t kSchemaHeaderBytes = 24;
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
    friend auto operator<=>(const SchemaId&, const SchemaId&) = default;
};

}  // namespace fatwal::wire
