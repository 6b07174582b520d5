// The password of a connection string, which is no argument of psql.
#include "client/cli/psql.h"

#include <gtest/gtest.h>

namespace fatwal {
namespace psql_tests {

std::string split(const std::string& database) {
    const auto [text, password] = cli::split_password(database);
    return text + (password ? " | " + *password : "");
}

TEST(Conninfo, ThePasswordIsTakenOut) {
    EXPECT_EQ(split("app"), "app");
    EXPECT_EQ(split("dbname=app host=h"), "dbname=app host=h");
    EXPECT_EQ(split("dbname=app password=s3 host=h"), "dbname=app host=h | s3");
    EXPECT_EQ(split("password = 'a b\\'c' dbname = 'x y'"), "dbname = 'x y' | a b'c");
    EXPECT_EQ(split("dbname=app password="), "dbname=app | ");
    EXPECT_EQ(split("passwordx=1 sslpassword=2"), "passwordx=1 sslpassword=2");
    EXPECT_EQ(split("dbname=app password=a\\ b"), "dbname=app | a b");
    EXPECT_EQ(split("postgresql://u:p%40w@h:5432/db"), "postgresql://u@h:5432/db | p@w");
    EXPECT_EQ(split("postgres://u@h/db"), "postgres://u@h/db");
    EXPECT_EQ(split("postgres://h:5432/db"), "postgres://h:5432/db");
    EXPECT_EQ(split("postgres://h/db?password=x&sslmode=require"),
              "postgres://h/db?sslmode=require | x");
    EXPECT_EQ(split("postgres://h/db?a=1&password=x"), "postgres://h/db?a=1 | x");
    EXPECT_EQ(split("postgres://h/db?password=x"), "postgres://h/db | x");
}

}  // namespace psql_tests
}  // namespace fatwal
