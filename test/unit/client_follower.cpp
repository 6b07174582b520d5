#include <gtest/gtest.h>

#include <random>
#include <set>

#include "fatwal/client/follower.h"
#include "test/support/builder.h"

namespace fatwal {
namespace follower_tests {

using namespace std::chrono_literals;
using client::Cursor;
using client::Follower;
using client::FollowerOptions;
using test::Value;
using wire::PublicationHeader;
using wire::Topic;
using wire::TypeCode;

constexpr std::uint64_t kEpoch = 7;
constexpr wire::History kHistory{99, 1};
constexpr Follower::WallTime kNow =
    Follower::WallTime(std::chrono::seconds(wire::kPostgresEpochUnixSeconds)) + 10s;

const std::string& schema() {
    static const std::string message =
        test::schema_message(16384, "t", {{"id", TypeCode::Int4}, {"name", TypeCode::Text}});
    return message;
}

std::string frame(wire::Lsn commit, const std::vector<int>& ids, bool last = true,
                  const std::string& account = "1", std::uint32_t xid = 700,
                  std::uint16_t flags = 0) {
    test::FrameSpec spec;
    spec.commit_lsn = commit;
    spec.xid = xid;
    spec.flags = static_cast<std::uint16_t>(flags | (last ? wire::kLastOfAccount : 0));
    spec.account = wire::AccountKey::from_text(account);
    spec.relations = {test::id_of(schema())};
    std::uint32_t ordinal = 0;
    for (const int id : ids)
        spec.records.push_back({wire::Op::Insert,
                                ordinal++,
                                0,
                                0,
                                test::row({Value::fixed(id), Value::text("n")}),
                                {}});
    return test::frame(spec);
}

// A transaction with a resync record for everyone: of the table, or of all tables.
std::string resync_frame(wire::Lsn commit, std::uint32_t xid = 700, bool of_table = true) {
    test::FrameSpec spec;
    spec.commit_lsn = commit;
    spec.xid = xid;
    spec.account.kind = wire::AccountKind::Everyone;
    if (of_table) spec.relations = {test::id_of(schema())};
    spec.records = {{wire::Op::Resync}};
    return test::frame(spec);
}

std::string everyone_end(wire::Lsn commit) {
    test::FrameSpec spec;
    spec.commit_lsn = commit;
    spec.account.kind = wire::AccountKind::Everyone;
    return test::frame(spec);
}

// What comes out, as text: "100:1,2" a transaction and its ids, "begin", "rows:1,2", "end",
// "resync", "error".
std::string drain(Follower& follower) {
    std::string out;
    const auto ids = [&](const client::Row& row, bool first) {
        out += (first ? "" : ",") + std::to_string(row.integer("id").value_or(-1));
    };
    while (auto told = follower.take()) {
        if (std::holds_alternative<client::Joined>(told->first) ||
            std::holds_alternative<client::CaughtUp>(told->first))
            continue;
        if (!out.empty()) out += ' ';
        bool first = true;
        if (const auto* transaction = std::get_if<client::Transaction>(&told->first)) {
            out += std::to_string(transaction->commit_lsn) + ':';
            transaction->for_each([&](const client::Change& change) {
                if (change.new_row)
                    ids(*change.new_row, first);
                else
                    out += wire::op_name(change.op);
                first = false;
            });
        } else if (const auto* rows = std::get_if<client::SnapshotRows>(&told->first)) {
            out += "rows:";
            rows->for_each([&](const client::Row& row) {
                ids(row, first);
                first = false;
            });
        } else if (std::holds_alternative<client::SnapshotBegin>(told->first)) {
            out += "begin";
        } else if (std::holds_alternative<client::SnapshotEnd>(told->first)) {
            out += "end";
        } else if (std::holds_alternative<client::Resync>(told->first)) {
            out += "resync";
        } else {
            out += "error";
        }
    }
    return out;
}

FollowerOptions options(bool snapshots) {
    FollowerOptions options;
    options.account = wire::AccountKey::from_text("1");
    options.snapshots = snapshots;
    options.max_transaction_bytes = 1'000'000;
    options.max_ahead_bytes = 1000;
    return options;
}

// A follower without snapshots that has joined at sequence 10 and is live.
class FollowerTest : public testing::Test {
protected:
    Follower follower_{options(false), {}};
    std::uint64_t position_ = 50;

