#include <gtest/gtest.h>

#include "fatwal/client/assembler.h"
#include "support/builder.h"

namespace fatwal {
namespace {

using client::Assembler;
using test::Value;
using wire::TypeCode;

constexpr std::uint64_t kEpoch = 7;

const std::string& schema() {
    static const std::string message = test::schema_message(16384, "t", {{"id", TypeCode::Int4}, {"name", TypeCode::Text}});
    return message;
}

std::string frame(wire::Lsn commit, std::vector<int> ids, bool last = true, const std::string& account = "1") {
    test::FrameSpec spec;
    spec.commit_lsn = commit;
    spec.flags = last ? wire::kLastOfAccount : 0;
    spec.account = wire::AccountKey::from_text(account);
    spec.relations = {test::id_of(schema())};
    std::uint32_t ordinal = 0;
    for (const int id : ids)
        spec.records.push_back({wire::Op::Insert, ordinal++, 0, 0, test::row({Value::fixed(id), Value::text("n")}), {}});
    return test::frame(spec);
}

std::string everyone_end(wire::Lsn commit) {
    test::FrameSpec spec;
    spec.commit_lsn = commit;
    spec.account.kind = wire::AccountKind::Everyone;
    return test::frame(spec);
}

// What comes out, as text: "100:1,2" a transaction and its ids, "gap 3-5", "error".
std::string drain(Assembler& assembler) {
    std::string out;
    while (auto event = assembler.take()) {
        if (!out.empty()) out += ' ';
        if (const auto* transaction = std::get_if<client::Transaction>(&*event)) {
            out += std::to_string(transaction->commit_lsn) + ':';
            bool first = true;
            transaction->for_each([&](const client::Change& change) {
                out += (first ? "" : ",") + std::to_string(change.new_row->integer("id").value_or(-1));
                first = false;
            });
        } else if (const auto* gap = std::get_if<client::Gap>(&*event)) {
            out += "gap " + std::to_string(gap->expected) + '-' + std::to_string(gap->got);
        } else {
            out += "error";
        }
    }
    return out;
}

class AssemblerTest : public testing::Test {
protected:
    Assembler assembler_{wire::AccountKey::from_text("1").view(), 1'000'000};

