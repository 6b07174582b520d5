#include <gtest/gtest.h>

#include "fatwal/wire/publication_names.h"

namespace fatwal {
namespace publication_names_tests {

using Names = std::vector<std::string>;

TEST(PublicationNames, AreExactAndMayBeQuoted) {
    const struct {
        const char* text;
        Names names;
    } cases[] = {
        {"p", {"p"}},
        {"MyPub", {"MyPub"}},
        {"\"MyPub\"", {"MyPub"}},
        {"my pub", {"my pub"}},
        {"app-changes", {"app-changes"}},
        {" a ,\tb\n, \"c\" ", {"a", "b", "c"}},
        {"\" a \"", {" a "}},
        {"\"a,b\",c", {"a,b", "c"}},
        {"\"say \"\"hello\"\"\"", {"say \"hello\""}},
        {"\"\"\"\"", {"\""}},
        {"it's", {"it's"}},
        {"größe", {"größe"}},
        {"a.b", {"a.b"}},
    };
    for (const auto& c : cases) {
        std::string error;
        EXPECT_EQ(wire::split_publication_names(c.text, error), c.names) << c.text;
        EXPECT_EQ(error, "") << c.text;
    }
}

TEST(PublicationNames, WhatIsNoListIsRefusedWithItsReason) {
    const struct {
        const char* text;
        const char* error;
    } cases[] = {
        {"", "empty"},
        {" ", "empty"},
        {",", "empty"},
        {"a,", "empty"},
        {"a,,b", "empty"},
        {",a", "empty"},
        {"\"\"", "empty"},
        {"\"a", "not closed"},
        {"\"", "not closed"},
        {"\"a\"\"", "not closed"},
        {"a\"b", "does not begin"},
        {"a\"b\"", "does not begin"},
        {"\"a\"b", "follows"},
        {"\"a\" \"b\"", "follows"},
    };
    for (const auto& c : cases) {
        std::string error;
        EXPECT_FALSE(wire::split_publication_names(c.text, error)) << c.text;
        EXPECT_NE(error.find(c.error), std::string::npos) << c.text << ": " << error;
    }
}

TEST(PublicationNames, BecomeAnArrayOfPostgres) {
    EXPECT_EQ(wire::text_array({}), "{}");
    EXPECT_EQ(wire::text_array({"a", "b,c"}), "{\"a\",\"b,c\"}");
    EXPECT_EQ(wire::text_array({"\"", "\\", "NULL"}), "{\"\\\"\",\"\\\\\",\"NULL\"}");
}

}  // namespace publication_names_tests
}  // namespace fatwal
