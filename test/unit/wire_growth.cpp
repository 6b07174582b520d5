// How the format and the control protocol grow ("How the format grows" in docs/wire-format.md, "How
// the protocol grows" in docs/control-protocol.md): what this release does with bytes of a later
// one, and of an earlier one. A type of a later release is in wire_frame.cpp
// (Schema.OfATypeThatIsNotKnownIsReadPast).
#include <gtest/gtest.h>

#include <set>

#include "fatwal/wire/json.h"
#include "fatwal/wire/text_sink.h"
#include "test/support/builder.h"
#include "test/support/control_samples.h"

namespace fatwal {
namespace growth_tests {

using namespace wire;
using test::Value;

std::string with_byte(std::string bytes, std::size_t at, int value) {
    bytes.at(at) = static_cast<char>(value);
    return bytes;
}

const std::string kSchema =
    test::schema_message(16384, "t", {{"id", TypeCode::Int4}, {"name", TypeCode::Text}});

std::string frame_of(const std::string& row) {
    test::FrameSpec spec;
    spec.relations = {test::id_of(kSchema)};
    spec.records = {{Op::Insert, 0, 0, 0, row, {}}};
    return test::frame(spec);
}

std::string rendered(const std::string& frame) {
    const auto schema = SchemaView::parse(as_bytes(kSchema));
    const auto view = FrameView::parse(as_bytes(frame));
    if (!view || !schema) return "refused";
    const auto row = FrameView::Records(*view).next()->new_row();
    std::string json;
    EXPECT_EQ(render_row(*row, *schema, sink_to(json)), RenderError::None);
    return json;
}

TEST(Growth, FlagsAndZeroBytesOfALaterReleaseAreIgnored) {
    const std::string row = test::row({Value::fixed(7), Value::text("x")});
    const std::string known = frame_of(row);
    const std::string expected = R"({"id":7,"name":"x"})";
    ASSERT_EQ(rendered(known), expected);
    const std::size_t record =
        FrameView::parse(as_bytes(known))->bytes().size() - 8 - record_at::kBody - row.size();
    const std::size_t row_in_frame = record + record_at::kBody;
    EXPECT_EQ(rendered(with_byte(known, frame_at::kFlags + 1, 0x80)), expected);
    EXPECT_EQ(rendered(with_byte(known, record + record_at::kFlags, 0xC0)), expected);
    EXPECT_EQ(rendered(with_byte(known, row_in_frame + row_at::kFlags, 0xFC)), expected);
    EXPECT_EQ(rendered(with_byte(known, row_in_frame + row_at::kFlags + 1, 0xFF)), expected);

    const auto header = encode(PublicationHeader{Topic::Event, 5, 6, 7, 8});
    const std::string changed = with_byte(std::string(as_text(header)), 2, 0xFF);
    ASSERT_TRUE(decode_publication(as_bytes(changed)));
    EXPECT_EQ(decode_publication(as_bytes(changed))->sequence, 6U);
}

// A reader that passed over an operation would have a wrong copy of the rows.
TEST(Growth, AnOperationThatIsNotKnownRefusesTheFrame) {
    const std::string row = test::row({Value::fixed(7), Value::text("x")});
    const std::string known = frame_of(row);
    const std::size_t record = known.size() - 8 - record_at::kBody - row.size();
    EXPECT_EQ(rendered(with_byte(known, record + record_at::kOp, 'Z')), "refused");
}

TEST(Growth, MessagesOfAnotherVersionAreRefused) {
    const std::string frame = frame_of(test::row({Value::fixed(7), Value::text("x")}));
    for (const int version : {0, kVersion + 1}) {
        EXPECT_FALSE(FrameView::parse(as_bytes(with_byte(frame, message_at::kVersion, version))));
        EXPECT_FALSE(
            SchemaView::parse(as_bytes(with_byte(kSchema, message_at::kVersion, version))));
        const auto header = encode(PublicationHeader{});
        EXPECT_FALSE(decode_publication(
            as_bytes(with_byte(std::string(as_text(header)), publication_at::kVersion, version))));
    }
}

ErrorCode refusal(const std::string& bytes, std::uint32_t request_id) {
    const auto decoded = decode_control(as_bytes(bytes));
    EXPECT_FALSE(decoded.message);
    if (!decoded.error) return ErrorCode::Internal;
    EXPECT_EQ(decoded.error->request_id, request_id);
    return std::get<ControlError>(decoded.error->body).code;
}

constexpr std::size_t kTypeAt = 3;

TEST(Growth, AControlMessageThatIsNotKnownIsAnsweredByItsId) {
    std::set<int> known;
    for (const ControlMessage& message : test::one_of_each())
        known.insert(static_cast<unsigned char>(encode(message)[kTypeAt]));
    EXPECT_EQ(known.size(), std::variant_size_v<ControlBody>);
    const std::string ping = encode({77, Ping{}});
    for (int type = 0; type < 256; ++type) {
        if (known.contains(type)) continue;
        EXPECT_EQ(refusal(with_byte(ping, kTypeAt, type), 77), ErrorCode::UnknownType) << type;
    }
}

// So the peer that sent a later field learns that it has to ask again without it.
TEST(Growth, AFieldOfALaterReleaseIsAnsweredAsMalformedByItsId) {
    for (const ControlMessage& message : test::one_of_each()) {
        for (const std::size_t bytes : {1U, 8U})
            EXPECT_EQ(refusal(encode(message) + std::string(bytes, '\1'), message.request_id),
                      ErrorCode::Malformed)
                << message.body.index();
    }
}

// SNAPSHOT has had `not before` since a later release than the rest of it.
TEST(Growth, AFieldThatAnEarlierReleaseLacksIsLeftOutWhereItSaysNothing) {
    const auto later = test::sample<SnapshotRequest>();
    SnapshotRequest earlier = later;
    earlier.not_before = 0;
    const std::string with = encode({1, later});
    const std::string without = encode({1, earlier});
    EXPECT_EQ(with.substr(0, without.size()), without);
    EXPECT_EQ(with.size(), without.size() + sizeof(Lsn));
    const auto decoded = decode_control(as_bytes(without));
    ASSERT_TRUE(decoded.message);
    EXPECT_EQ(std::get<SnapshotRequest>(decoded.message->body).not_before, 0U);
}

TEST(Growth, FlagsOfALaterReleaseInAControlMessageAreIgnored) {
    const auto attach = test::sample<Attach>();
    std::string bytes = encode({1, attach});
    const std::size_t flags = kControlHeaderBytes + kNonceBytes + 2 + attach.account.bytes.size();
    bytes[flags + 1] = static_cast<char>(0x80);
    const auto decoded = decode_control(as_bytes(bytes));
    ASSERT_TRUE(decoded.message);
    EXPECT_TRUE(std::get<Attach>(decoded.message->body).durable);
    EXPECT_EQ(encode(*decoded.message), encode({1, attach}));
}

// An error code of a later fatwald is a number to this release, with its words.
TEST(Growth, AnErrorThatIsNotKnownComesWithItsWords) {
    ControlError later{static_cast<ErrorCode>(999), "later", "detail", "hint"};
    const auto decoded = decode_control(as_bytes(encode({1, later})));
    ASSERT_TRUE(decoded.message);
    EXPECT_EQ(static_cast<int>(std::get<ControlError>(decoded.message->body).code), 999);
    EXPECT_EQ(std::get<ControlError>(decoded.message->body).message, "later");
}

}  // namespace growth_tests
}  // namespace fatwal