    void SetUp() override {
        EXPECT_FALSE(assembler_.joined(kEpoch, 10));
        assembler_.message(kEpoch, 11, schema());
    }
};

TEST_F(AssemblerTest, DeliversTransactionsWhole) {
    assembler_.message(kEpoch, 12, frame(100, {1, 2}, false));
    EXPECT_EQ(drain(assembler_), "");
    assembler_.message(kEpoch, 13, frame(100, {3}));
    EXPECT_EQ(drain(assembler_), "100:1,2,3");
}

TEST_F(AssemblerTest, ClosesByTheMarkForEveryone) {
    assembler_.message(kEpoch, 12, frame(100, {1}, false));
    assembler_.message(kEpoch, 13, everyone_end(100));
    assembler_.message(kEpoch, 14, everyone_end(200));
    EXPECT_EQ(drain(assembler_), "100:1");
}

TEST_F(AssemblerTest, ReportsAGapAndGoesOn) {
    assembler_.message(kEpoch, 12, frame(100, {1}));
    assembler_.message(kEpoch, 15, frame(300, {3}));
    EXPECT_EQ(drain(assembler_), "100:1 gap 13-15 300:3");
}

TEST_F(AssemblerTest, AGapInATransactionDropsItsTorso) {
    assembler_.message(kEpoch, 12, frame(100, {1}, false));
    assembler_.message(kEpoch, 14, frame(200, {2}));
    EXPECT_EQ(drain(assembler_), "gap 13-14 200:2");
}

TEST_F(AssemblerTest, AHeartbeatShowsALostTail) {
    assembler_.message(kEpoch, 12, frame(100, {1}));
    EXPECT_FALSE(assembler_.heartbeat(kEpoch, 12));
    const auto gap = assembler_.heartbeat(kEpoch, 14);
    ASSERT_TRUE(gap);
    EXPECT_EQ(gap->expected, 13U);
    EXPECT_EQ(gap->got, 15U);
    assembler_.message(kEpoch, 15, frame(200, {2}));
    EXPECT_EQ(drain(assembler_), "100:1 200:2");
}

TEST_F(AssemblerTest, DropsWhatItHasDeliveredAlsoFromANewEpoch) {
    assembler_.message(kEpoch, 12, frame(100, {1}));
    assembler_.message(kEpoch, 12, frame(100, {1}));
    assembler_.message(kEpoch, 13, frame(200, {2}, false));
    EXPECT_FALSE(assembler_.joined(kEpoch + 1, 0));
    assembler_.message(kEpoch, 14, frame(200, {9}));  // of the old epoch, late
    assembler_.message(kEpoch + 1, 1, frame(100, {1}));
    assembler_.message(kEpoch + 1, 2, frame(200, {2}, false));
    assembler_.message(kEpoch + 1, 3, frame(200, {3}));
    EXPECT_EQ(drain(assembler_), "100:1 200:2,3");
}

TEST_F(AssemblerTest, AnotherAccountsFrameIsNotDelivered) {
    assembler_.message(kEpoch, 12, frame(100, {1}, true, "2"));
    EXPECT_EQ(drain(assembler_), "error");
}

TEST_F(AssemblerTest, ATransactionBeyondTheBoundIsReported) {
    Assembler small(wire::AccountKey::from_text("1").view(), 300);
    small.joined(kEpoch, 0);
    small.message(kEpoch, 1, schema());
    small.message(kEpoch, 2, frame(100, {1, 2}, false));
    small.message(kEpoch, 3, frame(100, {3, 4}));
    small.message(kEpoch, 4, frame(200, {5}));
    EXPECT_EQ(drain(small), "error 200:5");
}

TEST_F(AssemblerTest, MalformedMessagesAreReported) {
    assembler_.message(kEpoch, 12, "F");
    assembler_.message(kEpoch, 13, frame(100, {1}));
    EXPECT_EQ(drain(assembler_), "error 100:1");
}

TEST(Assembler, AsksForTheSchemaThatItMissedAndKeepsTheOrder) {
    Assembler assembler(wire::AccountKey::from_text("1").view(), 1'000'000);
    assembler.joined(kEpoch, 0);
    assembler.message(kEpoch, 1, frame(100, {1}));
    assembler.message(kEpoch, 2, frame(200, {2}));
    EXPECT_EQ(drain(assembler), "");
    ASSERT_EQ(assembler.missing(), std::vector<wire::SchemaId>{test::id_of(schema())});
    assembler.described({schema()});
    EXPECT_EQ(drain(assembler), "100:1 200:2");
    EXPECT_TRUE(assembler.missing().empty());
}

TEST(Assembler, ASchemaThatIsNotToBeHadIsReportedAndTheStreamGoesOn) {
    Assembler assembler(wire::AccountKey::from_text("1").view(), 1'000'000);
    assembler.joined(kEpoch, 0);
    assembler.message(kEpoch, 1, frame(100, {1}));
    assembler.message(kEpoch, 2, schema());
    assembler.message(kEpoch, 3, frame(200, {2}));
    assembler.described({});
    EXPECT_EQ(drain(assembler), "error 200:2");
}

TEST(Row, GettersGiveNothingForAnotherType) {
    Assembler assembler(wire::AccountKey::from_text("1").view(), 1'000'000);
    assembler.joined(kEpoch, 0);
    assembler.message(kEpoch, 1, schema());
    assembler.message(kEpoch, 2, frame(100, {5}));
    const auto event = assembler.take();
    ASSERT_TRUE(event);
    std::get<client::Transaction>(*event).for_each([](const client::Change& change) {
        const client::Row& row = *change.new_row;
        EXPECT_EQ(row.integer("id"), 5);
        EXPECT_EQ(row.integer(std::uint16_t{0}), 5);
        EXPECT_EQ(row.text("name"), "n");
        EXPECT_FALSE(row.text("id"));
        EXPECT_FALSE(row.integer("name"));
        EXPECT_FALSE(row.integer("missing"));
        EXPECT_FALSE(row.integer(std::uint16_t{9}));
        EXPECT_EQ(row.json(), "{\"id\":5,\"name\":\"n\"}");
    });
}

}  // namespace
}  // namespace fatwal
