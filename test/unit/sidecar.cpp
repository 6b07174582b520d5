#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "fatwal/wire/invariant.h"
#include "sidecar/backoff.h"
#include "sidecar/delivery/ledger.h"
#include "sidecar/delivery/ring.h"
#include "sidecar/delivery/schemas.h"
#include "sidecar/delivery/tally.h"
#include "sidecar/postgres/notices.h"
#include "sidecar/postgres/stream.h"
#include "test/support/builder.h"

namespace fatwal::sidecar {
namespace sidecar_tests {

// A transaction as the plugin cuts it: `frames` of them, the last with the marks.
struct Sent {
    wire::Lsn commit;
    int frame;
    std::string bytes;
};

std::vector<Sent> transaction(wire::Lsn commit, int frames) {
    std::vector<Sent> sent;
    for (int i = 0; i < frames; ++i) {
        test::FrameSpec spec;
        spec.commit_lsn = commit;
        spec.flags = i + 1 == frames ? wire::kLastOfAccount | wire::kLastOfTransaction : 0;
        spec.end_lsn = i + 1 == frames ? commit + 8 : 0;
        sent.push_back({commit, i, test::frame(spec)});
    }
    return sent;
}

bool deliver(Ledger& ledger, const Sent& sent) {
    const auto frame = wire::FrameView::parse_header(wire::as_bytes(sent.bytes));
    if (!ledger.admit(*frame)) return false;
    ledger.frame_published(*frame);
    return true;
}

TEST(Ledger, ATransactionIsPublishedWithItsLastFrame) {
    Ledger ledger;
    const auto sent = transaction(100, 3);
    EXPECT_TRUE(deliver(ledger, sent[0]));
    EXPECT_TRUE(deliver(ledger, sent[1]));
    EXPECT_EQ(ledger.published(), 0U);
    EXPECT_TRUE(ledger.in_transaction());
    EXPECT_TRUE(deliver(ledger, sent[2]));
    EXPECT_EQ(ledger.published(), 108U);
}

// As libpq gives it: the header of the protocol, then what the plugin wrote.
CopyData copy_data(const std::string& messages) {
    constexpr std::size_t kHeader = 25;
    char* bytes = static_cast<char*>(std::malloc(kHeader + messages.size()));
    std::memcpy(bytes + kHeader, messages.data(), messages.size());
    return {std::unique_ptr<char, FreeCopyData>(bytes), kHeader, kHeader + messages.size()};
}

TEST(CopyData, SeveralMessagesComeOneAfterTheOther) {
    const auto sent = transaction(100, 3);
    CopyData data = copy_data(sent[0].bytes + sent[1].bytes + sent[2].bytes);
    Ledger ledger;
    for (const Sent& expected : sent) {
        const auto received = data.next();
        ASSERT_TRUE(received);
        EXPECT_EQ(wire::as_text(received->message), expected.bytes);
        EXPECT_FALSE(received->buffer) << "it is not its own";
        const auto frame = wire::FrameView::parse_header(received->message);
        ASSERT_TRUE(frame);
        EXPECT_TRUE(ledger.admit(*frame));
        ledger.frame_published(*frame);
    }
    EXPECT_FALSE(data.next());
    EXPECT_EQ(ledger.published(), 108U);
}

TEST(CopyData, AMessageAloneOwnsItsBuffer) {
    CopyData data = copy_data(transaction(100, 1)[0].bytes);
    const auto received = data.next();
    ASSERT_TRUE(received);
    EXPECT_TRUE(received->buffer);
    EXPECT_FALSE(data.next());
}

TEST(CopyData, WhatIsMalformedComesAsOneMessageThatNobodyUnderstands) {
    const std::string frame = transaction(100, 1)[0].bytes;
    for (const std::string& bad :
         {std::string(), std::string("x"), std::string(64, '\0'), frame.substr(0, 40)}) {
        CopyData data = copy_data(bad);
        const auto received = data.next();
        ASSERT_TRUE(received);
        EXPECT_EQ(wire::as_text(received->message), bad);
        EXPECT_FALSE(wire::FrameView::parse_header(received->message));
        EXPECT_FALSE(data.next());
    }
}

TEST(Tally, CountsResyncsAndUnroutedChangesOfEveryoneAndOperatorsAlone) {
    Tally tally;
    const auto add = [&](const wire::AccountKey& account, std::vector<test::RecordSpec> records) {
        test::FrameSpec spec;
        spec.account = account;
        spec.relations = {{16384, 1}};
        spec.records = std::move(records);
        const std::string bytes = test::frame(spec);
        tally.add(*wire::FrameView::parse_header(wire::as_bytes(bytes)));
    };
    const std::string row = test::row({test::Value::fixed(1)});
    wire::AccountKey everyone;
    everyone.kind = wire::AccountKind::Everyone;
    add(everyone, {{wire::Op::Resync}, {wire::Op::Truncate}, {wire::Op::Resync, 1}});
    add({}, {{wire::Op::Insert, 0, wire::kUnrouted, 0, row},
             {wire::Op::Insert, 1, 0, 0, row},
             {wire::Op::Resync, 2}});
    EXPECT_EQ(tally.resyncs, 3U);
    EXPECT_EQ(tally.unrouted, 1U);
    add(wire::AccountKey::from_text("1"), {{wire::Op::Insert, 0, 0, 0, row}});
    EXPECT_EQ(tally.resyncs + tally.unrouted, 4U);
}

using Lines = std::vector<std::string>;

TEST(Notices, ATextIsLoggedOnceAMinuteWithItsCount) {
    Notices notices;
    const auto start = std::chrono::steady_clock::now();
    notices.add("a");
    EXPECT_EQ(notices.lines(start), Lines{"a"});
    for (int i = 0; i < 3; ++i) notices.add("a");
    notices.add("b");
    EXPECT_EQ(notices.lines(start + std::chrono::seconds(1)), Lines{"b"});
    notices.add("a");
    EXPECT_EQ(notices.lines(start + std::chrono::seconds(59)), Lines{});
    EXPECT_EQ(notices.lines(start + std::chrono::seconds(60)), Lines{"a (4 times more)"});
    EXPECT_EQ(notices.lines(start + std::chrono::seconds(119)), Lines{});
    EXPECT_EQ(notices.lines(start + std::chrono::seconds(121)), Lines{});
    notices.add("a");
    EXPECT_EQ(notices.lines(start + std::chrono::seconds(122)), Lines{"a"}) << "it was forgotten";
}

TEST(Notices, ManyTextsAreCountedOnly) {
    Notices notices;
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < Notices::kTexts + 10; ++i) {
        notices.add("text " + std::to_string(i));
        EXPECT_LE(notices.lines(start).size(), 1U);
    }
    for (int i = 0; i < 1000; ++i) notices.add("further " + std::to_string(i));
    EXPECT_EQ(notices.lines(start + std::chrono::seconds(59)), Lines{});
    const Lines lines = notices.lines(start + std::chrono::seconds(60));
    EXPECT_EQ(lines, Lines{"other warnings came 1009 times; the server's log has them"});
}

TEST(Notices, ATextCannotForgeALine) {
    EXPECT_EQ(one_line("a\nb\rc\td\x1b[2J\x7f"), "a b c d [2J ");
    EXPECT_EQ(one_line("no such file\n\tIs the server running?\n"),
              "no such file. Is the server running?");
    EXPECT_EQ(one_line("größe"), "größe");
    const std::string whole = one_line(std::string(Notices::kTextBytes - 1, 'x') + "ö and more");
    EXPECT_EQ(whole, std::string(Notices::kTextBytes - 1, 'x') + "…") << "not within a character";
}

TEST(Ledger, KeepaliveCountsOnlyBetweenTransactions) {
    Ledger ledger;
    ledger.keepalive(50);
    EXPECT_EQ(ledger.published(), 50U);
    deliver(ledger, transaction(100, 2)[0]);
    ledger.keepalive(500);
    EXPECT_EQ(ledger.published(), 50U);
    deliver(ledger, transaction(100, 2)[1]);
    ledger.keepalive(500);
    EXPECT_EQ(ledger.published(), 500U);
}

TEST(Ledger, PositionNeverGoesBack) {
    Ledger ledger;
    ledger.keepalive(500);
    ledger.keepalive(400);
    EXPECT_EQ(ledger.published(), 500U);
}

// The connection is lost at random places; the server begins again at any transaction boundary at
// or before what was confirmed.
TEST(Ledger, ReconnectsPublishEachFrameOnce) {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        std::mt19937_64 random(seed);
        std::vector<std::vector<Sent>> log;
        for (wire::Lsn commit = 100; commit < 600; commit += 50)
            log.push_back(transaction(commit, 1 + static_cast<int>(random() % 4)));
        Ledger ledger;
        std::vector<std::pair<wire::Lsn, int>> published;
        wire::Lsn confirmed = 0;
        for (std::size_t at = 0; at < log.size();) {
            bool lost = false;
            for (const Sent& sent : log[at]) {
                if (random() % 5 == 0) {
                    lost = true;
                    break;
                }
                if (deliver(ledger, sent)) published.emplace_back(sent.commit, sent.frame);
                if (random() % 3 == 0) confirmed = ledger.published();
            }
            if (!lost) {
                ++at;
                continue;
            }
            ledger.restart();
            // Everything that ends after the confirmed position is sent again; the server may even
            // go further back.
            while (at > 0 && log[at - 1].front().commit + 8 > confirmed) --at;
            if (at > 0 && random() % 2 == 0) --at;
        }
        std::vector<std::pair<wire::Lsn, int>> expected;
        for (const auto& sent : log)
            for (const Sent& frame : sent) expected.emplace_back(frame.commit, frame.frame);
        ASSERT_EQ(published, expected) << "seed " << seed;
        ASSERT_EQ(ledger.published(), log.back().front().commit + 8) << "seed " << seed;
    }
}

