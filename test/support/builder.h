// Builds messages of the wire format, for tests that need them without a server.
#pragma once

#include <string>
#include <vector>

#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "fatwal/wire/schema.h"

namespace fatwal::test {

template <class T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_str(std::string& out, std::string_view text);
void pad8(std::string& out);

struct ColumnSpec {
    std::string name;
    wire::TypeCode code;
    wire::TypeCode element = wire::TypeCode::Other;
    std::vector<std::pair<std::uint32_t, std::string>> labels = {};
    std::int16_t attribute_number = 0;  // 0: by its place
};

std::string schema_message(std::uint32_t relation, const std::string& table,
                           const std::vector<ColumnSpec>& columns, std::int16_t account_column = -1,
                           char replica_identity = 'f', const std::string& schema = "public");
wire::SchemaId id_of(const std::string& schema_message);

// One column of a row that is being built. Same: in a delta, not present.
struct Value {
    enum class Kind : std::uint8_t { Fixed, Variable, Null, Unavailable, Same } kind = Kind::Null;
    std::uint64_t slot = 0;
    std::string bytes = {};

    static Value fixed(std::int64_t value) {
        return {Kind::Fixed, static_cast<std::uint64_t>(value)};
    }
    static Value text(std::string bytes) { return {Kind::Variable, 0, std::move(bytes)}; }
    static Value null() { return {}; }
    static Value unavailable() { return {Kind::Unavailable}; }
    static Value same() { return {Kind::Same}; }
};
std::string row(const std::vector<Value>& values, bool delta = false);
std::string array_value(const std::vector<std::int32_t>& dimensions,
                        const std::vector<Value>& elements);

struct RecordSpec {
    wire::Op op;
    std::uint32_t ordinal = 0;
    std::uint8_t flags = 0;
    std::uint16_t relation = 0;
    std::string new_row = {};
    std::string old_row = {};
    std::string prefix = {};  // of a message
    std::string content = {};
};

struct FrameSpec {
    std::uint16_t flags = wire::kLastOfAccount | wire::kLastOfTransaction;
    std::uint32_t xid = 700;
    wire::Lsn commit_lsn = 0x100;
    wire::Lsn end_lsn = 0;
    wire::Microseconds commit_time = 0;
    wire::AccountKey account = {};
    std::vector<wire::SchemaId> relations = {};
    std::vector<RecordSpec> records = {};
};
std::string frame(const FrameSpec& spec);

}  // namespace fatwal::test
