#include <gtest/gtest.h>

#include <typeinfo>

#include "fatwal/wire/control.h"
#include "fatwal/wire/text_sink.h"
#include "test/support/control_samples.h"

namespace fatwal {
namespace control_tests {

using namespace wire;

using test::one_of_each;

// How many members an aggregate has: the most values that it can be made from.
struct AnyValue {
    template <class T>
    operator T() const;  // NOLINT(google-explicit-constructor): it stands for a value of any type
};
template <class T, class... Values>
constexpr std::size_t members() {
    if constexpr (requires { T{Values{}..., AnyValue{}}; })
        return members<T, Values..., AnyValue>();
    else
        return sizeof...(Values);
}

// A visitor of fields() that counts the fields.
struct Counter {
    std::size_t fields = 0;

    void operator()(const auto&) { ++fields; }
    void name(const auto&) { ++fields; }
    void flags8(const auto&... set) { fields += sizeof...(set); }
    void flags16(const auto&... set) { fields += sizeof...(set); }
    void choice(const auto&, auto) { ++fields; }
    void list16(const auto&, std::size_t = 0) { ++fields; }
    void list32(const auto&) { ++fields; }
    void long_texts16(const auto&, std::size_t) { ++fields; }
    void optional_tail(const auto&) { ++fields; }
};

template <class T>
void expect_all_fields(const T& body) {
    Counter counter;
    T::fields(body, counter);
    EXPECT_EQ(counter.fields, members<T>()) << typeid(T).name();
}

struct Forgetful {
    int sent = 0;
    std::string forgotten;

