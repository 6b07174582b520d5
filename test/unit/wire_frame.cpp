#include <gtest/gtest.h>

#include <cstring>

#include "fatwal/wire/frame.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/text_sink.h"
#include "test/support/builder.h"

namespace fatwal {
namespace frame_tests {

using test::Value;
using wire::Cell;
using wire::TypeCode;

wire::AccountKey key(std::string_view text) { return wire::AccountKey::from_text(text); }

TEST(AccountKey, HasOneFormWhateverTypeItsColumnHas) {
    const struct {
        const char* text;
        wire::AccountKind kind;
        const char* printed;
    } cases[] = {
        {"42", wire::AccountKind::Integer, "42"},
        {"-42", wire::AccountKind::Integer, "-42"},
        {"0", wire::AccountKind::Integer, "0"},
        {"9223372036854775807", wire::AccountKind::Integer, "9223372036854775807"},
        {"-9223372036854775808", wire::AccountKind::Integer, "-9223372036854775808"},
        {"9223372036854775808", wire::AccountKind::Text, "9223372036854775808"},
        {"007", wire::AccountKind::Text, "007"},
        {"-0", wire::AccountKind::Text, "-0"},
        {"+1", wire::AccountKind::Text, "+1"},
        {"-", wire::AccountKind::Text, "-"},
        {" 1", wire::AccountKind::Text, " 1"},
        {"", wire::AccountKind::Text, ""},
        {"acme", wire::AccountKind::Text, "acme"},
        {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", wire::AccountKind::Uuid,
         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", wire::AccountKind::Uuid,
         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", wire::AccountKind::Text,
         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g"},
        {"a0eebc999c0b4ef8bb6d6bb9bd380a11", wire::AccountKind::Text,
         "a0eebc999c0b4ef8bb6d6bb9bd380a11"},
    };
    for (const auto& c : cases) {
        EXPECT_EQ(key(c.text).kind, c.kind) << c.text;
        EXPECT_EQ(key(c.text).to_text(), c.printed) << c.text;
    }
    EXPECT_THROW((void)key(std::string(256, 'x')), std::invalid_argument);
}

std::string two_records() {
    const std::string schema =
        test::schema_message(16384, "t", {{"id", TypeCode::Int4}, {"name", TypeCode::Text}});
    const std::string now = test::row({Value::fixed(1), Value::text("new")});
    test::FrameSpec spec;
    spec.account = key("acme");
    spec.relations = {test::id_of(schema)};
    spec.end_lsn = 0x200;
    spec.records = {
        {wire::Op::Insert, 0, 0, 0, now, {}},
        {wire::Op::Update, 1, 0, 0, now, test::row({Value::same(), Value::text("old")}, true)}};
    return test::frame(spec);
}

TEST(Frame, IsReadAsItWasWritten) {
    const std::string bytes = two_records();
    const auto frame = wire::FrameView::parse(wire::as_bytes(bytes));
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->xid(), 700U);
    EXPECT_EQ(frame->commit_lsn(), 0x100U);
    EXPECT_EQ(frame->end_lsn(), 0x200U);
    EXPECT_TRUE(frame->account() == key("acme").view());
    std::string seen;
    frame->for_each_record([&](const wire::RecordView& record) {
        seen += static_cast<char>(record.op());
        EXPECT_EQ(record.new_row()->cell(0, TypeCode::Int4).slot, 1U);
        EXPECT_EQ(wire::as_text(record.new_row()->cell(1, TypeCode::Text).bytes), "new");
        if (record.op() == wire::Op::Update) {
            EXPECT_EQ(record.old_row()->cell(0, TypeCode::Int4).slot, 1U);
            EXPECT_EQ(wire::as_text(record.old_row()->cell(1, TypeCode::Text).bytes), "old");
        }
        return true;
    });
    EXPECT_EQ(seen, "IU");
}

TEST(Frame, IsRefusedWhenCutOrContinued) {
    const std::string bytes = two_records();
    for (std::size_t length = 0; length < bytes.size(); ++length)
        EXPECT_FALSE(wire::FrameView::parse(wire::as_bytes(bytes).first(length))) << length;
    EXPECT_FALSE(wire::FrameView::parse(wire::as_bytes(bytes + std::string(8, '\0'))));
}

TEST(Frame, AResyncIsOfATableOrOfAll) {
    test::FrameSpec spec;
    spec.records = {{wire::Op::Resync}};
    for (const bool of_table : {false, true}) {
        if (of_table) spec.relations = {wire::SchemaId{16384, 1}};
        const std::string bytes = test::frame(spec);
        const auto frame = wire::FrameView::parse(wire::as_bytes(bytes));
        ASSERT_TRUE(frame);
        frame->for_each_record([&](const wire::RecordView& record) {
            EXPECT_EQ(record.op(), wire::Op::Resync);
            EXPECT_EQ(record.relation(), of_table ? 0 : wire::kNoRelation);
            return true;
        });
    }
}

// One behind the other, as a CopyData has them.
TEST(Messages, AreTakenByTheirLengths) {
    const std::string schema = test::schema_message(16384, "t", {{"id", TypeCode::Int4}});
    const std::string frame = two_records();
    const std::string all = schema + frame + frame + schema;
    wire::Bytes rest = wire::as_bytes(all);
    for (const std::string* message : {&schema, &frame, &frame, &schema})
        EXPECT_EQ(wire::as_text(wire::take_message(rest)), *message);
    EXPECT_TRUE(rest.empty());
}

TEST(Messages, AMalformedLengthTakesAllThatIsLeft) {
    const std::string frame = two_records();
    for (const std::uint32_t length : {0U, 8U, static_cast<std::uint32_t>(2 * frame.size() + 8)}) {
        std::string bad = frame;
        std::memcpy(bad.data() + 32, &length, sizeof length);
        const std::string all = frame + bad + frame;
        wire::Bytes rest = wire::as_bytes(all);
        EXPECT_EQ(wire::as_text(wire::take_message(rest)), frame);
        const wire::Bytes refused = wire::take_message(rest);
        EXPECT_EQ(refused.size(), bad.size() + frame.size()) << length;
        EXPECT_FALSE(wire::FrameView::parse_header(refused));
        EXPECT_TRUE(rest.empty());
    }
    // One that is cut off.
    wire::Bytes rest = wire::as_bytes(frame).first(frame.size() - 8);
    EXPECT_FALSE(wire::FrameView::parse_header(wire::take_message(rest)));
    EXPECT_TRUE(rest.empty());
}

TEST(Frame, OfAnotherVersionIsRefused) {
    std::string bytes = two_records();
    bytes[1] = 2;
    EXPECT_EQ(wire::message_kind(wire::as_bytes(bytes)), 0);
    EXPECT_FALSE(wire::FrameView::parse(wire::as_bytes(bytes)));
}

// Whatever is changed, reading stays inside the bytes (the sanitizers look).
TEST(Frame, SurvivesEveryChangedByte) {
    const std::string whole = two_records();
    const std::string schema_bytes =
        test::schema_message(16384, "t", {{"id", TypeCode::Int4}, {"name", TypeCode::Text}});
    const auto schema = wire::SchemaView::parse(wire::as_bytes(schema_bytes));
    ASSERT_TRUE(schema);
    std::size_t read = 0;
    const wire::Sink count{&read, [](void* target, const char*, std::size_t length) {
                               *static_cast<std::size_t*>(target) += length;
                           }};
    for (std::size_t i = 0; i < whole.size(); ++i) {
        for (const int flip : {0x01, 0x80, 0xFF}) {
            std::string bytes = whole;
            bytes[i] = static_cast<char>(bytes[i] ^ flip);
            const auto frame = wire::FrameView::parse(wire::as_bytes(bytes));
            if (!frame) continue;
            frame->for_each_record([&](const wire::RecordView& record) {
                if (const auto row = record.new_row()) (void)wire::render_row(*row, *schema, count);
                if (const auto row = record.old_row()) (void)wire::render_row(*row, *schema, count);
                (void)record.message();
                return true;
            });
        }
    }
    EXPECT_GT(read, 0U);
}

TEST(Row, TellsNullFromUnavailable) {
    const std::string bytes = test::row({Value::null(), Value::unavailable(), Value::text("")});
    const auto row = wire::RowView::parse(wire::as_bytes(bytes));
    ASSERT_TRUE(row);
    EXPECT_EQ(row->cell(0, TypeCode::Text).state, Cell::State::Null);
    EXPECT_EQ(row->cell(1, TypeCode::Text).state, Cell::State::Unavailable);
    EXPECT_TRUE(row->cell(2, TypeCode::Text).has_value());
    EXPECT_EQ(row->cell(3, TypeCode::Text).state, Cell::State::Malformed);
}

TEST(Row, DeltaOverManyColumnsReadsWhole) {
    constexpr std::uint16_t kColumns = 150;
    std::vector<Value> newer;
    std::vector<Value> delta;
    for (int i = 0; i < kColumns; ++i) {
        newer.push_back(Value::fixed(i));
        if (i % 7 == 0)
            delta.push_back(Value::fixed(1000 + i));
        else if (i % 7 == 1)
            delta.push_back(Value::null());
        else if (i % 7 == 2)
            delta.push_back(Value::unavailable());
        else
            delta.push_back(Value::same());
    }
    const std::string new_bytes = test::row(newer);
    const std::string delta_bytes = test::row(delta, true);
    const wire::OldRowView old(*wire::RowView::parse(wire::as_bytes(delta_bytes)),
                               *wire::RowView::parse(wire::as_bytes(new_bytes)));
    for (std::uint16_t i = 0; i < kColumns; ++i) {
        const Cell cell = old.cell(i, TypeCode::Int8);
        EXPECT_EQ(old.differs(i), i % 7 <= 1) << i;
        if (i % 7 == 1)
            EXPECT_EQ(cell.state, Cell::State::Null) << i;
        else if (i % 7 == 2)
            EXPECT_EQ(cell.state, Cell::State::Unavailable) << i;
        else
            EXPECT_EQ(cell.slot, static_cast<std::uint64_t>(i % 7 == 0 ? 1000 + i : i)) << i;
    }
}

TEST(Schema, IsReadAsItWasWrittenAndRefusedWhenChanged) {
    const std::string bytes = test::schema_message(
        16384, "t",
        {{"id", TypeCode::Int4},
         {"mood", TypeCode::Enum, TypeCode::Other, {{10, "sad"}, {11, "happy"}}}},
        0);
    const auto schema = wire::SchemaView::parse(wire::as_bytes(bytes));
    ASSERT_TRUE(schema);
    EXPECT_EQ(schema->schema(), "public");
    EXPECT_EQ(schema->table(), "t");
    EXPECT_EQ(schema->account_column(), 0);
    std::string names;
    schema->for_each_column([&](std::uint16_t, const wire::ColumnView& column) {
        names += std::string(column.name) + ' ';
        if (column.name == "mood") {
            EXPECT_EQ(column.labels.find(11), "happy");
        }
    });
    EXPECT_EQ(names, "id mood ");
    for (std::size_t length = 0; length < bytes.size(); ++length)
        EXPECT_FALSE(wire::SchemaView::parse(wire::as_bytes(bytes).first(length))) << length;
    for (std::size_t i = wire::kFingerprintFrom; i < bytes.size(); ++i) {
        std::string changed = bytes;
        changed[i] = static_cast<char>(changed[i] ^ 0x40);
        EXPECT_FALSE(wire::SchemaView::parse(wire::as_bytes(changed))) << i;
    }
}

// An older reader beside a newer extension.
TEST(Schema, OfATypeThatIsNotKnownIsReadPast) {
    const auto later = static_cast<TypeCode>(200);
    const std::string bytes = test::schema_message(16384, "t",
                                                   {{"id", TypeCode::Int4},
                                                    {"later", later},
                                                    {"laters", TypeCode::Array, later},
                                                    {"name", TypeCode::Text}});
    const auto schema = wire::SchemaView::parse(wire::as_bytes(bytes));
    ASSERT_TRUE(schema);
    // Whether the slot has the value, or where it is: both are passed over.
    for (const Value& unknown : {Value::fixed(~std::uint64_t{0}), Value::text("x"), Value{}}) {
        const std::string row = test::row({Value::fixed(1), unknown, Value{}, Value::text("name")});
        const auto view = wire::RowView::parse(wire::as_bytes(row));
        ASSERT_TRUE(view);
        const bool is_null = unknown.kind == Value::Kind::Null;
        EXPECT_EQ(view->cell(1, later).state,
                  is_null ? Cell::State::Null : Cell::State::Unavailable);
        std::string json;
        std::string without;
        EXPECT_EQ(wire::render_row(*view, *schema, wire::sink_to(json)), wire::RenderError::None);
        EXPECT_EQ(wire::render_unavailable(*view, *schema, wire::sink_to(without)),
                  wire::RenderError::None);
        EXPECT_EQ(json, is_null ? R"({"id":1,"later":null,"laters":null,"name":"name"})"
                                : R"({"id":1,"laters":null,"name":"name"})");
        EXPECT_EQ(without, is_null ? "[]" : R"(["later"])");
    }
}

}  // namespace frame_tests
}  // namespace fatwal
