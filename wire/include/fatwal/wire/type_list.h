// The column types, once. The type codes, which slots hold values, the C++ types of generated
// structs and of getters, the names that `fatwal codegen` knows and the oids that the plugin knows
// are all made from the two lists here; a switch over TypeCode that lacks one does not compile. The
// tables in docs/ and test/integration/subscriber.py, a reader in another language, are compared
// with them by test/unit/wire_types.cpp.
//
// A new type is one line at the end of FATWAL_TYPES and one for each of its Postgres types in
// FATWAL_POSTGRES_TYPES. Codes are never given twice and never change: rows that fatwald holds, and
// readers of other releases, have them. What a reader does with a code of a later release says "How
// the format grows" in docs/wire-format.md: it is why a new type needs no new version of the
// format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fatwal::wire {

// What a slot of eight bytes holds: the value itself, or offset and length of its bytes.
enum class Slot : std::uint8_t { Fixed, Variable };

// The value to a reader in C++: a member of a generated struct (docs/codegen.md).
enum class CppType : std::uint8_t {
    Bool,
    Integer,
    Floating,
    String,
    Uuid,
    Timestamp,
    Json,
    Enum,
    Array
};

// The value as JSON (docs/tail-json.md). Exact: a number that a double does not hold, which is a
// string unless the reader asks for numbers.
enum class JsonForm : std::uint8_t { Boolean, Number, Exact, String, Value, Array };

// Whether every value of the slot can be rendered. Checked: some bytes are no value of the type, so
// a reader tries before it prints.
enum class Validity : std::uint8_t { Any, Checked };

// TYPE(code, name, slot, C++ type, the code whose values are the same to a reader in C++, JSON
// form, validity)
// clang-format off
#define FATWAL_TYPES(TYPE)                                                     \
    TYPE(0, Other, Variable, String, Other, String, Checked)                   \
    TYPE(1, Bool, Fixed, Bool, Bool, Boolean, Any)                             \
    TYPE(2, Int2, Fixed, Integer, Int8, Number, Any)                           \
    TYPE(3, Int4, Fixed, Integer, Int8, Number, Any)                           \
    TYPE(4, Int8, Fixed, Integer, Int8, Exact, Any)                            \
    TYPE(5, Float4, Fixed, Floating, Float8, Number, Any)                      \
    TYPE(6, Float8, Fixed, Floating, Float8, Number, Any)                      \
    TYPE(7, Numeric, Variable, String, Numeric, Exact, Checked)                \
    TYPE(8, Text, Variable, String, Text, String, Checked)                     \
    TYPE(9, Bytea, Variable, String, Bytea, String, Any)                       \
    TYPE(10, Uuid, Variable, Uuid, Uuid, String, Checked)                      \
    TYPE(11, Json, Variable, Json, Jsonb, Value, Checked)                      \
    TYPE(12, Jsonb, Variable, Json, Jsonb, Value, Checked)                     \
    TYPE(13, Date, Fixed, String, Date, String, Any)                           \
    TYPE(14, Time, Fixed, String, Time, String, Checked)                       \
    TYPE(15, TimeTz, Variable, String, TimeTz, String, Checked)                \
    TYPE(16, Timestamp, Fixed, Timestamp, Timestamp, String, Any)              \
    TYPE(17, TimestampTz, Fixed, Timestamp, TimestampTz, String, Any)          \
    TYPE(18, Interval, Variable, String, Interval, String, Checked)            \
    TYPE(19, Inet, Variable, String, Inet, String, Checked)                    \
    TYPE(20, Cidr, Variable, String, Cidr, String, Checked)                    \
    TYPE(21, MacAddr, Fixed, String, MacAddr, String, Any)                     \
    TYPE(22, Oid, Fixed, Integer, Oid, Number, Any)                            \
    TYPE(23, Enum, Fixed, Enum, Enum, String, Checked)                         \
    TYPE(24, Array, Variable, Array, Array, Array, Checked)

