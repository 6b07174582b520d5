#include <gtest/gtest.h>

#include "fatwal/wire/control.h"

namespace fatwal {
namespace {

using namespace wire;

std::vector<ControlMessage> one_of_each() {
    Nonce nonce{};
    nonce[3] = std::byte{7};
    return {
        {1, Attach{nonce, AccountKey::from_text("acme"), true, "worker-1", 0x55, {7, 2}}},
        {2, Attached{99, 12, 1000, {7, 2}, "ipc:///run/a/1.sock", std::string(8, '\0')}},
        {3, Detach{nonce, true}},
        {4, Detached{}},
        {5, Describe{{{1, 2}, {3, 4}}}},
        {6, Described{{"one", "two"}}},
        {7, Status{}},
        {8, StatusReply{{{"state", "streaming"}}}},
        {9, Confirm{}},
        {10, Confirmed{0x1234}},
        {11, Ping{}},
        {12, Pong{99}},
        {13, Replay{nonce, 99, Replay::From::Sequence, 7, 0x1234, {7, 2}, 65536}},
        {14, Replayed{99, 7, true, 3}},
        {15, SnapshotRequest{nonce, 4, 1000, 65536}},
        {16, SnapshotPart{4, 2000, true, 9, 0x1234, 0x2345, {10, 20, {12, 14}}}},
        {17, Acknowledge{nonce, 0x1234}},
        {19, ListDurables{AccountKey::from_text("7"), "w"}},
        {20, DurableList{{{AccountKey::from_text("acme"), "w", 0x20, 0x10, true, true},
                          {{}, "v", 1, 1, false, true}},
                         true}},
        {21, ForgetDurable{AccountKey::from_text("7"), "w"}},
        {22, Forgotten{}},
        {18, ControlError{ErrorCode::BadAccount, "m", "d", "h"}},
    };
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
    for (const ControlMessage& message : one_of_each()) {
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

}  // namespace
}  // namespace fatwal
