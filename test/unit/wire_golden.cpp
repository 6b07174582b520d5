// The golden files hold the format to the byte. After a deliberate change: FATWAL_UPDATE_GOLDEN=1
// unit_wire, and review them like code.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "test/support/builder.h"
#include "test/support/control_samples.h"

namespace fatwal {
namespace golden_tests {

using test::Value;
using wire::TypeCode;

std::string schema() {
    return test::schema_message(
        16384, "things",
        {{"id", TypeCode::Int8},
         {"account_id", TypeCode::Uuid},
         {"name", TypeCode::Text},
         {"at", TypeCode::TimestampTz},
         {"mood", TypeCode::Enum, TypeCode::Other, {{16400, "sad"}, {16402, "happy"}}},
         {"tags", TypeCode::Array, TypeCode::Text}},
        1);
}

std::string changes() {
    const std::string uuid(16, '\x11');
    const std::string now =
        test::row({Value::fixed(1), Value::text(uuid), Value::text("név"),
                   Value::fixed(757'000'000'000'000), Value::fixed(16402),
                   Value::text(test::array_value({2}, {Value::text("a"), Value::null()}))});
    const std::string before = test::row({Value::same(), Value::same(), Value::null(),
                                          Value::unavailable(), Value::fixed(16400), Value::same()},
                                         true);
    test::FrameSpec spec;
    spec.end_lsn = 0x1'0000'0130;
    spec.commit_lsn = 0x1'0000'0100;
    spec.commit_time = 757'000'000'123'456;
    spec.account.kind = wire::AccountKind::Uuid;
    spec.account.bytes = uuid;
    spec.relations = {test::id_of(schema())};
    spec.records = {{wire::Op::Insert, 0, 0, 0, now, {}},
                    {wire::Op::Update, 1, 0, 0, now, before},
                    {wire::Op::Delete, 2, wire::kMoved, 0, {}, now},
                    {wire::Op::Message, 3, wire::kEmitted, 0, {}, {}, "topic", "{\"a\": 1}"}};
    return test::frame(spec);
}

std::string truncation() {
    test::FrameSpec spec;
    spec.account.kind = wire::AccountKind::Everyone;
    spec.relations = {test::id_of(schema())};
    spec.records = {{wire::Op::Truncate, 0, wire::kCascade | wire::kRestartIdentity, 0, {}, {}}};
    return test::frame(spec);
}

std::string resync() {
    test::FrameSpec spec;
    spec.account.kind = wire::AccountKind::Everyone;
    spec.relations = {test::id_of(schema())};
    spec.records = {{wire::Op::Resync}, {wire::Op::Resync, 1, 0, wire::kNoRelation}};
    return test::frame(spec);
}

// What only operators get: a change without its account, and a message that is too large.
std::string operators() {
    test::FrameSpec spec;
    spec.relations = {test::id_of(schema())};
    spec.records = {
        {wire::Op::Delete,
         0,
         wire::kUnrouted,
         0,
         {},
         test::row({Value::fixed(1), Value::unavailable()})},
        {wire::Op::Message, 1, wire::kEmitted | wire::kContentUnavailable, 0, {}, {}, "topic", ""}};
    return test::frame(spec);
}

std::string contents(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// The control messages one behind the other, a line of text before each.
std::string control() {
    std::string out;
    for (const wire::ControlMessage& message : test::one_of_each()) {
        const std::string bytes = wire::encode(message);
        out += "type " + std::to_string(static_cast<unsigned char>(bytes[3])) + ", " +
               std::to_string(bytes.size()) + " bytes\n" + bytes + '\n';
    }
    return out;
}

TEST(Golden, FormatIsUnchanged) {
    const std::pair<const char*, std::string> files[] = {
        {"schema.bin", schema()}, {"changes.bin", changes()},     {"truncation.bin", truncation()},
        {"resync.bin", resync()}, {"operators.bin", operators()}, {"control.bin", control()}};
    for (const auto& [name, bytes] : files) {
        const auto path = std::filesystem::path(FATWAL_GOLDEN_DIR) / name;
        if (std::getenv("FATWAL_UPDATE_GOLDEN") != nullptr)
            std::ofstream(path, std::ios::binary) << bytes;
        EXPECT_EQ(contents(path), bytes) << name;
    }
}

}  // namespace golden_tests
}  // namespace fatwal