    void SetUp() override {
        join(follower_, 10);
        EXPECT_TRUE(follower_.live());
        message(11, schema());
    }
    void join(Follower& follower, std::uint64_t sequence) {
        follower.attached({}, kEpoch, kHistory);
        follower.marker({Topic::Marker, kEpoch, sequence, position_}, kNow);
        const auto request = follower.take_request();
        ASSERT_TRUE(request);
        EXPECT_EQ(std::get<wire::Replay>(*request).from, wire::Replay::From::Cursor);
        follower.replayed({kEpoch, sequence + 1, true, 0}, {}, kNow);
    }
    void message(std::uint64_t sequence, std::string bytes) {
        follower_.message({Topic::Event, kEpoch, sequence, position_}, std::move(bytes), kNow);
    }
    // The request for what follows `sequence`.
    void expect_replay_from(std::uint64_t sequence) {
        const auto request = follower_.take_request();
        ASSERT_TRUE(request);
        const auto* replay = std::get_if<wire::Replay>(&*request);
        ASSERT_NE(replay, nullptr);
        EXPECT_EQ(replay->from, wire::Replay::From::Sequence);
        EXPECT_EQ(replay->sequence, sequence);
        EXPECT_FALSE(follower_.take_request()) << "one at a time";
    }
};

TEST_F(FollowerTest, DeliversTransactionsWhole) {
    message(12, frame(100, {1, 2}, false));
    EXPECT_EQ(drain(follower_), "");
    message(13, frame(100, {3}));
    EXPECT_EQ(drain(follower_), "100:1,2,3");
}

TEST_F(FollowerTest, ClosesByTheMarkForEveryone) {
    message(12, frame(100, {1}, false));
    message(13, everyone_end(100));
    message(14, everyone_end(200));
    EXPECT_EQ(drain(follower_), "100:1");
    EXPECT_EQ(follower_.cursor()->next, 201U);
}

TEST_F(FollowerTest, AGapIsReplayedBeforeAnythingLater) {
    message(12, frame(100, {1}));
    message(15, frame(400, {4}));
    message(16, frame(500, {5}));
    EXPECT_EQ(drain(follower_), "100:1");
    expect_replay_from(13);
    follower_.replayed({kEpoch, 13, false, 1}, {frame(200, {2})}, kNow);
    EXPECT_EQ(drain(follower_), "200:2");
    expect_replay_from(14);
    follower_.replayed({kEpoch, 14, false, 1}, {frame(300, {3})}, kNow);
    EXPECT_EQ(drain(follower_), "300:3 400:4 500:5");
    expect_replay_from(17);
    follower_.replayed({kEpoch, 17, true, 0}, {}, kNow);
    EXPECT_TRUE(follower_.live());
}

TEST_F(FollowerTest, WhatDoesNotFitBehindAGapIsReplayedToo) {
    message(13, frame(200, {2}));
    for (int i = 0; i < 20; ++i)
        message(static_cast<std::uint64_t>(14 + i),
                frame(static_cast<wire::Lsn>(300 + i), {3 + i}));
    expect_replay_from(12);
    follower_.replayed({kEpoch, 12, true, 1}, {frame(100, {1})}, kNow);
    EXPECT_FALSE(follower_.live());
    const std::string got = drain(follower_);
    EXPECT_EQ(got.substr(0, 17), "100:1 200:2 300:3");
    EXPECT_TRUE(follower_.take_request());
}

TEST_F(FollowerTest, ARepetitionBehindAGapTakesNoRoom) {
    for (int i = 0; i < 20; ++i) message(13, frame(200, {2}));
    message(14, frame(300, {3}));
    expect_replay_from(12);
    follower_.replayed({kEpoch, 12, true, 1}, {frame(100, {1})}, kNow);
    EXPECT_EQ(drain(follower_), "100:1 200:2 300:3");
    EXPECT_TRUE(follower_.live());
}

TEST_F(FollowerTest, AGapInATransactionDoesNotTearIt) {
    message(12, frame(100, {1}, false));
    message(14, frame(200, {2}));
    expect_replay_from(13);
    follower_.replayed({kEpoch, 13, true, 2}, {frame(100, {9}), frame(200, {2})}, kNow);
    EXPECT_EQ(drain(follower_), "100:1,9 200:2");
}

TEST_F(FollowerTest, AHeartbeatShowsALostTail) {
    message(12, frame(100, {1}));
    follower_.heartbeat({Topic::Heartbeat, kEpoch, 12, 110}, kNow);
    EXPECT_FALSE(follower_.take_request());
    EXPECT_EQ(follower_.cursor()->next, 110U);
    follower_.heartbeat({Topic::Heartbeat, kEpoch, 14, 300}, kNow);
    expect_replay_from(13);
    EXPECT_EQ(follower_.cursor()->next, 110U);
    follower_.replayed({kEpoch, 13, true, 2}, {frame(200, {2}), frame(250, {3})}, kNow);
    EXPECT_EQ(drain(follower_), "100:1 200:2 250:3");
    EXPECT_EQ(follower_.cursor()->next, 300U);
}

TEST_F(FollowerTest, AnotherEpochGoesOnByCursorAndDropsWhatIsHad) {
    message(12, frame(100, {1}));
    message(13, frame(200, {2}, false));
    follower_.detached();
    follower_.attached({}, kEpoch + 1, kHistory);
    follower_.marker({Topic::Marker, kEpoch + 1, 3, 60}, kNow);
    follower_.message({Topic::Event, kEpoch, 14, 60}, frame(200, {9}),
                      kNow);  // of the old epoch, late
    const auto request = follower_.take_request();
    ASSERT_TRUE(request);
    EXPECT_EQ(std::get<wire::Replay>(*request).cursor, 101U);
    EXPECT_EQ(std::get<wire::Replay>(*request).from, wire::Replay::From::Cursor);
    follower_.replayed({kEpoch + 1, 2, true, 2}, {frame(100, {1}), frame(200, {2}, false)}, kNow);
    follower_.message({Topic::Event, kEpoch + 1, 4, 60}, frame(200, {3}), kNow);
    EXPECT_EQ(drain(follower_), "100:1 200:2,3");
}

TEST_F(FollowerTest, WhatIsReadAgainFromTheSlotHasNoNumbersAndEndsInTheLog) {
    follower_.detached();
    follower_.attached({}, kEpoch, kHistory);
    follower_.marker({Topic::Marker, kEpoch, 40, 900}, kNow);
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 0, false, 2}, {schema(), frame(100, {1}, false)}, kNow);
    auto request = follower_.take_request();
    ASSERT_TRUE(request);
    EXPECT_EQ(std::get<wire::Replay>(*request).from, wire::Replay::From::Continue);
    follower_.replayed({kEpoch, 0, false, 1}, {frame(100, {2})}, kNow);
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 39, false, 1}, {frame(200, {3})}, kNow);
    expect_replay_from(40);
    follower_.replayed({kEpoch, 40, true, 1}, {frame(300, {4})}, kNow);
    EXPECT_EQ(drain(follower_), "100:1,2 200:3 300:4");
    EXPECT_TRUE(follower_.live());
}

TEST_F(FollowerTest, ACursorThatHoldsOnAnotherTimelineIsOneOfThat) {
    const wire::History promoted{kHistory.system_identifier, kHistory.timeline + 1};
    follower_.detached();
    follower_.attached({}, kEpoch + 1, promoted);
    follower_.marker({Topic::Marker, kEpoch + 1, 4, 900}, kNow);
    const auto request = follower_.take_request();
    ASSERT_TRUE(request);
    EXPECT_EQ(std::get<wire::Replay>(*request).history, kHistory) << "the sidecar judges it";
    ASSERT_TRUE(follower_.cursor());
    EXPECT_EQ(follower_.cursor()->history, kHistory);
    follower_.replayed({kEpoch + 1, 5, true, 0}, {}, kNow);
    ASSERT_TRUE(follower_.cursor());
    EXPECT_EQ(follower_.cursor()->history, promoted);
}

