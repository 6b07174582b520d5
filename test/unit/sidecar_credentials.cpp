// What credentials may, as the rows that were read and the stream behind them say.
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "sidecar/delivery/credentials.h"
#include "test/support/builder.h"

namespace fatwal::sidecar {
namespace credentials_tests {

const std::string kKey(40, 'k');
const std::string kOther(40, 'o');
const wire::AccountKey kAccount = wire::AccountKey::from_text("42");
const wire::AccountKey kOperators;

struct CredentialsTest : testing::Test {
    CredentialsTest() {
        for (const std::string* schema : {&keys_schema, &grants_schema, &alike_schema})
            schemas.add(*wire::SchemaView::parse(wire::as_bytes(*schema)));
        tables.keys = {{"worker", kKey, {}}};
        tables.grants = {{"worker", GrantScope::Account, kAccount}};
        tables.sees = {100, 200, {150}};
        tables.read_at = 0x1000;
        credentials.begin(tables);
    }

    // A transaction with these changes; one that commits behind what was read, unless said.
    Credentials::Applied apply(const std::string& schema, std::vector<test::RecordSpec> records,
                               wire::Lsn commit = 0x2000, std::uint32_t xid = 300) {
        test::FrameSpec spec;
        spec.commit_lsn = commit;
        spec.xid = xid;
        spec.relations = {test::id_of(schema)};
        spec.records = std::move(records);
        if (spec.records.front().op == wire::Op::Truncate)
            spec.account.kind = wire::AccountKind::Everyone;
        const std::string bytes = test::frame(spec);
        return credentials.apply(*wire::FrameView::parse_header(wire::as_bytes(bytes)), schemas);
    }
    static std::string key_row(const std::string& name, const std::string& key,
                               test::Value expires = test::Value::null()) {
        return test::row({test::Value::text(name), test::Value::text(key), std::move(expires)});
    }
    static std::string grant_row(const std::string& name, const std::string& scope,
                                 const std::string& account) {
        return test::row(
            {test::Value::text(name), test::Value::text(scope), test::Value::text(account)});
    }
    static test::RecordSpec insert(std::string row) { return {wire::Op::Insert, 0, 0, 0, row}; }
    static test::RecordSpec remove(std::string row) {
        return {wire::Op::Delete, 0, 0, 0, {}, std::move(row)};
    }

