// Rows as structs, by the code that `fatwal codegen` wrote for the portal.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <unordered_set>

#include "portal/rows/portal.h"
#include "test/support/builder.h"

namespace fatwal {
namespace typed_tests {

using client::DecodeError;
using client::Schema;
using client::Timestamp;
using client::Uuid;
using test::ColumnSpec;
using test::Value;
using wire::TypeCode;
using Reason = DecodeError::Reason;
using Json = nlohmann::json;

constexpr std::string_view kIdText = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

Uuid id() { return *Uuid::from_text(kIdText); }
Value uuid_value(const Uuid& uuid = id()) {
    return Value::text(std::string(wire::as_text(uuid.bytes)));
}

// A jsonb that is a bare string, in Postgres's stored form (docs/wire-format.md).
Value jsonb_string(const std::string& text) {
    std::string bytes;
    test::put(bytes, std::uint32_t{0x5000'0001});
    test::put(bytes, static_cast<std::uint32_t>(text.size()));
    return Value::text(bytes + text);
}

// A row and what it points into.
class TestRow {
public:
    TestRow(const std::string& table, const std::vector<ColumnSpec>& columns,
            const std::vector<Value>& values, std::uint32_t relation = 1)
        : schema_(Schema::parse(test::schema_message(relation, table, columns))),
          bytes_(test::row(values)) {}
    [[nodiscard]] client::Row get() const {
        return {*schema_, *wire::RowView::parse(wire::as_bytes(bytes_))};
    }

private:
    std::shared_ptr<const Schema> schema_;
    std::string bytes_;
};

class PoliciesTest : public testing::Test {
protected:
    std::vector<ColumnSpec> columns_{{"id", TypeCode::Uuid},
                                     {"account_id", TypeCode::Uuid},
                                     {"actor_group_id", TypeCode::Uuid},
                                     {"resource_id", TypeCode::Uuid},
                                     {"description", TypeCode::Text},
                                     {"conditions", TypeCode::Array, TypeCode::Jsonb},
                                     {"disabled_at", TypeCode::TimestampTz}};
    std::vector<Value> values_{uuid_value(),     uuid_value(),
                               Value::null(),    uuid_value(),
                               Value::text("d"), Value::text(test::array_value({}, {})),
                               Value::null()};
    std::uint32_t relation_ = 1;
    DecodeError error_;

    std::optional<portal::Policies> decode() {
        return portal::Policies::decode(TestRow("policies", columns_, values_, relation_).get(),
                                        &error_);
    }
    void expect_error(Reason reason, const std::string& column) {
        EXPECT_FALSE(decode());
        EXPECT_EQ(error_, (DecodeError{reason, "public.policies", column}));
    }
};

TEST_F(PoliciesTest, NullsAreNothingAndValuesAreThere) {
    const auto policy = decode();
    ASSERT_TRUE(policy);
    EXPECT_EQ(policy->id, id());
    EXPECT_EQ(policy->actor_group_id, std::nullopt);
    EXPECT_EQ(policy->description, "d");
    EXPECT_TRUE(policy->conditions.empty());
    EXPECT_EQ(policy->disabled_at, std::nullopt);
    EXPECT_EQ(*policy, *decode());
}

TEST_F(PoliciesTest, ConditionsKeepQuotesNullsAndOrder) {
    values_[5] = Value::text(test::array_value(
        {4}, {jsonb_string("a\"b\\,c"), Value::null(), jsonb_string(""), jsonb_string("{x}")}));
    const auto policy = decode();
    ASSERT_TRUE(policy);
    ASSERT_EQ(policy->conditions.size(), 4U);
    EXPECT_EQ(policy->conditions[0], Json("a\"b\\,c"));
    EXPECT_EQ(policy->conditions[1], std::nullopt);
    EXPECT_EQ(policy->conditions[2], Json(""));
    EXPECT_EQ(policy->conditions[3], Json("{x}"));
}

TEST_F(PoliciesTest, AnArrayOfTwoDimensionsIsReadInRowMajorOrder) {
    values_[5] = Value::text(test::array_value(
        {2, 2}, {jsonb_string("1"), jsonb_string("2"), jsonb_string("3"), Value::null()}));
    const auto policy = decode();
    ASSERT_TRUE(policy);
    EXPECT_EQ(policy->conditions[2], Json("3"));
    EXPECT_EQ(policy->conditions.size(), 4U);
}

TEST_F(PoliciesTest, AddedAndMovedColumnsBreakNobody) {
    columns_.insert(columns_.begin(), {"added", TypeCode::Int4});
    values_.insert(values_.begin(), Value::fixed(7));
    std::swap(columns_[2], columns_[5]);
    std::swap(values_[2], values_[5]);
    const auto policy = decode();
    ASSERT_TRUE(policy) << error_.message();
    EXPECT_EQ(policy->description, "d");
}

TEST_F(PoliciesTest, EachVersionOfATableIsBoundByItself) {
    EXPECT_TRUE(decode());
    columns_.insert(columns_.begin(), {"added", TypeCode::Int4});
    values_.insert(values_.begin(), Value::fixed(7));
    EXPECT_TRUE(decode());
    columns_.erase(columns_.begin());
    values_.erase(values_.begin());
    const auto first = decode();
    ASSERT_TRUE(first);
    EXPECT_EQ(first->description, "d");
    // More versions than are remembered.
    for (relation_ = 2; relation_ < 300; ++relation_) EXPECT_TRUE(decode());
}

TEST_F(PoliciesTest, AMissingColumnGivesNothing) {
    columns_[3].name = "resource";
    expect_error(Reason::MissingColumn, "resource_id");
    EXPECT_EQ(error_.message(), "public.policies: column resource_id is missing");
}

TEST_F(PoliciesTest, AnotherTypeGivesNothing) {
    columns_[4].code = TypeCode::Jsonb;
    expect_error(Reason::OtherType, "description");
    columns_[4].code = TypeCode::Text;
    columns_[5].element = TypeCode::Text;
    expect_error(Reason::OtherType, "conditions");
}

TEST_F(PoliciesTest, NullWhereItMayNotBeGivesNothing) {
    values_[3] = Value::null();
    expect_error(Reason::Null, "resource_id");
}

TEST_F(PoliciesTest, UnavailableIsNeverNull) {
    values_[4] = Value::unavailable();
    expect_error(Reason::Unavailable, "description");
}

TEST_F(PoliciesTest, MalformedValuesGiveNothing) {
    values_[0] = Value::text("short");
    expect_error(Reason::Malformed, "id");
    values_[0] = uuid_value();
    values_[5] = Value::text(test::array_value({1}, {Value::text("\x01")}));
    expect_error(Reason::Malformed, "conditions");
    values_[5] = Value::text("x");
    expect_error(Reason::Malformed, "conditions");
    values_[5] = Value::text(test::array_value({}, {}));
    values_[4] = Value::text("\xFF");  // no text: JSON that is made of it would throw
    expect_error(Reason::Malformed, "description");
    EXPECT_FALSE(portal::Policies::decode(TestRow("policies", columns_, values_).get()));
}

TEST_F(PoliciesTest, ARowOfAnotherTableGivesNothing) {
    EXPECT_FALSE(portal::Policies::decode(TestRow("sites", columns_, values_).get(), &error_));
    EXPECT_EQ(error_, (DecodeError{Reason::OtherTable, "public.sites", ""}));
    EXPECT_TRUE(std::holds_alternative<std::monostate>(
        portal::decode_any(TestRow("nobody", columns_, values_, 9).get(), &error_)));
    EXPECT_EQ(error_.table, "public.nobody");
}

TEST_F(PoliciesTest, AnyRowIsTheStructOfItsTable) {
    for (int twice = 0; twice < 2; ++twice) {
        const auto any = portal::decode_any(TestRow("policies", columns_, values_).get(), &error_);
        ASSERT_TRUE(std::holds_alternative<portal::Policies>(any));
        EXPECT_EQ(std::get<portal::Policies>(any), *decode());
    }
    values_[3] = Value::null();
    EXPECT_TRUE(std::holds_alternative<std::monostate>(
        portal::decode_any(TestRow("policies", columns_, values_).get(), &error_)));
    EXPECT_EQ(error_.reason, Reason::Null);
}

TEST_F(PoliciesTest, InfiniteAndExtremeTimes) {
    using Limits = std::numeric_limits<std::int64_t>;
    for (const auto& [stored, time] :
         {std::pair{Limits::max(), Timestamp::max()}, std::pair{Limits::min(), Timestamp::min()},
          std::pair{std::int64_t{9'223'371'331'200'000'000}, Timestamp::max()},
          std::pair{std::int64_t{1}, Timestamp(std::chrono::microseconds(946'684'800'000'001))}}) {
        values_[6] = Value::fixed(stored);
        const auto policy = decode();
        ASSERT_TRUE(policy);
        EXPECT_EQ(policy->disabled_at, time);
    }
}

TEST_F(PoliciesTest, TimesBeyondTheSystemClockAreNothingToRow) {
    values_[6] = Value::fixed(9'223'371'331'199'999'999);
    EXPECT_EQ(TestRow("policies", columns_, values_).get().time("disabled_at"), std::nullopt);
    values_[6] = Value::fixed(0);
    EXPECT_EQ(TestRow("policies", columns_, values_).get().time("disabled_at"),
              Timestamp(std::chrono::seconds(946'684'800)));
}

TEST(TypedEnums, AreBoundByLabelAndUnknownWhenAddedLater) {
    const std::vector<ColumnSpec> columns{
        {"id", TypeCode::Uuid},
        {"account_id", TypeCode::Uuid},
        {"type",
         TypeCode::Enum,
         TypeCode::Other,
         {{30, "robot"}, {10, "service_account"}, {20, "account_user"}}},
        {"name", TypeCode::Text},
        {"disabled_at", TypeCode::TimestampTz}};
    const auto type_of = [&](int label) {
        const auto actor =
            portal::Actors::decode(TestRow("actors", columns,
                                           {uuid_value(), uuid_value(), Value::fixed(label),
                                            Value::text("n"), Value::null()})
                                       .get());
        return actor ? std::optional(actor->type) : std::nullopt;
    };
    EXPECT_EQ(type_of(10), portal::ActorType::ServiceAccount);
    EXPECT_EQ(type_of(20), portal::ActorType::AccountUser);
    EXPECT_EQ(type_of(30), portal::ActorType::Unknown);
    EXPECT_EQ(type_of(40), portal::ActorType::Unknown);
    EXPECT_EQ(portal::to_text(portal::ActorType::AccountAdminUser), "account_admin_user");
    EXPECT_EQ(portal::to_text(portal::ActorType::Unknown), "");
}

TEST(TypedValues, UuidsReadPrintOrderAndHash) {
    EXPECT_EQ(id().to_text(), kIdText);
    EXPECT_EQ(Uuid::from_text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), id());
    for (const char* text :
         {"", "1", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
          "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"})
        EXPECT_FALSE(Uuid::from_text(text)) << text;
    EXPECT_FALSE(Uuid::from_text(std::string(1000, 'a')));
    EXPECT_LT(*Uuid::from_text("7fffffff-0000-0000-0000-000000000000"),
              *Uuid::from_text("80000000-0000-0000-0000-000000000000"));
    EXPECT_EQ(std::unordered_set<Uuid>({id(), id(), Uuid{}}).size(), 2U);
}

TEST(TypedValues, NumbersMayBeWidenedAndStringsAreAsPostgresWritesThem) {
    using client::typed::value_of;
    const auto text_of = [](const Value& value, TypeCode code) {
        std::string out;
        EXPECT_TRUE(
            value_of(wire::Cell{wire::Cell::State::Value, value.slot, wire::as_bytes(value.bytes)},
                     code, out));
        return out;
    };
    EXPECT_EQ(text_of(Value::text(std::string("\4\10\12\1\2\3", 6)), TypeCode::Inet), "10.1.2.3/8");
    EXPECT_EQ(text_of(Value::text(std::string("\4\40\12\1\2\3", 6)), TypeCode::Inet), "10.1.2.3");
    EXPECT_EQ(text_of(Value::text(std::string("\4\40\12\1\2\3", 6)), TypeCode::Cidr),
              "10.1.2.3/32");
    EXPECT_EQ(text_of(Value::fixed(9824), TypeCode::Date), "2026-11-24");
    EXPECT_EQ(text_of(Value::text(std::string("\0\xff", 2)), TypeCode::Bytea),
              std::string("\0\xff", 2));
    EXPECT_EQ(text_of(Value::text("(1,2)"), TypeCode::Other), "(1,2)");

    const auto schema = Schema::parse(
        test::schema_message(1, "t", {{"n", TypeCode::Int8}, {"f", TypeCode::Float4}}));
    constexpr client::typed::ColumnSpec kColumns[] = {{"n", TypeCode::Int2},
                                                      {"f", TypeCode::Float8}};
    const auto binding = client::typed::bind(*schema, {"public", "t", kColumns});
    EXPECT_EQ(binding.unbound, Reason::None);
    double value = 0;
    const auto bits = static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(0.5F));
    EXPECT_TRUE(value_of(wire::Cell{wire::Cell::State::Value, static_cast<std::uint64_t>(bits), {}},
                         TypeCode::Float4, value));
    EXPECT_EQ(value, 0.5);
}

}  // namespace typed_tests
}  // namespace fatwal
