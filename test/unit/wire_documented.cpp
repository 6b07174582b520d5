// The dumps in docs/wire-format.md and docs/control-protocol.md are read from the pages and
// decoded: a page whose bytes are not what the code makes fails here. A dump is a fenced block
// whose lines are an offset, bytes in hexadecimal, and, two blanks behind them, words.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "fatwal/wire/publication.h"
#include "fatwal/wire/schema.h"
#include "fatwal/wire/text_sink.h"
#include "test/support/control_samples.h"
#include "test/support/page.h"

namespace fatwal {
namespace documented_tests {

// The bytes of each block that is fenced with ```KIND, in the order of the page.
std::vector<std::string> dumps(const char* page, const std::string& kind) {
    std::ifstream file(std::filesystem::path(FATWAL_GOLDEN_DIR) / "../../docs" / page);
    EXPECT_TRUE(file) << page;
    std::vector<std::string> found;
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("```")) {
            inside = line == "```" + kind;
            if (inside) found.emplace_back();
            continue;
        }
        if (!inside) continue;
        std::istringstream words(line);
        std::size_t offset = 0;
        words >> offset >> std::ws;
        EXPECT_EQ(offset, found.back().size()) << page << ": " << line;
        do {
            std::string byte;
            words >> byte;
            found.back() += static_cast<char>(std::stoi(byte, nullptr, 16));
        } while (words.get() == ' ' && words.peek() != ' ');
    }
    return found;
}

std::string json_of(const auto& row, const wire::SchemaView& schema) {
    std::string text;
    EXPECT_EQ(wire::render_row(row, schema, wire::sink_to(text)), wire::RenderError::None);
    return text;
}

TEST(Documented, TheEventOfTheWireFormatIsWhatItsWordsSay) {
    const auto blocks = dumps("wire-format.md", "hex");
    ASSERT_EQ(blocks.size(), 3U);
    const auto schema = wire::SchemaView::parse(wire::as_bytes(blocks[0]));
    ASSERT_TRUE(schema);
    EXPECT_EQ(schema->table(), "tasks");
    EXPECT_EQ(schema->account_column(), 1);
    EXPECT_EQ(schema->replica_identity(), 'f');

    const auto frame = wire::FrameView::parse(wire::as_bytes(blocks[1]));
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->flags(), wire::kLastOfAccount | wire::kLastOfTransaction);
    EXPECT_EQ(frame->xid(), 729U);
    EXPECT_EQ(wire::lsn_text(frame->commit_lsn()), "0/1565DD8");
    EXPECT_EQ(wire::lsn_text(frame->end_lsn()), "0/1565E08");
    EXPECT_EQ(wire::AccountKey(frame->account()), wire::AccountKey::from_text("42"));
    EXPECT_EQ(frame->relation(0), schema->id());
    ASSERT_EQ(frame->record_count(), 1U);
    const auto record = wire::FrameView::Records(*frame).next();
    ASSERT_TRUE(record && record->new_row() && record->old_row());
    EXPECT_EQ(record->op(), wire::Op::Update);
    EXPECT_EQ(json_of(*record->new_row(), *schema),
              R"({"id":"1","account_id":42,"title":"final","done":null})");
    EXPECT_EQ(json_of(*record->old_row(), *schema),
              R"({"id":"1","account_id":42,"title":"draft","done":false})");

    const auto header = wire::decode_publication(wire::as_bytes(blocks[2]));
    ASSERT_TRUE(header);
    EXPECT_EQ(header->topic, wire::Topic::Event);
    EXPECT_EQ(header->sequence, 2U);
    EXPECT_EQ(header->position, frame->commit_lsn());
    EXPECT_EQ(header->time, frame->commit_time() / 1'000'000);
}

// The offsets that the page gives the fields of a header, in its order; `…` has none.
std::vector<std::size_t> offsets(const char* heading) {
    std::vector<std::size_t> found;
    for (const auto& row : test::table("docs/wire-format.md", heading))
        if (std::isdigit(static_cast<unsigned char>(row.at(0).front())) != 0)
            found.push_back(std::stoul(row.at(0)));
    return found;
}

