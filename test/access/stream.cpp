// J: from the stream's transactions to rows, and what of them stays apart.
#include <gtest/gtest.h>

#include "fatwal/client/follower.h"
#include "test/access/world.h"
#include "test/support/builder.h"

namespace fatwal::access::test {
namespace stream_tests {

using fatwal::test::Value;

// The transaction of one frame, as a subscription tells it.
client::Transaction transaction(const std::vector<std::string>& schemas,
                                const std::vector<fatwal::test::RecordSpec>& records) {
    client::FollowerOptions options;
    options.account = wire::AccountKey::from_text("1");
    options.snapshots = false;
    options.resync_after = {};
    client::Follower follower(options, {});
    follower.attached({}, 7, {99, 1});
    const auto header = [](wire::Topic topic, std::uint64_t sequence) {
        return wire::PublicationHeader{topic, 7, sequence, 50};
    };
    follower.marker(header(wire::Topic::Marker, 10), kFriday);
    (void)follower.take_request();
    follower.replayed({7, 11, true, 0}, {}, kFriday);
    fatwal::test::FrameSpec frame;
    frame.account = options.account;
    frame.records = records;
    std::uint64_t sequence = 10;
    for (const std::string& schema : schemas) {
        frame.relations.push_back(fatwal::test::id_of(schema));
        follower.message(header(wire::Topic::Event, ++sequence), schema, kFriday);
    }
    follower.message(header(wire::Topic::Event, ++sequence), fatwal::test::frame(frame), kFriday);
    while (auto told = follower.take())
        if (auto* out = std::get_if<client::Transaction>(&told->first)) return std::move(*out);
    throw std::logic_error("no transaction");
}

Value value(const Uuid& id) { return Value::text(std::string(wire::as_text(id.bytes))); }

const std::vector<fatwal::test::ColumnSpec> kMembership{{"id", wire::TypeCode::Uuid},
                                                        {"account_id", wire::TypeCode::Uuid},
                                                        {"actor_id", wire::TypeCode::Uuid},
                                                        {"group_id", wire::TypeCode::Uuid}};
std::string membership(const char* name) {
    return fatwal::test::row(
        {value(id(name)), value(id("account")), value(id("A")), value(id("g1"))});
}

TEST(Stream, J2_AnUnknownTableIsCountedAndTheStreamGoesOn) {
    const auto unknown =
        fatwal::test::schema_message(1, "audit_log", {{"id", wire::TypeCode::Int4}});
    const auto known = fatwal::test::schema_message(2, "actor_group_memberships", kMembership);
    const std::string audit = fatwal::test::row({Value::fixed(1)});
    const auto had = transaction({unknown, known}, {{wire::Op::Insert, 0, 0, 0, audit},
                                                    {wire::Op::Insert, 1, 0, 1, membership("m9")},
                                                    {wire::Op::Delete, 2, 0, 0, {}, audit},
                                                    {wire::Op::Truncate, 3, 0, 0}});
    std::size_t left_out = 0;
    const auto changes = typed_changes(had, &left_out);
    EXPECT_EQ(left_out, 3U);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(std::get<portal::ActorGroupMemberships>(changes[0].after).id, id("m9"));
    World w;
    EXPECT_FALSE(w.apply(1000, changes).quarantined);
    EXPECT_TRUE(w.state.live());
}

TEST(Stream, J2_ATableOfTheDomainInAnotherFormIsABadRow) {
    auto columns = kMembership;
    columns.pop_back();
    const auto schema = fatwal::test::schema_message(2, "actor_group_memberships", columns);
    const auto had = transaction(
        {schema}, {{wire::Op::Insert, 0, 0, 0,
                    fatwal::test::row({value(id("m1")), value(id("account")), value(id("A"))})}});
    const auto changes = typed_changes(had);
    ASSERT_EQ(changes.size(), 1U);
    ASSERT_TRUE(changes[0].bad);
    EXPECT_EQ(changes[0].bad->id, id("m1"));
    World w;
    w.join_client();
    EXPECT_EQ(w.apply(1000, changes).bad_rows, 1U);
    EXPECT_EQ(w.sent("c1"), "init[r1] RD(r1)");
}

TEST(Stream, C4_ARowThatIsAnotherNowAndCannotBeReadTakesAwayTheOneThatWas) {
    const auto schema = fatwal::test::schema_message(2, "actor_group_memberships", kMembership);
    const auto unreadable = [](const char* name) {
        return fatwal::test::row(
            {value(id(name)), value(id("account")), value(id("A")), Value::null()});
    };
    struct Update {
        std::string before;
        std::string after;
    };
    for (const auto& [before, after] :
         {Update{membership("m1"), unreadable("m9")}, Update{membership("m1"), unreadable("m1")},
          Update{unreadable("m1"), unreadable("m9")}}) {
        World w;
        w.join_client();
        EXPECT_FALSE(w.apply(1000, typed_changes(transaction(
                                       {schema}, {{wire::Op::Update, 0, 0, 0, after, before}})))
                         .quarantined);
        EXPECT_EQ(w.sent("c1"), "init[r1] RD(r1)");
    }
    World w;
    w.join_client();
    w.apply(1000, typed_changes(transaction({schema}, {{wire::Op::Update, 0, 0, 0, membership("m9"),
                                                        unreadable("m1")}})));
    EXPECT_EQ(w.sent("c1"), "init[r1]") << "the row that is grants as well";
    EXPECT_EQ(name_of(*w.state.membership(id("A"), id("g1"))), "m9");
}

// A table of the domain whose old rows are not whole may have lost a DELETE: nothing that is known
// counts.
TEST(Stream, B7_ATableWithoutWholeOldRowsVoidsWhatIsKnown) {
    for (const char identity : {'d', 'i', 'n'}) {
        const auto schema =
            fatwal::test::schema_message(2, "actor_group_memberships", kMembership, 1, identity);
        for (const auto& record : std::vector<fatwal::test::RecordSpec>{
                 {wire::Op::Insert, 0, 0, 0, membership("m9")},
                 {wire::Op::Delete, 0, 0, 0, {}, membership("m9")},
                 {wire::Op::Truncate}}) {
            const auto changes = typed_changes(transaction({schema}, {record}));
            ASSERT_EQ(changes.size(), 1U);
            EXPECT_NE(changes[0].voided_by.find(
                          "ALTER TABLE public.actor_group_memberships REPLICA IDENTITY FULL;"),
                      std::string::npos);
            World w;
            EXPECT_TRUE(w.apply(1000, changes).quarantined);
        }
        const auto parsed = client::Schema::parse(schema);
        const std::string bytes = membership("m9");
        auto row = typed_row(client::Row(*parsed, *wire::RowView::parse(wire::as_bytes(bytes))));
        ASSERT_TRUE(row);
        World w;
        w.state.begin_snapshot();
        w.state.snapshot_row(std::move(*row));
        w.state.end_snapshot({{}, 2000});
        EXPECT_FALSE(w.state.live()) << "a snapshot does not mend it";
        EXPECT_NE(w.state.reason().find("REPLICA IDENTITY FULL"), std::string::npos);
        w.state.begin_snapshot();
        w.state.end_snapshot({{}, 3000});
        EXPECT_TRUE(w.state.live());
    }
    // Of a table that nobody here reads it does not matter.
    const auto other =
        fatwal::test::schema_message(1, "audit_log", {{"id", wire::TypeCode::Int4}}, -1, 'd');
    EXPECT_TRUE(typed_changes(transaction({other}, {{wire::Op::Insert, 0, 0, 0,
                                                     fatwal::test::row({Value::fixed(1)})}}))
                    .empty());
}

TEST(Stream, B7_AResyncRecordOfATableOfTheDomainOrOfAllVoidsWhatIsKnown) {
    const auto known = fatwal::test::schema_message(2, "actor_group_memberships", kMembership);
    const auto unknown =
        fatwal::test::schema_message(1, "audit_log", {{"id", wire::TypeCode::Int4}});
    for (const auto& schemas : {std::vector<std::string>{known}, std::vector<std::string>{}}) {
        const auto changes = typed_changes(transaction(schemas, {{wire::Op::Resync}}));
        ASSERT_EQ(changes.size(), 1U);
        World w;
        EXPECT_TRUE(w.apply(1000, changes).quarantined);
    }
    EXPECT_TRUE(typed_changes(transaction({unknown}, {{wire::Op::Resync}})).empty());
}

TEST(Stream, J12_APoisonedAccountIsPutAsideAlone) {
    World poisoned;
    World other;
    for (World* w : {&poisoned, &other})
        w->resource("r2").connect("r2", "s1").join_gateway().join_client();
    RowChange bad;
    bad.bad = BadRow{"policies", {}, {}, "malformed"};
    EXPECT_TRUE(poisoned.apply(1000, {bad}).quarantined);
    for (World* w : {&poisoned, &other}) {
        w->policy("p2", "g1", "r2").commit();
        w->create_flow("r2");
    }
    EXPECT_EQ(poisoned.sent("c1"), "init[r1] FF(r2,offline)");
    EXPECT_EQ(other.sent("c1"), "init[r1] RC(r2)");
    EXPECT_EQ(other.sent("w1"), "init[] AF(c1,r2,none)");
    poisoned.snapshot();
    EXPECT_EQ(poisoned.sent("c1"), "RC(r2)");
}

// A membership with one column more.
std::string with(const char* name, const Value& last) {
    return fatwal::test::row(
        {value(id(name)), value(id("account")), value(id("A")), value(id("g1")), last});
}

// What c1 is sent: a world that was read with the memberships' columns, then one change.
struct OfColumns {
    World w;
    explicit OfColumns(const std::string& schema, const std::string& known) {
        w.join_client();
        (void)w.sent("c1");
        w.state.begin_snapshot();
        for (const auto& [key, row] : w.rows())
            if (!std::holds_alternative<portal::ActorGroupMemberships>(row)) {
                RowChange change;
                change.after = row;
                w.state.snapshot_row(std::move(change));
            }
        const auto parsed = client::Schema::parse(schema);
        w.state.snapshot_row(
            *typed_row(client::Row(*parsed, *wire::RowView::parse(wire::as_bytes(known)))));
        (void)w.state.end_snapshot({{}, 900});
    }
    Affected change(const std::string& schema, const fatwal::test::RecordSpec& record) {
        return w.apply(1000, typed_changes(transaction({schema}, {record})));
    }
    [[nodiscard]] bool grants() const { return w.state.membership(id("A"), id("g1")) != nullptr; }
};

std::vector<fatwal::test::ColumnSpec> soft(wire::TypeCode code = wire::TypeCode::TimestampTz) {
    auto columns = kMembership;
    columns.push_back({"deleted_at", code});
    return columns;
}
std::string memberships(const std::vector<fatwal::test::ColumnSpec>& columns) {
    return fatwal::test::schema_message(2, "actor_group_memberships", columns);
}

TEST(SoftDeletion, C7_IsOfTheSchemaThatTravels) {
    const std::string schema = memberships(soft());
    const std::string there = with("m1", Value::null());
    const std::string gone = with("m1", Value::fixed(5));
    OfColumns deleted(schema, gone);
    EXPECT_FALSE(deleted.grants()) << "a snapshot's row";
    deleted.change(schema, {wire::Op::Update, 0, 0, 0, there, gone});
    EXPECT_TRUE(deleted.grants()) << "it is taken back";
    OfColumns updated(schema, there);
    EXPECT_TRUE(updated.grants());
    EXPECT_FALSE(updated.change(schema, {wire::Op::Update, 0, 0, 0, gone, there}).quarantined);
    EXPECT_FALSE(updated.grants());
    OfColumns renamed(schema, there);
    renamed.change(schema, {wire::Op::Update, 0, 0, 0, with("m9", Value::fixed(5)), there});
    EXPECT_FALSE(renamed.grants()) << "it got another key and was deleted";
    OfColumns inserted(schema, gone);
    inserted.change(schema, {wire::Op::Insert, 0, 0, 0, with("m9", Value::fixed(5))});
    EXPECT_FALSE(inserted.grants());
    OfColumns unknown(schema, there);
    EXPECT_EQ(unknown.change(schema, {wire::Op::Insert, 0, 0, 0, with("m1", Value::unavailable())})
                  .bad_rows,
              1U);
    EXPECT_FALSE(unknown.grants()) << "whether it is deleted is not known";
}

TEST(Schema, C7_WhatAccessIsDecidedByIsLookedAtAgainWhenItsColumnsChange) {
    const auto plain = kMembership;
    auto renamed = plain;
    renamed[3].name = "team_id";
    auto retyped = plain;
    retyped[3].code = wire::TypeCode::Text;
    auto replaced = plain;  // dropped, and another column of the name added
    replaced[3].attribute_number = 5;
    auto dropped = plain;
    dropped.pop_back();
    auto more = kMembership;
    more.push_back({"note", wire::TypeCode::Text});
    const std::string dropped_row =
        fatwal::test::row({value(id("m8")), value(id("account")), value(id("A"))});
    const std::string known = membership("m1");
    struct Step {
        const char* what;
        std::string schema;
        std::string row;
        bool is_void;
    };
    for (const Step& step :
         {Step{"a column of that name is gone", memberships(renamed), membership("m8"), true},
          Step{"it has another type", memberships(retyped), membership("m8"), true},
          Step{"it is another column", memberships(replaced), membership("m8"), true},
          Step{"it is dropped", memberships(dropped), dropped_row, true},
          Step{"rows may be deleted", memberships(soft()), with("m8", Value::null()), true},
          Step{"a column that nobody reads", memberships(more), with("m8", Value::null()), false},
          Step{"the same", memberships(plain), membership("m8"), false}}) {
        OfColumns world(memberships(plain), known);
        const auto affected = world.change(step.schema, {wire::Op::Insert, 0, 0, 0, step.row});
        EXPECT_EQ(affected.quarantined, step.is_void) << step.what;
        EXPECT_EQ(world.w.state.live(), !step.is_void) << step.what;
    }
    // The new snapshot leaves out what cannot be read; when it can be again, another one is taken.
    OfColumns unreadable(memberships(dropped), dropped_row);
    EXPECT_FALSE(unreadable.grants());
    EXPECT_TRUE(
        unreadable.change(memberships(kMembership), {wire::Op::Insert, 0, 0, 0, membership("m8")})
            .quarantined);
}

// A managed group "all" is everyone's, as no membership is of it: mb and mc, which cannot be read,
// may be.
struct UnreadMemberships : ::testing::Test {
    UnreadMemberships() {
        w.group("all").edit<portal::ActorGroups>(
            "all", [](auto& group) { group.type = portal::GroupType::Managed; });
        w.erase<portal::Policies>("p1").policy("p2", "all", "r1").commit();
        w.join_client();
        EXPECT_EQ(w.sent("c1"), "init[r1]");
    }
    static std::string unreadable(const Value& id) {
        return fatwal::test::row(
            {id, value(test::id("account")), value(test::id("A")), Value::null()});
    }
    static RowChange snapshot_row(const std::string& schema, const std::string& row) {
        const auto parsed = client::Schema::parse(schema);
        return *typed_row(client::Row(*parsed, *wire::RowView::parse(wire::as_bytes(row))));
    }
    // A new snapshot, with this in place of the memberships.
    void snapshot(const std::vector<RowChange>& memberships) {
        w.state.begin_snapshot();
        for (const auto& [key, row] : w.rows()) {
            RowChange change;
            change.after = row;
            if (!std::holds_alternative<portal::ActorGroupMemberships>(row))
                w.state.snapshot_row(std::move(change));
        }
        for (const RowChange& membership : memberships) w.state.snapshot_row(membership);
        const Affected affected = w.state.end_snapshot({{}, 900});
        EXPECT_EQ(affected.bad_rows, affected.issues.size());
    }
    void change(const fatwal::test::RecordSpec& record) {
        const auto affected = w.apply(++lsn, typed_changes(transaction({schema}, {record})));
        EXPECT_FALSE(affected.quarantined);
    }
    [[nodiscard]] bool is_everyones() const { return w.state.is_everyones(id("all")); }