TEST_F(FollowerTest, ALostContinuationIsAskedForByCursor) {
    follower_.detached();
    follower_.attached({}, kEpoch, kHistory);
    follower_.marker({Topic::Marker, kEpoch, 40, 900}, kNow);
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 0, false, 1}, {frame(100, {1}, false)}, kNow);
    ASSERT_TRUE(follower_.take_request());
    follower_.ask_again();
    const auto request = follower_.take_request();
    ASSERT_TRUE(request);
    EXPECT_EQ(std::get<wire::Replay>(*request).from, wire::Replay::From::Cursor);
    follower_.replayed({kEpoch, 40, true, 1}, {frame(100, {1, 2})}, kNow);
    EXPECT_EQ(drain(follower_), "100:1,2");
}

TEST_F(FollowerTest, WithoutSnapshotsItIsToldAndGoesOnBehind) {
    message(13, frame(200, {2}));
    ASSERT_TRUE(follower_.take_request());
    EXPECT_TRUE(follower_.refused({wire::ErrorCode::TooOld, "gone", "", ""}));
    EXPECT_EQ(drain(follower_), "resync");
    const auto request = follower_.take_request();
    ASSERT_TRUE(request);
    EXPECT_EQ(std::get<wire::Replay>(*request).cursor, position_);
}

TEST_F(FollowerTest, WhatIsTooFarBehindIsReplacedByASnapshot) {
    Follower follower(options(true), Cursor{kHistory, 50, {}});
    join(follower, 10);
    follower.message({Topic::Event, kEpoch, 11, position_}, schema(), kNow);
    follower.message({Topic::Event, kEpoch, 12, position_}, frame(100, {1}), kNow + 29min);
    EXPECT_EQ(drain(follower), "100:1");
    follower.message({Topic::Event, kEpoch, 13, position_}, frame(200, {2}), kNow + 31min);
    EXPECT_EQ(drain(follower), "resync");
    EXPECT_FALSE(follower.cursor()) << "nothing is known before the snapshot is whole";
    const auto request = follower.take_request();
    ASSERT_TRUE(request);
    EXPECT_TRUE(std::holds_alternative<wire::SnapshotRequest>(*request));
}

TEST_F(FollowerTest, AnotherAccountsFrameIsNotDelivered) {
    message(12, frame(100, {1}, true, "2"));
    EXPECT_EQ(drain(follower_), "error");
}

TEST_F(FollowerTest, MalformedMessagesAreReported) {
    message(12, "F");
    message(13, frame(100, {1}));
    EXPECT_EQ(drain(follower_), "error 100:1");
}

TEST_F(FollowerTest, AsksForTheSchemaThatItMissedAndKeepsTheOrder) {
    Follower fresh(options(false), {});
    join(fresh, 0);
    fresh.message({Topic::Event, kEpoch, 1, 50}, frame(100, {1}), kNow);
    fresh.message({Topic::Event, kEpoch, 2, 50}, frame(200, {2}), kNow);
    EXPECT_EQ(drain(fresh), "");
    const auto request = fresh.take_request();
    ASSERT_TRUE(request);
    EXPECT_EQ(std::get<wire::Describe>(*request).schemas,
              std::vector<wire::SchemaId>{test::id_of(schema())});
    fresh.heartbeat({Topic::Heartbeat, kEpoch, 2, 900}, kNow);
    EXPECT_EQ(fresh.cursor()->next, 50U) << "not past what waits";
    fresh.described({schema()}, kNow);
    EXPECT_EQ(drain(fresh), "100:1 200:2");
}

// A follower with snapshots, at its beginning.
class SnapshotTest : public FollowerTest {
protected:
    Follower follower_{options(true), {}};
    void SetUp() override {
        follower_.attached({}, kEpoch, kHistory);
        follower_.marker({Topic::Marker, kEpoch, 10, 300}, kNow);
    }
    // Asks and answers: transactions below 710 but 705 are seen, the stream resumes at 200.
    void answer_snapshot() {
        const auto request = follower_.take_request();
        ASSERT_TRUE(request);
        EXPECT_EQ(std::get<wire::SnapshotRequest>(*request).offset, 0U);
        follower_.snapshot_part({5, 1000, false, 2, 200, 400, {705, 710, {705}}},
                                {schema(), frame(0, {1, 2}, false, "1", 0, wire::kSnapshot)});
        const auto more = follower_.take_request();
        ASSERT_TRUE(more);
        EXPECT_EQ(std::get<wire::SnapshotRequest>(*more).snapshot, 5U);
        EXPECT_EQ(std::get<wire::SnapshotRequest>(*more).offset, 1000U);
        follower_.snapshot_part({5, 2000, true, 1, 0, 0, {}},
                                {frame(0, {3}, true, "1", 0, wire::kSnapshot)});
    }
};

TEST_F(SnapshotTest, ATransactionIsAppliedIfAndOnlyIfTheSnapshotDoesNotSeeIt) {
    EXPECT_FALSE(follower_.cursor());
    answer_snapshot();
    EXPECT_EQ(drain(follower_), "begin rows:1,2 rows:3 end");
    const auto request = follower_.take_request();
    ASSERT_TRUE(request);
    EXPECT_EQ(std::get<wire::Replay>(*request).cursor, 200U);
    follower_.replayed({kEpoch, 8, true, 3},
                       {frame(200, {20}, true, "1", 705), frame(210, {21}, true, "1", 704),
                        frame(220, {22}, true, "1", 710)},
                       kNow);
    EXPECT_EQ(drain(follower_), "200:20 220:22");
    // The cursor carries the rule, as long as it is needed.
    EXPECT_TRUE(follower_.cursor()->has(704, 390));
    EXPECT_FALSE(follower_.cursor()->has(705, 390));
    EXPECT_EQ(Cursor::from_text(follower_.cursor()->to_text()), follower_.cursor());
    follower_.message({Topic::Event, kEpoch, 11, 300}, frame(390, {23}, true, "1", 703), kNow);
    follower_.message({Topic::Event, kEpoch, 12, 300}, frame(400, {24}, true, "1", 703), kNow);
    EXPECT_EQ(drain(follower_), "400:24") << "an id is used again, far later";
    EXPECT_FALSE(follower_.cursor()->held);
}

