// What else knows the column types is compared with the one list of them (wire/type_list.h): the
// tables of the docs, the reader in Python, and what is rendered as JSON.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <regex>
#include <set>

#include "fatwal/wire/json.h"
#include "fatwal/wire/schema.h"
#include "fatwal/wire/text_sink.h"
#include "test/support/builder.h"
#include "test/support/page.h"

namespace fatwal {
namespace types_tests {

using wire::CppType;
using wire::JsonForm;
using wire::TypeCode;
using wire::TypeInfo;

struct PostgresType {
    std::string name;
    TypeCode code;
};
#define POSTGRES_TYPE(name, oid, number, code) PostgresType{#name, TypeCode::code},
const PostgresType kPostgresTypes[] = {FATWAL_POSTGRES_TYPES(POSTGRES_TYPE)};
#undef POSTGRES_TYPE

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

TEST(Types, HaveOneLineEachInTheWireFormat) {
    const auto rows = test::table("docs/wire-format.md", "### Types");
    ASSERT_EQ(rows.size(), wire::kTypes.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const TypeInfo& type = wire::kTypes[i];
        EXPECT_EQ(rows[i].at(0), std::to_string(i));
        EXPECT_EQ(rows[i].at(1), lower(type.name));
        const std::string slot = type.slot == wire::Slot::Fixed ? "fixed" : "variable";
        EXPECT_NE(rows[i].at(3).find(slot), std::string::npos) << rows[i].at(3);
        std::vector<std::string> names;
        for (const PostgresType& postgres : kPostgresTypes)
            if (postgres.code == type.code) names.push_back(postgres.name);
        if (type.code == TypeCode::Text) names.emplace_back("citext");  // known by its shape
        if (!names.empty()) {
            EXPECT_EQ(test::parts(rows[i].at(2), ','), names);
        }
    }
}

// The row of the table whose first column names the type.
std::vector<std::string> row_of(const std::vector<std::vector<std::string>>& rows,
                                const std::string& name) {
    std::vector<std::string> found;
    for (const auto& row : rows) {
        const auto names = test::parts(row.at(0), ',');
        if (std::find(names.begin(), names.end(), name) == names.end()) continue;
        EXPECT_TRUE(found.empty()) << name << " is in two rows";
        found = row;
    }
    EXPECT_FALSE(found.empty()) << name << " is in no row";
    return found.empty() ? std::vector<std::string>(2) : found;
}

// The pages for users name types as SQL does; enum, array and the rest have rows of their own.
std::string in_sql(const std::string& name) { return name == "bpchar" ? "char" : name; }

TEST(Types, HaveTheirCppTypeInThePageOfCodegen) {
    const std::map<CppType, std::string> members = {
        {CppType::Bool, "`bool`"},
        {CppType::Integer, "`std::int64_t`"},
        {CppType::Floating, "`double`"},
        {CppType::String, "`std::string`"},
        {CppType::Uuid, "`fatwal::client::Uuid`"},
        {CppType::Timestamp, "`fatwal::client::Timestamp`"},
        {CppType::Json, "`nlohmann::json`"}};
    const auto rows = test::table("docs/codegen.md", "## Types");
    for (const PostgresType& type : kPostgresTypes)
        EXPECT_TRUE(row_of(rows, in_sql(type.name))
                        .at(1)
                        .starts_with(members.at(wire::info_of(type.code).cpp)))
            << type.name;
}

TEST(Types, HaveTheirJsonFormInThePageOfTail) {
    const std::map<JsonForm, std::string> forms = {{JsonForm::Boolean, "true, false"},
                                                   {JsonForm::Number, "number"},
                                                   {JsonForm::Exact, "string: `\"9007"},
                                                   {JsonForm::String, "string"},
                                                   {JsonForm::Value, "the value itself"}};
    const auto rows = test::table("docs/tail-json.md", "## Values");
    for (const PostgresType& type : kPostgresTypes)
        EXPECT_TRUE(row_of(rows, in_sql(type.name))
                        .at(1)
                        .starts_with(forms.at(wire::info_of(type.code).json)))
            << type.name;
}

// The numbers that a regular expression's matches hold.
std::set<int> numbers(const std::string& text, const std::regex& where) {
    std::set<int> found;
    for (std::sregex_iterator match(text.begin(), text.end(), where), end; match != end; ++match)
        for (const std::string& number : test::parts((*match)[1].str(), ','))
            found.insert(std::stoi(number));
    return found;
}

TEST(Types, AreAllKnownToTheReaderInPython) {
    const std::string script = test::file_text("test/integration/subscriber.py");
    std::set<int> fixed;
    std::set<int> rendered;
    for (const TypeInfo& type : wire::kTypes) {
        if (type.slot == wire::Slot::Fixed) fixed.insert(static_cast<int>(type.code));
        // The last line of render() is for what is left, the arrays.
        if (type.code != TypeCode::Array) rendered.insert(static_cast<int>(type.code));
    }
    EXPECT_EQ(numbers(script, std::regex(R"(^FIXED = \{([0-9, ]+)\})", std::regex::multiline)),
              fixed);
    const auto begin = script.find("def render(");
    const std::string render = script.substr(begin, script.find("\ndef ", begin) - begin);
    std::set<int> known = numbers(render, std::regex(R"(    if code == ([0-9]+):)"));
    known.merge(numbers(render, std::regex(R"(    if code in \(([0-9, ]+)\):)")));
    EXPECT_EQ(known, rendered);
}

// A value of each type, as a reader finds it: the stored forms are in docs/wire-format.md.
wire::Cell sample(TypeCode code, std::string& bytes) {
    wire::Cell cell{wire::Cell::State::Value, 1, {}};
    switch (code) {
        case TypeCode::Bool:
        case TypeCode::Int2:
        case TypeCode::Int4:
        case TypeCode::Int8:
        case TypeCode::Date:
        case TypeCode::Time:
        case TypeCode::Timestamp:
        case TypeCode::TimestampTz:
        case TypeCode::MacAddr:
        case TypeCode::Oid:
        case TypeCode::Enum: break;
        case TypeCode::Float4: cell.slot = std::bit_cast<std::uint32_t>(1.5F); break;
        case TypeCode::Float8: cell.slot = std::bit_cast<std::uint64_t>(1.5); break;
        case TypeCode::Numeric: bytes = std::string("\x00\x80\x01\x00", 4); break;
        case TypeCode::Other:
        case TypeCode::Text:
        case TypeCode::Bytea: bytes = "x"; break;
        case TypeCode::Uuid: bytes = std::string(16, '\1'); break;
        case TypeCode::Json: bytes = "null"; break;
        // A bare scalar, null.
        case TypeCode::Jsonb: bytes = std::string("\x01\0\0\x50\0\0\0\x40", 8); break;
        case TypeCode::TimeTz: bytes = std::string(12, '\0'); break;
        case TypeCode::Interval: bytes = std::string(16, '\0'); break;
        case TypeCode::Inet:
        case TypeCode::Cidr: bytes = std::string("\4\x20\1\2\3\4", 6); break;
        case TypeCode::Array: bytes = std::string(8, '\0'); break;
    }
    cell.bytes = wire::as_bytes(bytes);
    return cell;
}

TEST(Types, AreRenderedInTheirForm) {
    const std::string label("\1\0\0\0\1\0a", 7);  // one, of oid 1
    const wire::EnumLabels labels(1, wire::as_bytes(label));
    for (const TypeInfo& type : wire::kTypes) {
        std::string bytes;
        const wire::Cell cell = sample(type.code, bytes);
        EXPECT_EQ(cell.bytes.empty(), type.slot == wire::Slot::Fixed) << type.name;
        wire::ColumnView column;
        column.code = type.code;
        column.labels = labels;
        EXPECT_TRUE(wire::can_render(cell, column)) << type.name;
        for (const auto numbers : {wire::Numbers::Strings, wire::Numbers::Json}) {
            std::string text;
            ASSERT_EQ(wire::render_value(cell, type.code, TypeCode::Other, labels,
                                         wire::sink_to(text), numbers),
                      wire::RenderError::None)
                << type.name;
            const bool quoted = type.json == JsonForm::String ||
                                (type.json == JsonForm::Exact && numbers == wire::Numbers::Strings);
            switch (type.json) {
                case JsonForm::Boolean: EXPECT_EQ(text, "true"); break;
                case JsonForm::Value: EXPECT_EQ(text, "null"); break;
                case JsonForm::Array: EXPECT_EQ(text, "[]"); break;
                default: EXPECT_EQ(text.front() == '"', quoted) << type.name << ' ' << text;
            }
        }
    }
}

// can_render() passes any bits of such a type, so render_value() must print them.
TEST(Types, OfAnyBitsAreRenderedWhateverTheirBits) {
    const std::string bytes("\xff\xfe\0\1\2\3\4\5\6\7\x80\x81\x82\x83\x84\x85", 16);
    for (const TypeInfo& type : wire::kTypes) {
        if (type.validity != wire::Validity::Any) continue;
        for (const std::uint64_t slot : {std::uint64_t{0}, std::uint64_t{2}, ~std::uint64_t{0},
                                         std::uint64_t{1} << 63U, (std::uint64_t{1} << 63U) - 1}) {
            const wire::Cell cell{wire::Cell::State::Value, slot, wire::as_bytes(bytes)};
            std::string text;
            EXPECT_EQ(wire::render_value(cell, type.code, TypeCode::Other, {}, wire::sink_to(text)),
                      wire::RenderError::None)
                << type.name << ' ' << slot;
        }
    }
}

}  // namespace types_tests
}  // namespace fatwal
