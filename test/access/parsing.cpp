// The texts that channels read: versions, addresses, references, base64.
#include <gtest/gtest.h>

#include "test/access/world.h"

namespace fatwal::access::test {
namespace parsing_tests {

using namespace std::string_literals;

TEST(VersionText, WhatIsOne) {
    for (const char* text : {"0.0.0", "1.5.4", "10.20.30", "1.5.4-rc.1", "1.5.4-0", "1.5.4--",
                             "1.5.4-0a.b-c", "4294967295.0.0"}) {
        const auto version = Version::parse(text);
        ASSERT_TRUE(version) << text;
        EXPECT_EQ(version->to_text(), text);
    }
    EXPECT_EQ(Version::parse("1.5.4+abc"), (Version{1, 5, 4, ""}));
    EXPECT_EQ(Version::parse("1.5.4-rc.1+00.b-c"), (Version{1, 5, 4, "rc.1"}));
    EXPECT_EQ(Version::parse("1.5.4+a-b"), (Version{1, 5, 4, ""})) << "the hyphen is of the build";
}

TEST(VersionText, WhatIsNone) {
    for (const std::string& text : {""s,
                                    "1"s,
                                    "1.5"s,
                                    "1.5."s,
                                    "1.5.4."s,
                                    "1.5.4.0"s,
                                    ".5.4"s,
                                    "v1.5.4"s,
                                    " 1.5.4"s,
                                    "1.5.4 "s,
                                    "+1.5.4"s,
                                    "-1.5.4"s,
                                    "1.-5.4"s,
                                    "01.5.4"s,
                                    "1.05.4"s,
                                    "1.5.00"s,
                                    "4294967296.0.0"s,
                                    "1.5.99999999999999999999"s,
                                    "1.5.4-"s,
                                    "1.5.4+"s,
                                    "1.5.4-+a"s,
                                    "1.5.4-rc."s,
                                    "1.5.4-.rc"s,
                                    "1.5.4-rc..1"s,
                                    "1.5.4-01"s,
                                    "1.5.4-rc_1"s,
                                    "1.5.4+a+b"s,
                                    "1.5.4+a..b"s,
                                    "1.5.4-\xC3\xA4"s,
                                    "1.5.4\0"s,
                                    "1,5,4"s})
        EXPECT_FALSE(Version::parse(text)) << text;
}

TEST(VersionText, TheOrderOfSemver) {
    const char* const kAscending[] = {
        "0.9.9",        "1.0.0-1",       "1.0.0-2",       "1.0.0-10",
        "1.0.0--",      "1.0.0-alpha",   "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",    "1.0.0",
        "1.0.1",        "1.9.0",         "1.10.0-rc.1",   "1.10.0",
        "2.0.0-0"};
    for (std::size_t i = 0; i < std::size(kAscending); ++i)
        for (std::size_t j = 0; j < std::size(kAscending); ++j)
            EXPECT_EQ(
                Version::parse(kAscending[i]).value() <=> Version::parse(kAscending[j]).value(),
                i <=> j)
                << kAscending[i] << ' ' << kAscending[j];
    EXPECT_EQ(Version::parse("1.0.0+a"), Version::parse("1.0.0+b"));
}

TEST(VersionText, WhatEachCanDo) {
    const auto version = [](const char* text) { return Version::parse(text).value(); };
    EXPECT_TRUE(compatible(version("1.5.0"), version("1.4.9")));
    EXPECT_TRUE(compatible(version("1.5.0"), version("1.6.0")));
    EXPECT_FALSE(compatible(version("1.5.0"), version("1.3.0")));
    EXPECT_FALSE(compatible(version("1.0.0"), version("2.0.0")));
    EXPECT_FALSE(compatible(version("1.0.0"), version("1.4294967295.0")));
    EXPECT_FALSE(knows_double_star(version("1.1.99")));
    EXPECT_TRUE(knows_double_star(version("1.2.0-rc.1")));
    EXPECT_FALSE(knows_internet(version("0.9.0")));
    EXPECT_TRUE(knows_internet(version("2.0.0")));
    const std::pair<const char*, std::optional<std::string>> kNames[] = {{"a.test", "a.test"},
                                                                         {"**.a.test", "*.a.test"},
                                                                         {"*.a.test", "?.a.test"},
                                                                         {"*", "?"},
                                                                         {"**", "*"},
                                                                         {"", ""},
                                                                         {"***.a.test", {}},
                                                                         {"**.*.test", {}},
                                                                         {"a*.test", {}},
                                                                         {"?.a.test", {}}};
    for (const auto& [name, older] : kNames) EXPECT_EQ(older_dns_address(name), older) << name;
}

TEST(IpText, Addresses) {
    const std::pair<const char*, const char*> kGood[] = {{"0.0.0.0", "0.0.0.0"},
                                                         {"255.255.255.255", "255.255.255.255"},
                                                         {"::", "::"},
                                                         {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
                                                         {"::ffff:10.1.2.3", "10.1.2.3"},
                                                         {"::ffff:a01:203", "10.1.2.3"},
                                                         {"0:0:0:0:0:FFFF:10.1.2.3", "10.1.2.3"},
                                                         {"::fffe:10.1.2.3", "::fffe:a01:203"},
                                                         {"64:ff9b::10.1.2.3", "64:ff9b::a01:203"}};
    for (const auto& [text, out] : kGood) {
        const auto address = IpAddress::parse(text);
        ASSERT_TRUE(address) << text;
        EXPECT_EQ(address->to_text(), out);
        EXPECT_EQ(address->v6, std::string_view(out).find(':') != std::string_view::npos);
        EXPECT_EQ(IpAddress::parse(out), address);
    }
    for (const std::string& text : {""s,
                                    "1.2.3"s,
                                    "1.2.3.4.5"s,
                                    "256.1.1.1"s,
                                    "1.2.3.-4"s,
                                    "0x1.2.3.4"s,
                                    " 1.2.3.4"s,
                                    "1.2.3.4 "s,
                                    "1.2.3.4/32"s,
                                    "1.2.3.4\0"s,
                                    ":"s,
                                    ":::"s,
                                    "1::2::3"s,
                                    "12345::"s,
                                    "g::"s,
                                    "1:2:3:4:5:6:7"s,
                                    "1:2:3:4:5:6:7:8:9"s,
                                    "[::1]"s,
                                    "fe80::1%eth0"s,
                                    "::ffff:256.1.1.1"s,
                                    std::string(100, '1')})
        EXPECT_FALSE(IpAddress::parse(text)) << text;
}

TEST(IpText, Networks) {
    const std::pair<const char*, const char*> kGood[] = {
        {"10.1.2.3/8", "10.0.0.0/8"},
        {"10.1.2.3", "10.1.2.3/32"},
        {"10.1.2.3/32", "10.1.2.3/32"},
        {"255.255.255.255/31", "255.255.255.254/31"},
        {"255.255.255.255/9", "255.128.0.0/9"},
        {"10.1.2.3/0", "0.0.0.0/0"},
        {"10.1.2.3/00", "0.0.0.0/0"},
        {"2001:db8::1", "2001:db8::1/128"},
        {"2001:db8:ffff::1/33", "2001:db8:8000::/33"},
        {"2001:db8::1/0", "::/0"},
        {"::ffff:10.1.2.3/104", "10.0.0.0/8"},
        {"::ffff:10.1.2.3", "10.1.2.3/32"},
        {"::ffff:0:0/96", "0.0.0.0/0"},
        {"::ffff:10.1.2.3/95", "::fffe:0:0/95"}};
    for (const auto& [text, out] : kGood) {
        const auto network = Cidr::parse(text);
        ASSERT_TRUE(network) << text;
        EXPECT_EQ(network->to_text(), out) << text;
        EXPECT_EQ(Cidr::parse(out), network);
    }
    for (const std::string& text :
         {""s, "/"s, "/8"s, "10.0.0.0/"s, "10.0.0.0/33"s, "10.0.0.0/-1"s, "10.0.0.0/+8"s,
          "10.0.0.0/8 "s, "10.0.0.0/ 8"s, "10.0.0.0/8/8"s, "10.0.0.0/256"s, "10.0.0.0/4294967304"s,
          "10/8"s, "::/129"s, "2001:db8::/x"s, "10.0.0.0\0/8"s, "10.0.0.0/8\0"s})
        EXPECT_FALSE(Cidr::parse(text)) << text;
}

TEST(IpText, WhatANetworkHolds) {
    struct {
        const char* network;
        const char* address;
        bool holds;
    } const kCases[] = {{"0.0.0.0/0", "255.255.255.255", true},
                        {"0.0.0.0/0", "::1", false},
                        {"::/0", "2001:db8::1", true},
                        {"::/0", "10.1.2.3", false},
                        {"::/0", "::ffff:10.1.2.3", false},
                        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
                        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
                        {"::ffff:0:0/95", "10.1.2.3", false},
                        {"10.1.2.3", "10.1.2.3", true},
                        {"10.1.2.3", "10.1.2.2", false},
                        {"10.128.0.0/9", "10.127.255.255", false},
                        {"10.128.0.0/9", "10.255.0.0", true},
                        {"2001:db8::1/128", "2001:db8::1", true},
                        {"2001:db8::1/128", "2001:db8::", false},
                        {"2001:db8::/33", "2001:db8:7fff::", true},
                        {"2001:db8::/33", "2001:db8:8000::", false}};
    for (const auto& one : kCases)
        EXPECT_EQ(Cidr::parse(one.network).value().contains(IpAddress::parse(one.address).value()),
                  one.holds)
            << one.network << ' ' << one.address;
    EXPECT_EQ(host_of_inet("100.64.0.1/32"), "100.64.0.1");
    EXPECT_EQ(host_of_inet("fd00::1"), "fd00::1");
}

FlowRef reference() {
    return {id("account"), id("f1"),           id("r1"),         id("w1"),
            id("c1"),      0x0102030405060708, ~std::uint64_t{0}};
}

TEST(FlowRefText, IsItselfAgain) {
    const Signer signer(std::string(32, 'k'));
    const std::string text = reference().sign(signer);
    EXPECT_EQ(FlowRef::verify(signer, text), reference());
    EXPECT_EQ(reference().sign(signer), text);
    EXPECT_EQ(FlowRef{}.sign(signer).size(), text.size());
}

TEST(FlowRefText, NothingElseIsOne) {
    const Signer signer(std::string(32, 'k'));
    const std::string text = reference().sign(signer);
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string other = text;
        for (const char c : "A9_-=+/\n"s) {
            other[i] = c;
            EXPECT_EQ(FlowRef::verify(signer, other).has_value(), other == text) << i << c;
        }
        EXPECT_FALSE(FlowRef::verify(signer, text.substr(0, i))) << i;
        EXPECT_FALSE(FlowRef::verify(signer, text.substr(0, i) + text.substr(i + 1))) << i;
    }
    for (const std::string& other : {text + "A", text + "AAAA", text + "=", text + "\0"s,
                                     " " + text, text + text, std::string(4096, 'A')})
        EXPECT_FALSE(FlowRef::verify(signer, other)) << other;
    std::string other_key(32, 'k');
    other_key.back() = 'l';
    EXPECT_FALSE(FlowRef::verify(Signer(other_key), text));
    EXPECT_FALSE(FlowRef::verify(Signer(std::string(33, 'k')), text));
    FlowRef other = reference();
    ++other.client_generation;
    EXPECT_NE(other.sign(signer), text);
}

TEST(Base64Text, BothAlphabets) {
    // RFC 4648, 10, and the bytes that the alphabets differ in.
    const std::pair<std::string, const char*> kVectors[] = {{"", ""},
                                                            {"f", "Zg=="},
                                                            {"fo", "Zm8="},
                                                            {"foo", "Zm9v"},
                                                            {"foob", "Zm9vYg=="},
                                                            {"fooba", "Zm9vYmE="},
                                                            {"foobar", "Zm9vYmFy"},
                                                            {"\xFB\xFF\xFE", "+//+"},
                                                            {"\0\0"s, "AAA="}};
    for (const auto& [bytes, text] : kVectors) {
        EXPECT_EQ(base64(bytes), text);
        std::string url(text);
        std::erase(url, '=');
        for (char& c : url) c = c == '+' ? '-' : c == '/' ? '_' : c;
        EXPECT_EQ(base64url(bytes), url);
        EXPECT_EQ(from_base64url(url), bytes);
    }
    std::mt19937 random(1);
    for (std::size_t size = 0; size < 100; ++size) {
        std::string bytes(size, '\0');
        for (char& c : bytes) c = static_cast<char>(random());
        EXPECT_EQ(from_base64url(base64url(bytes)), bytes);
    }
}

TEST(Base64Text, WhatIsNone) {
    for (const std::string& text : {"A"s, "AAAAA"s, "Zg=="s, "Zm8="s, "+//+"s, "Zm 9"s, "Zm9v\n"s,
                                    "Zm9v\0"s, "\xC3\xA4"s, "Zh"s, "Zm9"s + '\0', "Zm9"s})
        EXPECT_EQ(from_base64url(text).has_value(), false) << text;
}

}  // namespace parsing_tests
}  // namespace fatwal::access::test