// Where CaughtUp stands among transactions, as text: "100 up:300".
std::string when_caught_up(Follower& follower) {
    std::string out;
    while (auto told = follower.take()) {
        if (const auto* transaction = std::get_if<client::Transaction>(&told->first))
            out += std::to_string(transaction->commit_lsn) + ' ';
        else if (const auto* caught_up = std::get_if<client::CaughtUp>(&told->first))
            out += "up:" + std::to_string(caught_up->position) + ' ';
    }
    return out;
}

TEST_F(FollowerTest, CaughtUpComesOnceAfterEachJoin) {
    EXPECT_EQ(when_caught_up(follower_), "up:50 ");
    position_ = 150;
    message(12, frame(100, {1}));
    follower_.heartbeat({Topic::Heartbeat, kEpoch, 12, position_}, kNow);
    EXPECT_EQ(when_caught_up(follower_), "100 ");
    follower_.detached();
    follower_.attached({}, kEpoch, kHistory);
    follower_.marker({Topic::Marker, kEpoch, 13, 250}, kNow);
    EXPECT_EQ(when_caught_up(follower_), "") << "what was missed is to come";
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 13, true, 1}, {frame(200, {2})}, kNow);
    EXPECT_EQ(when_caught_up(follower_), "200 up:250 ");
}

TEST_F(SnapshotTest, CaughtUpComesBehindAllThatWasPublishedAtTheJoin) {
    answer_snapshot();
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 9, false, 1}, {frame(210, {1}, true, "1", 710)}, kNow);
    EXPECT_EQ(when_caught_up(follower_), "210 ");
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 10, true, 1}, {frame(220, {2}, true, "1", 710)}, kNow);
    EXPECT_EQ(when_caught_up(follower_), "220 up:300 ");
}

TEST_F(SnapshotTest, NoSnapshotTakesBackWhatWasGiven) {
    answer_snapshot();
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 10, true, 1}, {frame(290, {1}, true, "1", 710)}, kNow);
    // Another sidecar takes over, whose stream is behind.
    follower_.attached({}, kEpoch + 1, kHistory);
    follower_.marker({Topic::Marker, kEpoch + 1, 4, 250}, kNow);
    ASSERT_TRUE(follower_.take_request());
    ASSERT_TRUE(follower_.refused({wire::ErrorCode::TooOld, "gone", "", ""}));
    EXPECT_EQ(when_caught_up(follower_), "290 up:300 ");
    const auto request = follower_.take_request();
    EXPECT_EQ(std::get<wire::SnapshotRequest>(*request).not_before, 300U);
    follower_.snapshot_part({5, 1000, true, 0, 200, 400, {}}, {});
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch + 1, 5, true, 0}, {}, kNow);
    EXPECT_EQ(when_caught_up(follower_), "") << "the stream is not where it was";
    follower_.heartbeat({Topic::Heartbeat, kEpoch + 1, 4, 299}, kNow);
    EXPECT_EQ(when_caught_up(follower_), "");
    follower_.heartbeat({Topic::Heartbeat, kEpoch + 1, 4, 301}, kNow);
    EXPECT_EQ(when_caught_up(follower_), "up:301 ");
}

TEST(Follower, ASnapshotIsNotOlderThanWhatAnEarlierSubscriptionWasGiven) {
    for (const wire::History& history : {kHistory, wire::History{99, 2}}) {
        FollowerOptions wants = options(true);
        wants.not_before = Cursor{kHistory, 500, {}};
        Follower follower(wants, {});
        follower.attached({}, kEpoch, history);
        follower.marker({Topic::Marker, kEpoch, 4, 400}, kNow);
        auto request = follower.take_request();
        const bool same = history == kHistory;
        EXPECT_EQ(std::get<wire::SnapshotRequest>(*request).not_before, same ? 500U : 0U);
        follower.snapshot_part({5, 0, true, 0, 200, 400, {}}, {});
        ASSERT_TRUE(follower.take_request());
        follower.replayed({kEpoch, 5, true, 0}, {}, kNow);
        EXPECT_EQ(when_caught_up(follower), same ? "" : "up:400 ");
    }
}

TEST(Follower, AnOlderSidecarIsAskedForAnySnapshot) {
    FollowerOptions wants = options(true);
    wants.not_before = Cursor{kHistory, 500, {}};
    Follower follower(wants, {});
    follower.attached({}, kEpoch, kHistory);
    follower.marker({Topic::Marker, kEpoch, 4, 400}, kNow);
    ASSERT_TRUE(follower.take_request());
    const wire::ControlError malformed{wire::ErrorCode::Malformed, "", "", ""};
    EXPECT_TRUE(follower.refused(malformed));
    EXPECT_EQ(std::get<wire::SnapshotRequest>(*follower.take_request()).not_before, 0U);
    EXPECT_FALSE(follower.refused(malformed)) << "it was not that";
}

TEST_F(SnapshotTest, OneThatBreaksOffBeginsAgain) {
    ASSERT_TRUE(follower_.take_request());
    follower_.snapshot_part({5, 1000, false, 2, 200, 400, {705, 710, {}}},
                            {schema(), frame(0, {1}, false, "1", 0, wire::kSnapshot)});
    EXPECT_EQ(drain(follower_), "begin rows:1");
    EXPECT_FALSE(follower_.cursor());
    ASSERT_TRUE(follower_.take_request());
    EXPECT_TRUE(follower_.refused({wire::ErrorCode::SnapshotGone, "", "", ""}));
    answer_snapshot();
    EXPECT_EQ(drain(follower_), "begin rows:1,2 rows:3 end");
}

TEST_F(SnapshotTest, WhatIsTooOldIsReplacedByASnapshot) {
    answer_snapshot();
    ASSERT_TRUE(follower_.take_request());
    EXPECT_TRUE(follower_.refused({wire::ErrorCode::TooOld, "gone", "", ""}));
    EXPECT_EQ(drain(follower_), "begin rows:1,2 rows:3 end resync");
    EXPECT_FALSE(follower_.cursor());
    EXPECT_TRUE(std::holds_alternative<wire::SnapshotRequest>(*follower_.take_request()));
}