TEST(Documented, TheHeadersOfTheWireFormatHaveTheirFieldsWhereTheCodeHasThem) {
    using namespace wire;
    EXPECT_EQ(offsets("## Frame (`F`)"),
              (std::vector{message_at::kKind, message_at::kVersion, frame_at::kFlags,
                           frame_at::kXid, frame_at::kCommitLsn, frame_at::kEndLsn,
                           frame_at::kCommitTime, frame_at::kLength, frame_at::kRecordCount,
                           frame_at::kRelationsOffset, frame_at::kRelationCount,
                           frame_at::kAccountKind, frame_at::kAccountLength, frame_at::kAccount}));
    EXPECT_EQ(
        offsets("### Record"),
        (std::vector{record_at::kLength, record_at::kOrdinal, record_at::kRelation, record_at::kOp,
                     record_at::kFlags, record_at::kOldOffset, record_at::kBody}));
    // The zeros at 17 and 20 have no name.
    EXPECT_EQ(offsets("## Schema (`S`)"),
              (std::vector{message_at::kKind, message_at::kVersion, schema_at::kColumns,
                           schema_at::kRelation, schema_at::kFingerprint, schema_at::kLength,
                           schema_at::kReplicaIdentity, std::size_t{17}, schema_at::kAccountColumn,
                           std::size_t{20}, schema_at::kNames}));
    EXPECT_EQ(offsets("## Publication"),
              (std::vector{publication_at::kTopic, publication_at::kVersion, std::size_t{2},
                           publication_at::kTime, publication_at::kEpoch, publication_at::kSequence,
                           publication_at::kPosition}));
    // A row's table gives sizes.
    std::vector<std::size_t> row{0};
    for (const auto& part : test::table("docs/wire-format.md", "### Row"))
        if (part.at(1).size() == 1) row.push_back(row.back() + std::stoul(part.at(1)));
    EXPECT_EQ(row, (std::vector{row_at::kLength, row_at::kColumns, row_at::kFlags,
                                row_at::kFlags + 1, row_at::kNulls}));
}

// Each message has a line with its number and its name, as the code has it.
TEST(Documented, TheControlProtocolHasALineForEachMessage) {
    std::set<std::string> documented;
    for (const auto& row : test::table("docs/control-protocol.md", "| type | name | body |"))
        documented.insert(row.at(0));
    std::set<std::string> known;
    for (const auto& message : test::one_of_each())
        known.insert(std::to_string(static_cast<unsigned char>(wire::encode(message)[3])));
    EXPECT_EQ(documented, known);
}

TEST(Documented, TheNumericAndTheJsonbOfTheWireFormatAreWhatItsWordsSay) {
    std::string number;
    ASSERT_EQ(wire::render_numeric(wire::as_bytes(dumps("wire-format.md", "numeric").at(0)),
                                   wire::sink_to(number)),
              wire::RenderError::None);
    EXPECT_EQ(number, "-1234.50");
    std::string document;
    ASSERT_EQ(wire::render_jsonb(wire::as_bytes(dumps("wire-format.md", "jsonb").at(0)),
                                 wire::sink_to(document)),
              wire::RenderError::None);
    EXPECT_EQ(document, R"({"a": 1.5, "bb": [true, "x"]})");
}

TEST(Documented, TheRequestOfTheControlProtocolIsWhatItsWordsSay) {
    const auto blocks = dumps("control-protocol.md", "hex");
    ASSERT_EQ(blocks.size(), 1U);
    const auto decoded = wire::decode_control(wire::as_bytes(blocks[0]));
    ASSERT_TRUE(decoded.message);
    EXPECT_EQ(decoded.message->request_id, 1U);
    const auto* attach = std::get_if<wire::Attach>(&decoded.message->body);
    ASSERT_NE(attach, nullptr);
    EXPECT_EQ(attach->account, wire::AccountKey::from_text("42"));
    EXPECT_TRUE(attach->durable);
    EXPECT_EQ(attach->subscriber, "audit");
    EXPECT_EQ(wire::lsn_text(attach->cursor), "0/1565DD9");
    EXPECT_EQ(attach->history.timeline, 1U);
    EXPECT_EQ(wire::encode(*decoded.message), blocks[0]);
}

}  // namespace documented_tests
}  // namespace fatwal