    const std::string keys_schema =
        test::schema_message(10, "credential",
                             {{"name", wire::TypeCode::Text},
                              {"public_key", wire::TypeCode::Text},
                              {"expires_at", wire::TypeCode::TimestampTz}},
                             -1, 'd', "fatwal");
    const std::string grants_schema = test::schema_message(11, "credential_grant",
                                                           {{"name", wire::TypeCode::Text},
                                                            {"scope", wire::TypeCode::Text},
                                                            {"account", wire::TypeCode::Text}},
                                                           -1, 'd', "fatwal");
    const std::string alike_schema = test::schema_message(12, "credential_grant",
                                                          {{"name", wire::TypeCode::Text},
                                                           {"scope", wire::TypeCode::Text},
                                                           {"account", wire::TypeCode::Text}},
                                                          -1, 'd', "public");
    Schemas schemas;
    CredentialTables tables;
    Credentials credentials;
    const Caller worker{"worker", kKey};
    const Caller local;
};

TEST_F(CredentialsTest, AreCurrentWhenTheStreamIsBackWhereItWas) {
    EXPECT_TRUE(credentials.are_current()) << "nothing was followed before";
    credentials.begin(tables, 0x3000);
    EXPECT_FALSE(credentials.are_current());
    credentials.stream_at(0x2fff);
    EXPECT_FALSE(credentials.are_current());
    credentials.stream_at(0x3000);
    EXPECT_TRUE(credentials.are_current());
    credentials.clear();
    EXPECT_FALSE(credentials.are_current());
}

// As under REPLICA IDENTITY NOTHING, where the WAL has no old row at all.
TEST_F(CredentialsTest, AnUpdateThatHidesWhatARowWasIsUnreadable) {
    const auto update = [](std::string row) {
        return test::RecordSpec{wire::Op::Update, 0, 0, 0, std::move(row)};
    };
    EXPECT_EQ(apply(grants_schema, {update(grant_row("worker", "account", "42"))}),
              Credentials::Applied::Changed)
        << "the key is as it was";
    EXPECT_EQ(apply(grants_schema, {update(grant_row("worker", "account", "43"))}),
              Credentials::Applied::Unreadable);
    EXPECT_EQ(apply(keys_schema, {update(key_row("worker", kKey))}), Credentials::Applied::Changed);
    EXPECT_EQ(apply(keys_schema, {update(key_row("worker", kOther))}),
              Credentials::Applied::Unreadable);
    EXPECT_EQ(apply(keys_schema, {update(key_row("another", kKey))}),
              Credentials::Applied::Unreadable);
}

TEST_F(CredentialsTest, AKeyIsOfItsNameAndMayWhatTheNameIsGranted) {
    EXPECT_EQ(*credentials.name_of(kKey, 0), "worker");
    EXPECT_EQ(credentials.name_of(kOther, 0), nullptr);
    EXPECT_TRUE(credentials.may_follow(worker, kAccount));
    EXPECT_FALSE(credentials.may_follow(worker, wire::AccountKey::from_text("43")));
    EXPECT_FALSE(credentials.may_follow(worker, wire::AccountKey::from_text("forty-two")));
    EXPECT_FALSE(credentials.may_follow(worker, kOperators));
    EXPECT_FALSE(credentials.operates(worker));
    EXPECT_TRUE(credentials.holds(worker, 0));
    EXPECT_FALSE(credentials.holds({"another", kKey}, 0)) << "the key is of another name now";
}

TEST_F(CredentialsTest, WhoCameWithoutAKeyMayAllOfIt) {
    EXPECT_TRUE(credentials.holds(local, 0));
    EXPECT_TRUE(credentials.may_follow(local, kAccount));
    EXPECT_TRUE(credentials.may_follow(local, kOperators));
    credentials.clear();
    EXPECT_TRUE(credentials.may_follow(local, kAccount));
}

TEST_F(CredentialsTest, NobodyIsKnownBeforeTheTablesAreRead) {
    credentials.clear();
    EXPECT_FALSE(credentials.are_known());
    EXPECT_FALSE(credentials.holds(worker, 0));
    EXPECT_FALSE(credentials.may_follow(worker, kAccount));
}

TEST_F(CredentialsTest, ARevocationIsFollowed) {
    EXPECT_EQ(apply(grants_schema, {remove(grant_row("worker", "account", "42"))}),
              Credentials::Applied::Changed);
    EXPECT_FALSE(credentials.may_follow(worker, kAccount));
    EXPECT_EQ(apply(grants_schema, {insert(grant_row("worker", "every account", ""))}),
              Credentials::Applied::Changed);
    EXPECT_TRUE(credentials.may_follow(worker, wire::AccountKey::from_text("anything")));
    EXPECT_FALSE(credentials.may_follow(worker, kOperators)) << "that is a right of its own";
    (void)apply(grants_schema, {insert(grant_row("worker", "operators", ""))});
    EXPECT_TRUE(credentials.may_follow(worker, kOperators));
    EXPECT_EQ(apply(keys_schema, {remove(key_row("worker", kKey))}), Credentials::Applied::Changed);
    EXPECT_FALSE(credentials.holds(worker, 0));
}

TEST_F(CredentialsTest, AChangeThatWasReadIsPassedOver) {
    const auto revoke = remove(grant_row("worker", "account", "42"));
    // It is granted as read, and was revoked and granted again before: seen, so not applied again.
    EXPECT_EQ(apply(grants_schema, {revoke}, 0x800, 99), Credentials::Applied::Nothing);
    EXPECT_TRUE(credentials.may_follow(worker, kAccount));
    // In progress then, so not in what was read, though it had its number before.
    EXPECT_EQ(apply(grants_schema, {revoke}, 0x900, 150), Credentials::Applied::Changed);
    EXPECT_FALSE(credentials.may_follow(worker, kAccount));
}

TEST_F(CredentialsTest, WhatCommitsBehindTheReadingCountsWhateverItsNumberIs) {
    // The numbers of transactions begin again some day.
    EXPECT_EQ(apply(grants_schema, {remove(grant_row("worker", "account", "42"))}, 0x1000, 99),
              Credentials::Applied::Changed);
    EXPECT_FALSE(credentials.may_follow(worker, kAccount));
}

TEST_F(CredentialsTest, ASecondKeyOfANameIsThereBesideTheFirst) {
    (void)apply(keys_schema, {insert(key_row("worker", kOther))});
    EXPECT_TRUE(credentials.holds({"worker", kOther}, 0));
    (void)apply(keys_schema, {remove(key_row("worker", kKey))});
    EXPECT_FALSE(credentials.holds(worker, 0));
    EXPECT_TRUE(credentials.may_follow({"worker", kOther}, kAccount));
}

TEST_F(CredentialsTest, AKeyExpires) {
    (void)apply(keys_schema,
                {{wire::Op::Update, 0, 0, 0, key_row("worker", kKey, test::Value::fixed(1000))}});
    EXPECT_TRUE(credentials.holds(worker, 999));
    EXPECT_FALSE(credentials.holds(worker, 1000));
    EXPECT_EQ(credentials.name_of(kKey, 1000), nullptr);
    (void)apply(
        keys_schema,
        {{wire::Op::Update, 0, 0, 0,
          key_row("worker", kKey, test::Value::fixed(std::numeric_limits<std::int64_t>::max()))}});
    EXPECT_TRUE(credentials.holds(worker, std::numeric_limits<std::int64_t>::max())) << "infinity";
}

TEST_F(CredentialsTest, ATruncateTakesAll) {
    EXPECT_EQ(apply(grants_schema, {{wire::Op::Truncate}}), Credentials::Applied::Changed);
    EXPECT_FALSE(credentials.may_follow(worker, kAccount));
    EXPECT_TRUE(credentials.holds(worker, 0));
    EXPECT_EQ(apply(keys_schema, {{wire::Op::Truncate}}), Credentials::Applied::Changed);
    EXPECT_FALSE(credentials.holds(worker, 0));
}

TEST_F(CredentialsTest, ATableNamedAlikeGrantsNothing) {
    EXPECT_EQ(apply(alike_schema, {insert(grant_row("worker", "operators", ""))}),
              Credentials::Applied::Nothing);
    EXPECT_FALSE(credentials.operates(worker));
}

TEST_F(CredentialsTest, ARowThatCannotBeReadIsSaid) {
    EXPECT_EQ(apply(grants_schema, {insert(grant_row("worker", "everything", ""))}),
              Credentials::Applied::Unreadable);
    EXPECT_EQ(apply(keys_schema, {{wire::Op::Resync}}), Credentials::Applied::Unreadable);
}

}  // namespace credentials_tests
}  // namespace fatwal::sidecar