    static void fields(auto& self, auto& wire) { wire(self.sent); }
};

TEST(Control, AMessageThatForgetsAFieldIsFound) {
    const Forgetful body;
    Counter counter;
    Forgetful::fields(body, counter);
    EXPECT_EQ(counter.fields, 1U);
    EXPECT_EQ(members<Forgetful>(), 2U);
}

TEST(Control, EveryMemberOfAMessageIsAmongItsFields) {
    for (const ControlMessage& message : one_of_each())
        std::visit([](const auto& body) { expect_all_fields(body); }, message.body);
    expect_all_fields(History{});
    expect_all_fields(SchemaId{});
    expect_all_fields(TransactionSnapshot{});
    expect_all_fields(DurableEntry{});
}

TEST(Control, EveryMessageComesBackAsItWasSent) {
    for (const ControlMessage& message : one_of_each()) {
        const std::string bytes = encode(message);
        const auto decoded = decode_control(as_bytes(bytes));
        ASSERT_TRUE(decoded.message) << message.request_id;
        EXPECT_EQ(decoded.message->request_id, message.request_id);
        EXPECT_EQ(decoded.message->body.index(), message.body.index());
        EXPECT_EQ(encode(*decoded.message), bytes);
    }
}

TEST(Control, ARequestForASnapshotNamesWhereItHasToBeTakenOrNothing) {
    for (const Lsn not_before : {Lsn{0}, Lsn{0x1234}}) {
        const std::string bytes = encode({1, SnapshotRequest{{}, 0, 0, 65536, not_before}});
        const auto decoded = decode_control(as_bytes(bytes));
        ASSERT_TRUE(decoded.message);
        EXPECT_EQ(std::get<SnapshotRequest>(decoded.message->body).not_before, not_before);
        EXPECT_EQ(bytes.size(), encode({1, SnapshotRequest{}}).size() + (not_before != 0 ? 8 : 0));
    }
}

TEST(Control, WhatIsCutOrContinuedIsAnsweredAsMalformed) {
    for (const ControlMessage& message : one_of_each(test::Tails::LeftOut)) {
        const std::string bytes = encode(message);
        for (std::size_t length = 2; length < bytes.size(); ++length) {
            const auto decoded = decode_control(as_bytes(bytes).first(length));
            ASSERT_FALSE(decoded.message) << message.request_id << ' ' << length;
            ASSERT_TRUE(decoded.error);
            EXPECT_EQ(std::get<ControlError>(decoded.error->body).code, ErrorCode::Malformed);
        }
        const auto continued = decode_control(as_bytes(bytes + "x"));
        EXPECT_FALSE(continued.message);
        EXPECT_TRUE(continued.error);
    }
}

TEST(Control, AnotherVersionIsAnsweredWithBothNumbers) {
    std::string bytes = encode({5, Ping{}});
    bytes[2] = 9;
    const auto decoded = decode_control(as_bytes(bytes));
    ASSERT_TRUE(decoded.error);
    EXPECT_EQ(decoded.error->request_id, 5U);
    const auto& error = std::get<ControlError>(decoded.error->body);
    EXPECT_EQ(error.code, ErrorCode::Version);
    EXPECT_NE(error.message.find('9'), std::string::npos);
    EXPECT_NE(error.detail.find('1'), std::string::npos);
}

TEST(Control, AnotherProtocolIsDropped) {
    const auto decoded = decode_control(as_bytes("GET / HTTP/1.1"));
    EXPECT_FALSE(decoded.message);
    EXPECT_FALSE(decoded.error);
}

// The code of the error that answers an ATTACH of this account and name; nothing when it passes.
std::optional<ErrorCode> refused(AccountKind kind, std::string key, std::string name) {
    AccountKey account;
    account.kind = kind;
    account.bytes = std::move(key);
    const auto decoded =
        decode_control(as_bytes(encode({1, Attach{{}, account, true, std::move(name), 0, {}}})));
    if (!decoded.error) return std::nullopt;
    EXPECT_EQ(decoded.error->request_id, 1U);
    return std::get<ControlError>(decoded.error->body).code;
}

TEST(Control, ANameThatCannotBeStoredOrPrintedIsRefused) {
    const auto name = [](std::string text) {
        return refused(AccountKind::Operators, {}, std::move(text));
    };
    EXPECT_EQ(name("wörker 1"), std::nullopt);
    EXPECT_EQ(name(std::string(63, 'x')), std::nullopt);
    for (const std::string& bad :
         {std::string(), std::string(64, 'x'), std::string("\xff\xfe"), std::string("a\0b", 3),
          std::string("a\nb"), std::string("\x1b[31m"), std::string("a\u2028b"),
          std::string("\xc2\x85"), std::string("cut \xe2\x82")})
        EXPECT_EQ(name(bad), ErrorCode::BadName) << bad;
}

TEST(Control, AnAccountThatNothingIsPublishedToIsRefused) {
    const auto account = [](AccountKind kind, std::string key) {
        return refused(kind, std::move(key), "w");
    };
    EXPECT_EQ(account(AccountKind::Text, "acme"), std::nullopt);
    EXPECT_EQ(account(AccountKind::Text, ""), std::nullopt);
    EXPECT_EQ(account(AccountKind::Text, std::string(255, 'x')), std::nullopt);
    EXPECT_EQ(account(AccountKind::Integer, std::string(8, '\1')), std::nullopt);
    for (const std::string& bad :
         {std::string("42"), std::string("-7"), std::string("00000000-0000-0000-0000-000000000000"),
          std::string("\xff"), std::string("a\0", 2), std::string("a\nb")})
        EXPECT_EQ(account(AccountKind::Text, bad), ErrorCode::BadAccount) << bad;
    EXPECT_EQ(account(AccountKind::Uuid, "short"), ErrorCode::BadAccount);
    EXPECT_EQ(account(AccountKind::Integer, "1"), ErrorCode::BadAccount);
    EXPECT_EQ(account(AccountKind::Operators, "1"), ErrorCode::BadAccount);
    EXPECT_EQ(account(static_cast<AccountKind>(9), ""), ErrorCode::BadAccount);
}

TEST(Control, MoreSchemasThanAFrameNamesAreMalformed) {
    std::string bytes = encode({1, Describe{std::vector<SchemaId>(kMaxDescribe, {1, 2})}});
    EXPECT_TRUE(decode_control(as_bytes(bytes)).message);
    const auto count = static_cast<std::uint16_t>(kMaxDescribe + 1);
    bytes.replace(kControlHeaderBytes, 2, reinterpret_cast<const char*>(&count), 2);
    bytes.append(8, '\0');
    EXPECT_TRUE(decode_control(as_bytes(bytes)).error);
}

TEST(Publication, HeaderAndMarkerComeBack) {
    const auto bytes = encode(PublicationHeader{Topic::Heartbeat, 5, 6, 7, 8});
    const auto header = decode_publication(bytes);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->topic, Topic::Heartbeat);
    EXPECT_EQ(header->epoch, 5U);
    EXPECT_EQ(header->sequence, 6U);
    EXPECT_EQ(header->position, 7U);
    EXPECT_EQ(header->time, 8U);
    EXPECT_FALSE(decode_publication(Bytes(bytes).first(31)));
    Nonce nonce{};
    nonce[15] = std::byte{9};
    EXPECT_EQ(decode_marker_topic(marker_topic(nonce)), nonce);
    EXPECT_FALSE(decode_marker_topic(as_bytes("E")));
}

// A row can have such a key, and fatwald lists it: one row must not hide all accounts.
TEST(Control, AReplyMayNameWhatNoRequestMay) {
    AccountList list;
    list.accounts.emplace_back().account = AccountKey({AccountKind::Text, as_bytes("a\tb")});
    list.end = true;
    const DecodedControl decoded = decode_control(as_bytes(encode({1, list})));
    ASSERT_TRUE(decoded.message);
    EXPECT_EQ(std::get<AccountList>(decoded.message->body).accounts.at(0).account.bytes, "a\tb");
    ForgetDurable request;
    request.account = list.accounts[0].account;
    request.name = "x";
    EXPECT_FALSE(decode_control(as_bytes(encode({1, request}))).message);
}

TEST(Control, NamesAreShownSoThatNothingObeysThem) {
    EXPECT_EQ(shown_name("acme"), "acme");
    EXPECT_EQ(shown_name(""), "");
    EXPECT_EQ(shown_name("(operators)"), "\"(operators)\"");
    EXPECT_EQ(shown_name("a\x1b[2Jb"), "\"a\\u001b[2Jb\"");
    EXPECT_EQ(shown_name("a\xe2\x80\xae"
                         "b"),
              "\"a\\u202eb\"");
    EXPECT_EQ(shown_name("a\xe2\x81\xa6"
                         "b"),
              "\"a\\u2066b\"");
}

}  // namespace control_tests
}  // namespace fatwal