// The types of pg_catalog that have a code of their own: TYPE(name, X of the server's XOID, its
// number, code). The number never changes; extension/column.cpp compares it with the server's.
// An enum is known by its kind and citext by its shape (extension/column.cpp); all else is Other.
#define FATWAL_POSTGRES_TYPES(TYPE)                                            \
    TYPE(bool, BOOL, 16, Bool)                                                 \
    TYPE(int2, INT2, 21, Int2)                                                 \
    TYPE(int4, INT4, 23, Int4)                                                 \
    TYPE(int8, INT8, 20, Int8)                                                 \
    TYPE(float4, FLOAT4, 700, Float4)                                          \
    TYPE(float8, FLOAT8, 701, Float8)                                          \
    TYPE(numeric, NUMERIC, 1700, Numeric)                                      \
    TYPE(text, TEXT, 25, Text)                                                 \
    TYPE(varchar, VARCHAR, 1043, Text)                                         \
    TYPE(bpchar, BPCHAR, 1042, Text)                                           \
    TYPE(name, NAME, 19, Text)                                                 \
    TYPE(bytea, BYTEA, 17, Bytea)                                              \
    TYPE(uuid, UUID, 2950, Uuid)                                               \
    TYPE(json, JSON, 114, Json)                                                \
    TYPE(jsonb, JSONB, 3802, Jsonb)                                            \
    TYPE(date, DATE, 1082, Date)                                               \
    TYPE(time, TIME, 1083, Time)                                               \
    TYPE(timetz, TIMETZ, 1266, TimeTz)                                         \
    TYPE(timestamp, TIMESTAMP, 1114, Timestamp)                                \
    TYPE(timestamptz, TIMESTAMPTZ, 1184, TimestampTz)                          \
    TYPE(interval, INTERVAL, 1186, Interval)                                   \
    TYPE(inet, INET, 869, Inet)                                                \
    TYPE(cidr, CIDR, 650, Cidr)                                                \
    TYPE(macaddr, MACADDR, 829, MacAddr)                                       \
    TYPE(oid, OID, 26, Oid)
// clang-format on

#define FATWAL_TYPE_CODE(code, name, slot, cpp, reads_as, json, validity) name = (code),
enum class TypeCode : std::uint8_t { FATWAL_TYPES(FATWAL_TYPE_CODE) };
#undef FATWAL_TYPE_CODE

struct TypeInfo {
    TypeCode code;
    std::string_view name;  // of the enumerator
    Slot slot;
    CppType cpp;
    TypeCode reads_as;
    JsonForm json;
    Validity validity;
};

#define FATWAL_TYPE_INFO(code, name, slot, cpp, reads_as, json, validity)         \
    TypeInfo{TypeCode::name,     #name,          Slot::slot,        CppType::cpp, \
             TypeCode::reads_as, JsonForm::json, Validity::validity},
inline constexpr auto kTypes = std::to_array<TypeInfo>({FATWAL_TYPES(FATWAL_TYPE_INFO)});
#undef FATWAL_TYPE_INFO
inline constexpr auto kTypeCodes = static_cast<std::uint8_t>(kTypes.size());

// Whether this release knows the type. The extension may be newer: its codes are read past, as each
// column has a slot of eight bytes whatever its type.
[[nodiscard]] constexpr bool is_known(TypeCode code) noexcept {
    return static_cast<std::uint8_t>(code) < kTypeCodes;
}

// What the list says of a code that is_known().
[[nodiscard]] constexpr const TypeInfo& info_of(TypeCode code) noexcept {
    return kTypes[static_cast<std::uint8_t>(code)];
}

namespace type_list {

// So that info_of() finds a code at its place: each line has the number of the lines before it.
constexpr bool codes_are_dense() {
    for (std::size_t i = 0; i < kTypes.size(); ++i)
        if (static_cast<std::size_t>(kTypes[i].code) != i) return false;
    return true;
}
static_assert(codes_are_dense(), "a line of FATWAL_TYPES has a code that is not its place");

// A bit for each code: a reader asks it for every cell, where a look-up in the list would cost
// more.
constexpr std::uint64_t fixed_types() {
    std::uint64_t bits = 0;
    for (const TypeInfo& type : kTypes)
        if (type.slot == Slot::Fixed) bits |= std::uint64_t{1} << static_cast<unsigned>(type.code);
    return bits;
}
static_assert(kTypeCodes <= 64, "fixed_types() has a bit for each code");
inline constexpr std::uint64_t kFixedTypes = fixed_types();

}  // namespace type_list

// Whether the slot of this type holds the value itself and not an offset and a length. False for a
// code that is not known.
[[nodiscard]] constexpr bool is_fixed(TypeCode code) noexcept {
    return is_known(code) && (type_list::kFixedTypes >> static_cast<unsigned>(code) & 1U) != 0;
}

}  // namespace fatwal::wire