TEST_F(SnapshotTest, TheStreamThatIsTooFarBehindIsReplacedByASnapshot) {
    answer_snapshot();
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 11, true, 0}, {}, kNow);
    follower_.message({Topic::Event, kEpoch, 11, 300}, frame(400, {1}, true, "1", 704),
                      kNow + 29min);
    follower_.message({Topic::Event, kEpoch, 12, 300}, frame(410, {1}, true, "1", 720),
                      kNow + 31min);
    EXPECT_EQ(drain(follower_), "begin rows:1,2 rows:3 end 400:1 resync");
}

TEST_F(SnapshotTest, ATransactionBeyondTheBoundIsReplacedByASnapshot) {
    FollowerOptions small = options(true);
    small.max_transaction_bytes = 300;
    Follower follower(small, Cursor{kHistory, 50, {}});
    join(follower, 0);
    follower.message({Topic::Event, kEpoch, 1, 50}, schema(), kNow);
    follower.message({Topic::Event, kEpoch, 2, 50}, frame(100, {1, 2}, false), kNow);
    follower.message({Topic::Event, kEpoch, 3, 50}, frame(100, {3, 4}), kNow);
    EXPECT_EQ(drain(follower), "resync");
    EXPECT_TRUE(std::holds_alternative<wire::SnapshotRequest>(*follower.take_request()));
}

// The sidecar's position is before the transaction until it has published all of it: to ask for
// what follows any earlier is to ask for what is not there yet.
TEST_F(FollowerTest, WithoutSnapshotsTheStreamResumesBehindATransactionBeyondTheBound) {
    FollowerOptions small = options(false);
    small.max_transaction_bytes = 300;
    Follower follower(small, {});
    join(follower, 0);
    follower.message({Topic::Event, kEpoch, 1, 50}, schema(), kNow);
    for (std::uint64_t sequence = 2; sequence < 6; ++sequence)
        follower.message({Topic::Event, kEpoch, sequence, 50}, frame(100, {1, 2}, sequence == 5),
                         kNow);
    follower.message({Topic::Event, kEpoch, 6, 101}, frame(200, {3}), kNow);
    EXPECT_EQ(drain(follower), "resync 200:3");
    EXPECT_FALSE(follower.take_request()) << "nothing is missing";
    ASSERT_TRUE(follower.cursor());
    EXPECT_EQ(follower.cursor()->next, 201U);
}

// Headers with Postgres's time. kNow is 10 s into its epoch.
PublicationHeader header_at(std::uint64_t sequence, std::uint32_t time) {
    return {Topic::Event, kEpoch, sequence, 300, time};
}

TEST_F(FollowerTest, AgesAreByPostgressClockAlone) {
    Follower follower(options(true), Cursor{kHistory, 50, {}});
    follower.attached({}, kEpoch, kHistory);
    // Our clock is 40 minutes ahead: the frame, of the epoch's first second, is 10 s old.
    follower.marker({Topic::Marker, kEpoch, 0, 50, 10}, kNow + 40min);
    ASSERT_TRUE(follower.take_request());
    follower.replayed({kEpoch, 1, true, 0}, {}, kNow + 40min);
    follower.message(header_at(1, 10), schema(), kNow + 40min);
    follower.message(header_at(2, 10), frame(400, {1}), kNow + 40min);
    EXPECT_EQ(drain(follower), "400:1");
    // Time passes for both.
    follower.message(header_at(3, 10 + 31 * 60), frame(410, {2}), kNow + 71min);
    EXPECT_EQ(drain(follower), "resync");
}

TEST_F(FollowerTest, AClockThatIsBehindHidesNoAge) {
    Follower follower(options(true), Cursor{kHistory, 50, {}});
    follower.attached({}, kEpoch, kHistory);
    follower.marker({Topic::Marker, kEpoch, 0, 50, 40 * 60}, kNow);
    ASSERT_TRUE(follower.take_request());
    follower.replayed({kEpoch, 1, true, 2}, {schema(), frame(400, {1})}, kNow);
    EXPECT_EQ(drain(follower), "resync") << "also of what is replayed, without a header";
}