    World w;
    std::string schema = memberships(kMembership);
    std::uint64_t lsn = 1000;
};

TEST_F(UnreadMemberships, OfASnapshotAfterARenamedColumnLeaveAManagedGroupNobodys) {
    auto renamed = kMembership;
    renamed[3].name = "team_id";
    snapshot({snapshot_row(memberships(renamed), membership("mb")),
              snapshot_row(memberships(renamed), membership("mc"))});
    EXPECT_FALSE(is_everyones());
    EXPECT_EQ(w.state.membership(id("A"), id("all")), nullptr);
    snapshot({});
    EXPECT_TRUE(is_everyones()) << "the next snapshot has none";
}

TEST_F(UnreadMemberships, TakeAManagedGroupFromAllUntilTheLastIsReadOrGone) {
    change({wire::Op::Insert, 0, 0, 0, unreadable(value(id("mb")))});
    EXPECT_EQ(w.sent("c1"), "RD(r1)");
    change({wire::Op::Insert, 0, 0, 0, unreadable(value(id("mc")))});
    // The one is read (of another group), the other deleted, unread as it is.
    change({wire::Op::Update, 0, 0, 0, membership("mb"), unreadable(value(id("mb")))});
    EXPECT_EQ(w.sent("c1"), "");
    change({wire::Op::Delete, 0, 0, 0, {}, unreadable(value(id("mc")))});
    EXPECT_EQ(w.sent("c1"), "RC(r1)");
    // One takes the place of another.
    change({wire::Op::Insert, 0, 0, 0, unreadable(value(id("mb")))});
    change({wire::Op::Update, 0, 0, 0, membership("mc"), unreadable(value(id("mb")))});
    EXPECT_EQ(w.sent("c1"), "RD(r1) RC(r1)");
}

TEST_F(UnreadMemberships, WhoseIdCannotBeReadEitherLeaveItNobodysUntilTheNextSnapshot) {
    snapshot({snapshot_row(schema, unreadable(Value::null())),
              snapshot_row(schema, unreadable(value(id("mb"))))});
    EXPECT_FALSE(is_everyones());
    change({wire::Op::Delete, 0, 0, 0, {}, unreadable(value(id("mb")))});
    EXPECT_FALSE(is_everyones());
    snapshot({});
    EXPECT_TRUE(is_everyones());
}

}  // namespace stream_tests
}  // namespace fatwal::access::test