wire::TransactionSnapshot snapshot(const char* text) {
    return *wire::TransactionSnapshot::from_text(text);
}

TEST(TransactionSnapshot, SeesWhatHasEndedBefore) {
    const auto taken = snapshot("100:110:103,107");
    for (const std::uint32_t xid : {99U, 100U, 102U, 104U, 109U})
        EXPECT_TRUE(taken.sees(xid)) << xid;
    for (const std::uint32_t xid : {103U, 107U, 110U, 200U}) EXPECT_FALSE(taken.sees(xid)) << xid;
    // In the second epoch of ids, just after the counter has begun again.
    const auto wrapped = snapshot("4294967290:4294967300:4294967299");
    EXPECT_TRUE(wrapped.sees(4294967280U));
    EXPECT_TRUE(wrapped.sees(2U));
    EXPECT_FALSE(wrapped.sees(3U));
    EXPECT_FALSE(wrapped.sees(4U));
    EXPECT_FALSE(wrapped.sees(2'000'000'000U));
    EXPECT_EQ(wrapped.to_text(), "4294967290:4294967300:4294967299");
    for (const char* bad : {"", "1", "1:2", "1:2:x", "1:2:3,", "1:2:5,4"})
        EXPECT_FALSE(wire::TransactionSnapshot::from_text(bad)) << bad;
}

TEST(Ledger, WhatIsSeenAndNotHeldIsConfirmable) {
    Ledger ledger;
    ledger.begin(50);
    EXPECT_EQ(ledger.raise_confirmable(), 50U);
    deliver(ledger, transaction(100, 1)[0]);  // by transaction 700
    ledger.keepalive(500);
    // A snapshot that is taken now may not see it.
    EXPECT_EQ(ledger.raise_confirmable(), 100U);
    ledger.visibility.seen(snapshot("700:705:700"), 0);
    EXPECT_EQ(ledger.raise_confirmable(), 100U);
    ledger.visibility.seen(snapshot("701:705:"), 0);
    ledger.holds.hold(SnapshotHold{1}, 300, {});
    ledger.holds.hold(SnapshotHold{2}, 200, {});
    EXPECT_EQ(ledger.raise_confirmable(), 200U);
    ledger.holds.release(SnapshotHold{2});
    EXPECT_EQ(ledger.raise_confirmable(), 300U);
    ledger.holds.hold(SnapshotHold{2}, 60, {});
    EXPECT_EQ(ledger.raise_confirmable(), 300U) << "it never goes back";
    ledger.holds.clear();
    EXPECT_EQ(ledger.next_confirmable(), 500U);
    EXPECT_EQ(ledger.confirmable(), 300U) << "it rises with a confirmation alone";
    EXPECT_EQ(ledger.raise_confirmable(), 500U);
}

TEST(Visibility, ASnapshotThatIsOlderThanWhatWasSeenIsStillServed) {
    Visibility visibility;
    visibility.add(700, 100);
    // Snapshot 1 is being taken, and does not see 700; then somebody else looks, and sees it.
    visibility.seen(snapshot("701:702:"), 1);
    EXPECT_EQ(visibility.oldest(), kNoLsn);
    EXPECT_EQ(visibility.oldest_unseen_by(snapshot("699:700:")), 100U);
    visibility.known_before(1);
    EXPECT_EQ(visibility.oldest_unseen_by(snapshot("699:700:")), 100U);
    visibility.known_before(2);
    EXPECT_EQ(visibility.oldest_unseen_by(snapshot("699:700:")), kNoLsn);
}

TEST(Holds, ThoseBeyondTheRetentionAreTold) {
    Holds holds;
    const Holds::Time start{};
    holds.hold(SnapshotHold{3}, 900, start);
    holds.hold(SnapshotHold{4}, 100, start + std::chrono::seconds(50));
    holds.hold(SnapshotHold{5}, 900, start + std::chrono::seconds(50));
    EXPECT_EQ(holds.beyond(500, 1000, start + std::chrono::seconds(10)),
              (std::vector<HoldKey>{SnapshotHold{3}, SnapshotHold{4}}));
    // Progress makes it young again.
    holds.hold(SnapshotHold{3}, 950, start + std::chrono::seconds(60));
    EXPECT_EQ(holds.beyond(500, 1000, start + std::chrono::seconds(10)),
              std::vector<HoldKey>{SnapshotHold{4}});
}

zmq::message_t payload(std::size_t bytes) { return zmq::message_t(bytes); }

TEST(Ring, KeepsTheNewestOfEachAccountWithinItsBounds) {
    constexpr std::size_t kEach = 100 + Ring::kOverheadBytes;
    Ring ring(10 * kEach, 4 * kEach);
    AccountLog a(ring, 50);
    AccountLog b(ring, 50);
    for (wire::Lsn commit = 100; commit < 106; ++commit) a.append(payload(100), commit);
    EXPECT_EQ(a.sequence(), 6U);
    EXPECT_EQ(a.floor(), 102U);
    EXPECT_EQ(a.find(2), nullptr);
    EXPECT_NE(a.find(3), nullptr);
    EXPECT_EQ(a.first_from(102), 3U);
    EXPECT_EQ(a.first_from(104), 5U);
    EXPECT_EQ(a.first_from(106), 7U);
    EXPECT_EQ(b.floor(), 50U);
    EXPECT_EQ(b.first_from(50), 1U);
    EXPECT_EQ(ring.bytes(), 4 * kEach);
}

TEST(Ring, TakesTheMessagesOfAnAccountInTheOrderOfTheirCommits) {
    Ring ring(1 << 20, 1 << 20);
    AccountLog log(ring, 0);
    (void)log.append(zmq::message_t(1), 0x200);
    (void)log.append(zmq::message_t(1), 0x200);
    EXPECT_THROW((void)log.append(zmq::message_t(1), 0x100), wire::InvariantError);
    EXPECT_EQ(log.sequence(), 2U);
}

TEST(Visibility, TakesTransactionsInTheOrderOfTheirCommits) {
    Visibility visibility;
    visibility.add(700, 0x200);
    EXPECT_THROW(visibility.add(701, 0x200), wire::InvariantError);
    EXPECT_EQ(visibility.oldest(), 0x200U);
}

TEST(Ring, TheOldestOfAllGoFirst) {
    constexpr std::size_t kEach = 100 + Ring::kOverheadBytes;
    Ring ring(3 * kEach, 100 * kEach);
    AccountLog a(ring, 0);
    auto b = std::make_unique<AccountLog>(ring, 0);
    a.append(payload(100), 100);
    b->append(payload(100), 101);
    a.append(payload(100), 102);
    a.append(payload(100), 102);
    EXPECT_EQ(a.find(1), nullptr);
    EXPECT_NE(b->find(1), nullptr);
    b.reset();
    EXPECT_EQ(ring.bytes(), 2 * kEach);
    a.append(payload(100), 103);
    EXPECT_NE(a.find(2), nullptr);
    // A transaction of which a part has gone is not held.
    a.append(payload(100), 104);
    EXPECT_EQ(a.floor(), 103U);
    EXPECT_EQ(a.first_from(103), 4U);
}

TEST(Schemas, KeepTheNewestVersionsOfEachRelation) {
    Schemas schemas;
    std::vector<wire::SchemaId> ids;
    for (std::size_t i = 0; i < Schemas::kVersionsKept + 3; ++i) {
        const std::string message = test::schema_message(16384, "t" + std::to_string(i), {});
        schemas.add(*wire::SchemaView::parse(wire::as_bytes(message)));
        schemas.add(*wire::SchemaView::parse(wire::as_bytes(message)));
        ids.push_back(test::id_of(message));
    }
    EXPECT_EQ(schemas.size(), Schemas::kVersionsKept);
    EXPECT_EQ(schemas.find(ids[2]), nullptr);
    EXPECT_NE(schemas.find(ids[3]), nullptr);
    EXPECT_NE(schemas.find(ids.back()), nullptr);
}

TEST(Backoff, GrowsToItsBoundWithJitterAndStartsAnew) {
    Backoff backoff(1);
    const auto first = backoff.next();
    EXPECT_LE(first.count(), 200);
    EXPECT_GE(first.count(), 100);
    for (int i = 0; i < 20; ++i) backoff.next();
    const auto late = backoff.next();
    EXPECT_LE(late.count(), 10'000);
    EXPECT_GE(late.count(), 5'000);
    backoff.reset();
    EXPECT_LE(backoff.next().count(), 200);
}

}  // namespace sidecar_tests
}  // namespace fatwal::sidecar