TEST_F(SnapshotTest, WhateverTheClockSaysNoSnapshotFollowsASnapshot) {
    follower_.heartbeat({Topic::Heartbeat, kEpoch, 10, 300, 86'400}, kNow);
    answer_snapshot();
    ASSERT_TRUE(follower_.take_request());
    follower_.replayed({kEpoch, 11, true, 0}, {}, kNow);
    follower_.message(header_at(11, 86'400), frame(410, {1}, true, "1", 720), kNow + 1s);
    EXPECT_EQ(drain(follower_), "begin rows:1,2 rows:3 end 410:1");
}

TEST_F(SnapshotTest, SnapshotsThatFollowEachOtherCloselyAreAskedForMoreAndMoreSlowly) {
    EXPECT_EQ(follower_.snapshot_pause(), 0ms);
    std::vector<std::chrono::milliseconds> pauses;
    for (int i = 0; i < 12; ++i) {
        answer_snapshot();
        ASSERT_TRUE(follower_.take_request());
        EXPECT_TRUE(follower_.refused({wire::ErrorCode::TooOld, "gone", "", ""}));
        pauses.push_back(follower_.snapshot_pause());
        EXPECT_FALSE(follower_.take_request(false)) << "not before its time";
    }
    EXPECT_EQ(pauses.front(), 100ms);
    EXPECT_EQ(pauses[1], 200ms);
    EXPECT_EQ(pauses.back(), 30s);
    EXPECT_EQ(follower_.snapshots_begun(), 13U);
    // The next comes long after it.
    follower_.heartbeat({Topic::Heartbeat, kEpoch, 10, 300}, kNow + 120s);
    answer_snapshot();
    ASSERT_TRUE(follower_.take_request());
    EXPECT_TRUE(follower_.refused({wire::ErrorCode::TooOld, "gone", "", ""}));
    EXPECT_EQ(follower_.snapshot_pause(), 0ms);
}

TEST_F(FollowerTest, WithoutSnapshotsAResyncRecordIsDeliveredBehindItsResync) {
    message(12, resync_frame(100));
    EXPECT_EQ(drain(follower_), "resync 100:resync");
    message(13, resync_frame(110));
    message(14, frame(120, {1}));
    EXPECT_EQ(drain(follower_), "resync 110:resync 120:1")
        << "each, as no snapshot makes up for it";
    EXPECT_EQ(follower_.cursor()->next, 121U);
}

TEST_F(FollowerTest, AResyncNamesItsTableAndTheChangeHasItsSchema) {
    message(12, resync_frame(100));
    auto told = follower_.take();
    while (told && !std::holds_alternative<client::Resync>(told->first)) told = follower_.take();
    ASSERT_TRUE(told);
    EXPECT_NE(std::get<client::Resync>(told->first).reason.find("public.t"), std::string::npos);
    EXPECT_EQ(told->second->next, 50U) << "killed behind it the worker has it again";
    told = follower_.take();
    ASSERT_TRUE(told);
    std::get<client::Transaction>(told->first).for_each([&](const client::Change& change) {
        ASSERT_NE(change.schema, nullptr);
        EXPECT_EQ(change.schema->table(), "t");
        EXPECT_FALSE(change.malformed);
    });
    message(13, resync_frame(110, 700, false));
    told = follower_.take();
    EXPECT_EQ(std::get<client::Resync>(told->first).reason.find("public"), std::string::npos);
    std::get<client::Transaction>(follower_.take()->first)
        .for_each([&](const client::Change& change) {
            EXPECT_EQ(change.schema, nullptr);
            EXPECT_EQ(change.op, wire::Op::Resync);
        });
}

// Live behind a first snapshot; the resync records are of transactions that the next snapshot sees
// or not.
class ResyncTest : public SnapshotTest {
protected:
    std::uint64_t sequence_ = 10;

    void SetUp() override {
        SnapshotTest::SetUp();
        answer_snapshot();
        follow({});
        EXPECT_EQ(drain(follower_), "begin rows:1,2 rows:3 end");
        EXPECT_TRUE(follower_.live());
    }
    // Answers the replay that follows a snapshot.
    void follow(std::vector<std::string> messages) {
        ASSERT_TRUE(std::holds_alternative<wire::Replay>(*follower_.take_request()));
        const auto count = static_cast<std::uint16_t>(messages.size());
        follower_.replayed({kEpoch, sequence_ + 1 - count, true, count}, std::move(messages), kNow);
    }
    void come(std::string bytes, Follower::WallTime now) {
        follower_.message({Topic::Event, kEpoch, ++sequence_, 300}, std::move(bytes), now);
    }
    void heartbeat(Follower::WallTime now) {
        follower_.heartbeat({Topic::Heartbeat, kEpoch, sequence_, 300}, now);
    }
};

TEST_F(ResyncTest, TheFirstRecordIsReplacedByASnapshotAtOnce) {
    come(resync_frame(500, 705), kNow);
    EXPECT_EQ(drain(follower_), "resync")
        << "the transaction is in the snapshot, or is replayed behind it";
    EXPECT_FALSE(follower_.cursor());
    answer_snapshot();
    EXPECT_EQ(drain(follower_), "begin rows:1,2 rows:3 end");
}

TEST_F(ResyncTest, ASnapshotThatDoesNotSeeTheTransactionDoesNotBeginItselfAgain) {
    come(resync_frame(390, 705), kNow);
    answer_snapshot();
    EXPECT_EQ(drain(follower_), "resync begin rows:1,2 rows:3 end");
    follow({resync_frame(390, 705)});
    EXPECT_EQ(drain(follower_), "390:resync");
    EXPECT_TRUE(follower_.live());
    come(frame(510, {7}, true, "1", 720), kNow + 9s);
    heartbeat(kNow + 9s);
    EXPECT_EQ(drain(follower_), "510:7") << "nothing waits for the snapshot";
    EXPECT_EQ(follower_.cursor()->next, 200U) << "who is restarted now has the record again";
    heartbeat(kNow + 10s);
    EXPECT_EQ(drain(follower_), "resync");
    ASSERT_TRUE(std::holds_alternative<wire::SnapshotRequest>(*follower_.take_request()));
    follower_.snapshot_part({6, 100, true, 1, 600, 600, {730, 730, {}}},
                            {frame(0, {9}, true, "1", 0, wire::kSnapshot)});
    EXPECT_EQ(drain(follower_), "begin rows:9 end");
    EXPECT_EQ(follower_.cursor()->next, 600U);
    heartbeat(kNow + 60s);
    EXPECT_EQ(drain(follower_), "") << "it is owed no more";
}

TEST_F(ResyncTest, NeitherDoesOneWhoseRecordIsReplayedBeforeAnyMessageHasCome) {
    const Cursor before{kHistory, 200, {}};
    Follower follower(options(true), before);
    follower.attached({}, kEpoch, kHistory);
    follower.marker({Topic::Marker, kEpoch, 10, 300}, kNow);
    const auto replay = [&] {
        ASSERT_TRUE(std::holds_alternative<wire::Replay>(*follower.take_request()));
        follower.replayed({kEpoch, 9, true, 2}, {schema(), resync_frame(390, 705)}, kNow);
    };
    replay();
    EXPECT_EQ(drain(follower), "resync");
    ASSERT_TRUE(std::holds_alternative<wire::SnapshotRequest>(*follower.take_request()));
    follower.snapshot_part({5, 100, true, 0, 200, 400, {705, 710, {705}}}, {});
    replay();
    EXPECT_EQ(drain(follower), "begin end 390:resync");
}

TEST_F(ResyncTest, ATableThatIsAlwaysWrittenToCostsOneSnapshotInEachInterval) {
    std::string seen;
    std::size_t snapshots = 0;
    wire::Lsn commit = 500;
    for (auto now = kNow; now < kNow + 60s; now += 1s) {
        come(resync_frame(++commit, 720), now);
        heartbeat(now);
        seen += drain(follower_);
        const auto request = follower_.take_request();
        if (!request) continue;
        ++snapshots;
        ASSERT_TRUE(std::holds_alternative<wire::SnapshotRequest>(*request));
        follower_.snapshot_part({5 + snapshots, 100, true, 0, commit, commit, {720, 720, {}}}, {});
        follow({});
        (void)drain(follower_);
    }
    EXPECT_EQ(snapshots, 6U);
    EXPECT_NE(seen.find(":resync"), std::string::npos);
}

TEST_F(ResyncTest, TheRecordOfATableThatTheWorkerDoesNotReadIsAChange) {
    FollowerOptions reads_others = options(true);
    reads_others.resync_tables = {"public.other"};
    Follower follower(reads_others, Cursor{kHistory, 50, {}});
    join(follower, 0);
    follower.message(header_at(1, 0), schema(), kNow);
    follower.message(header_at(2, 0), resync_frame(400), kNow);
    EXPECT_EQ(drain(follower), "400:resync");
    follower.heartbeat({Topic::Heartbeat, kEpoch, 2, 500}, kNow + 60s);
    EXPECT_EQ(drain(follower), "") << "nothing is owed";
    EXPECT_EQ(follower.cursor()->next, 500U);
    follower.message(header_at(3, 0), resync_frame(600, 700, false), kNow);
    EXPECT_EQ(drain(follower), "resync") << "of all tables";

    reads_others.resync_tables.push_back("public.t");
    Follower reads_it(reads_others, Cursor{kHistory, 50, {}});
    join(reads_it, 0);
    reads_it.message(header_at(1, 0), schema(), kNow);
    reads_it.message(header_at(2, 0), resync_frame(400), kNow);
    EXPECT_EQ(drain(reads_it), "resync");
}

TEST_F(ResyncTest, TheMessageBehindTheIntervalBeginsTheSnapshotThatIsOwed) {
    come(resync_frame(500, 720), kNow);
    answer_snapshot();
    follow({});
    come(resync_frame(510, 720), kNow + 1s);
    EXPECT_EQ(drain(follower_), "resync begin rows:1,2 rows:3 end 510:resync");
    come(frame(520, {7}, true, "1", 720), kNow + 11s);
    EXPECT_EQ(drain(follower_), "resync");
}

TEST(Cursor, TextAndBack) {
    const Cursor plain{{7, 3}, 0x1'0000'00AB, {}};
    EXPECT_EQ(plain.to_text(), "7 3 1/AB");
    EXPECT_EQ(Cursor::from_text(plain.to_text()), plain);
    for (const char* bad :
         {"", "7", "7 3", "7 3 1", "7 3 1/AB ", "7 3 1/AB 0/1", "7 3 1/AB 0/1 x", "7 3 1/XY"})
        EXPECT_FALSE(Cursor::from_text(bad)) << bad;
}

// A publisher that loses messages, forgets old ones, changes its epoch and takes snapshots that see
// what they will, driven by a seed. What the follower tells must be each transaction once and in
// order, and the sum of all must be the state.
class Publisher {
public:
    explicit Publisher(std::uint64_t seed) : random_(seed) {}

    void run() {
        follower_ = std::make_unique<Follower>(options(true), std::nullopt);
        attach();
        for (int step = 0; step < 400; ++step) {
            const auto choice = random_() % 100;
            if (choice < 35) commit();
            if (choice >= 35 && choice < 45) heartbeat();
            if (choice >= 45 && choice < 47) attach();
            if (choice == 47) new_epoch();
            if (choice == 48) follower_->ask_again();
            if (choice == 49) restart_worker();
            if (choice >= 50) answer();
            work();
        }
        for (int step = 0; step < 200 && !(done() && follower_->live()); ++step) {
            heartbeat(true);
            answer(true);
            work();
        }
        ASSERT_TRUE(follower_->live());
        ASSERT_TRUE(done());
        std::set<int> expected;
        for (const auto& transaction : log_) expected.insert(transaction.id);
        ASSERT_EQ(state_, expected);
    }

private:
    struct Committed {
        wire::Lsn commit;
        std::uint32_t xid;
        int id;
        bool visible = false;
    };
    struct Numbered {
        wire::Lsn commit;
        std::string bytes;
    };

    bool done() const {
        return follower_->cursor() && !log_.empty() &&
               follower_->cursor()->next > log_.back().commit;
    }
    wire::Lsn position() const { return log_.empty() ? 50 : log_.back().commit + 5; }

    void publish(const Committed& transaction) {
        const auto xid = transaction.xid;
        const bool split = transaction.id % 3 == 0;
        if (split)
            number({transaction.commit, frame(transaction.commit, {}, false, "1", xid)},
                   transaction.commit);
        number({transaction.commit, frame(transaction.commit, {transaction.id}, true, "1", xid)},
               transaction.commit);
    }
    void number(Numbered message, wire::Lsn position) {
        numbered_.push_back(message);
        if (random_() % 10 < 7)
            follower_->message({Topic::Event, epoch_, numbered_.size(), position}, message.bytes,
                               kNow);
    }
    void commit() {
        for (auto& transaction : log_)
            if (random_() % 2 == 0) transaction.visible = true;
        const auto id = static_cast<int>(log_.size()) + 1;
        log_.push_back(
            {static_cast<wire::Lsn>(100 * id), static_cast<std::uint32_t>(1000 + id), id});
        publish(log_.back());
    }
    void heartbeat(bool always = false) {
        if (always || random_() % 2 == 0)
            follower_->heartbeat({Topic::Heartbeat, epoch_, numbered_.size(), position()}, kNow);
    }
    void attach() {
        request_.reset();
        follower_->detached();
        follower_->attached({}, epoch_, kHistory);
        follower_->marker({Topic::Marker, epoch_, numbered_.size(), position()}, kNow);
    }
    void new_epoch() {
        // The new one begins at a confirmed position, and sends again from there.
        ++epoch_;
        numbered_.clear();
        first_kept_ = log_.empty() ? 0 : random_() % log_.size();
        while (first_kept_ > 0 && !log_[first_kept_ - 1].visible) --first_kept_;
        follower_->detached();
        for (std::size_t i = first_kept_; i < log_.size(); ++i) publish(log_[i]);
        attach();
    }
    void restart_worker() {
        // It has kept its state with its cursor.
        const auto cursor = worker_cursor_;
        if (!cursor) state_.clear();
        follower_ = std::make_unique<Follower>(options(true), cursor);
        attach();
    }

    void answer(bool always = false) {
        if (!request_) request_ = follower_->take_request();
        if (!request_) return;
        if (!always && random_() % 10 == 0) {
            // The answer is lost.
            request_.reset();
            follower_->ask_again();
            return;
        }
        const auto request = *std::exchange(request_, std::nullopt);
        if (std::holds_alternative<wire::Describe>(request))
            follower_->described({schema()}, kNow);
        else if (const auto* replay = std::get_if<wire::Replay>(&request))
            answer(*replay);
        else
            answer(std::get<wire::SnapshotRequest>(request));
    }
    void answer(const wire::Replay& replay) {
        const wire::Lsn floor = first_kept_ == 0 ? 0 : log_[first_kept_ - 1].commit + 1;
        std::uint64_t first = replay.sequence;
        if (replay.from == wire::Replay::From::Cursor) {
            if (replay.cursor < floor) {
                ASSERT_TRUE(follower_->refused({wire::ErrorCode::TooOld, "", "", ""}));
                return;
            }
            first = 1;
            while (first <= numbered_.size() && numbered_[first - 1].commit < replay.cursor)
                ++first;
        }
        wire::Replayed head{epoch_, first, false, 0};
        std::vector<std::string> messages;
        for (; first <= numbered_.size() && messages.size() < 3; ++first)
            messages.push_back(numbered_[first - 1].bytes);
        head.end = first > numbered_.size();
        follower_->replayed(head, std::move(messages), kNow);
    }
    void answer(const wire::SnapshotRequest& request) {
        if (request.snapshot == 0) {
            snapshot_ = {};
            snapshot_.cursor = position();
            snapshot_.until = position();
            snapshot_.sees.xmin = snapshot_.sees.xmax = 1001 + log_.size();
            rows_.clear();
            for (auto& transaction : log_) {
                if (transaction.visible || random_() % 2 == 0) {
                    transaction.visible = true;
                    rows_.push_back(transaction.id);
                    continue;
                }
                snapshot_.sees.xmin = std::min<std::uint64_t>(snapshot_.sees.xmin, transaction.xid);
                snapshot_.sees.in_progress.push_back(transaction.xid);
                snapshot_.cursor = std::min(snapshot_.cursor, transaction.commit);
            }
            snapshot_.snapshot = ++last_snapshot_;
        } else if (request.snapshot != last_snapshot_ || random_() % 20 == 0) {
            ASSERT_TRUE(follower_->refused({wire::ErrorCode::SnapshotGone, "", "", ""}));
            return;
        }
        wire::SnapshotPart part = snapshot_;
        part.next_offset = std::min<std::uint64_t>(request.offset + 5, rows_.size());
        part.end = part.next_offset == rows_.size();
        std::vector<int> ids(rows_.begin() + static_cast<std::ptrdiff_t>(request.offset),
                             rows_.begin() + static_cast<std::ptrdiff_t>(part.next_offset));
        follower_->snapshot_part(part,
                                 {schema(), frame(0, ids, part.end, "1", 0, wire::kSnapshot)});
    }

    void work() {
        while (auto told = follower_->take()) {
            if (std::holds_alternative<client::SnapshotBegin>(told->first)) state_.clear();
            if (const auto* rows = std::get_if<client::SnapshotRows>(&told->first))
                rows->for_each([&](const client::Row& row) {
                    ASSERT_TRUE(state_.insert(static_cast<int>(*row.integer("id"))).second);
                });
            if (const auto* transaction = std::get_if<client::Transaction>(&told->first)) {
                ASSERT_GT(transaction->commit_lsn, applied_) << "in order, and once";
                applied_ = transaction->commit_lsn;
                transaction->for_each([&](const client::Change& change) {
                    ASSERT_TRUE(
                        state_.insert(static_cast<int>(*change.new_row->integer("id"))).second)
                        << "applied twice";
                });
            }
            // A snapshot may lie behind what was applied before it: its own transactions come after
            // it.
            if (std::holds_alternative<client::SnapshotEnd>(told->first))
                applied_ = told->second->next - 1;
            worker_cursor_ = told->second;
        }
    }

    std::mt19937_64 random_;
    std::unique_ptr<Follower> follower_;
    std::uint64_t epoch_ = 1;
    std::vector<Committed> log_;
    std::vector<Numbered> numbered_;
    std::size_t first_kept_ = 0;
    std::optional<wire::ControlBody> request_;
    wire::SnapshotPart snapshot_;
    std::uint64_t last_snapshot_ = 0;
    std::vector<int> rows_;
    std::set<int> state_;
    std::optional<Cursor> worker_cursor_;
    wire::Lsn applied_ = 0;
};

TEST(Follower, LosesNothingWhateverThePublisherLoses) {
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        Publisher publisher(seed);
        publisher.run();
        ASSERT_FALSE(testing::Test::HasFatalFailure()) << "seed " << seed;
    }
}

TEST_F(FollowerTest, OneBadValueCostsItsColumnAndTheRowOfAnotherSchemaIsMalformed) {
    test::FrameSpec spec;
    spec.account = wire::AccountKey::from_text("1");
    spec.relations = {test::id_of(schema())};
    spec.records.push_back(
        {wire::Op::Insert, 0, 0, 0, test::row({Value::fixed(5), Value::text("\xFF")}), {}});
    spec.records.push_back({wire::Op::Insert, 1, 0, 0, test::row({Value::fixed(5)}), {}});
    spec.records.push_back(
        {wire::Op::Insert, 2, 0, 0, test::row({Value::fixed(7), Value::text("good")}), {}});
    message(12, test::frame(spec));
    (void)follower_.take();  // Joined
    (void)follower_.take();  // CaughtUp
    const auto told = follower_.take();
    ASSERT_TRUE(told);
    std::string printed;
    std::get<client::Transaction>(told->first).for_each([&](const client::Change& change) {
        EXPECT_EQ(change.malformed, !change.new_row);
        printed += change.new_row ? change.new_row->json().value_or("null") +
                                        change.new_row->unavailable_json() + ' '
                                  : "malformed ";
    });
    EXPECT_EQ(printed, "{\"id\":5}[\"name\"] malformed {\"id\":7,\"name\":\"good\"}[] ");
}

TEST_F(FollowerTest, GettersGiveNothingForAnotherType) {
    message(12, frame(100, {5}));
    const auto told = [&] {
        (void)follower_.take();  // Joined
        (void)follower_.take();  // CaughtUp
        return follower_.take();
    }();
    ASSERT_TRUE(told);
    std::get<client::Transaction>(told->first).for_each([](const client::Change& change) {
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

}  // namespace follower_tests
}  // namespace fatwal
