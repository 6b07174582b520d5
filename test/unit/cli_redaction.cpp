// What `fatwal bundle` takes out.
#include <gtest/gtest.h>

#include <string>

#include "client/cli/redaction.h"

namespace fatwal {
namespace cli_redaction_tests {

using cli::without_secrets;

constexpr char kKey[] = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";

TEST(RedactionTest, SecretsAreLeftOutWhateverTheirForm) {
    for (const std::string& text :
         {std::string("database = host=a password=hunter2 dbname=b"),
          std::string("password='hunter2 \\' hunter2' x"),
          std::string("postgresql://fatwal:hunter2@db:5432/app"),
          std::string("Authorization: Bearer hunter2"), std::string("secret-key = \"hunter2\""),
          std::string("passwd = hunter2"), std::string("http_token = 'hunter2'"),
          std::string("token: hunter2, x"), std::string("api_key=hunter2"),
          std::string("Cookie: fatwal_console=hunter2"), std::string("the password hunter2"),
          std::string("ALTER ROLE x PASSWORD 'hunter2';"), std::string("\"token\": \"hunter2\""),
          std::string("invalid integer value \"hunter2\" for connection option \"port\""),
          std::string("missing \"=\" after \"hunter2\" in connection info string"),
          std::string("Key (mail)=(hunter2) already exists."),
          std::string("Failing row contains (1, hunter2, (3))."),
          std::string("invalid input syntax for type integer: \"hunter2\""),
          std::string("value \"hunter2\" is out of range for type integer")})
        EXPECT_EQ(without_secrets(text).find("hunter2"), std::string::npos) << text;
    EXPECT_EQ(without_secrets(std::string("key ") + kKey), "key (left out)");
    EXPECT_EQ(without_secrets(std::string("\"") + kKey + "\""), "\"(left out)\"");
}

TEST(RedactionTest, WhatIsNoSecretStays) {
    const std::string text = "slot \"app\" is lost; wal_status lost\n\nstreaming from 1/2A3B4C\n";
    EXPECT_EQ(without_secrets(text), text);
    EXPECT_EQ(without_secrets("postgresql://db:5432/app"), "postgresql://db:5432/app");
}

TEST(RedactionTest, AVeryLongLineIsCut) {
    EXPECT_LT(without_secrets(std::string(1'000'000, 'x')).size(), 5000U);
}

TEST(RedactionTest, NamesOfAccountsAndSubscribersAreDisguised) {
    const auto disguise = [](const std::string& name) { return "<" + name + ">"; };
    EXPECT_EQ(cli::with_disguised_names(
                  "durable subscriber \"a b\" of account acme: dropped\nof account 7", disguise),
              "durable subscriber <a b> of account <acme>: dropped\nof account <7>");
}

TEST(RedactionTest, NamesInWhatFatwaldRefusesAreDisguised) {
    const auto disguise = [](const std::string&) { return std::string("#"); };
    for (const std::string& text :
         {std::string(R"(Credential "acme" may not follow account "acme \"co\" x".)"),
          std::string(R"(the snapshot of account "acme" is taken again)"),
          std::string(R"(durable subscriber "acme \" acme" of account "x" is dropped)")}) {
        const std::string shown = cli::with_disguised_names(text, disguise);
        EXPECT_EQ(shown.find("acme"), std::string::npos) << shown;
    }
}

TEST(RedactionTest, ANameHasOneHashWithinABundle) {
    EXPECT_EQ(cli::hashed_name("7", 1), cli::hashed_name("7", 1));
    EXPECT_NE(cli::hashed_name("7", 1), cli::hashed_name("8", 1));
    EXPECT_NE(cli::hashed_name("7", 1), cli::hashed_name("7", 2));
}

TEST(RedactionTest, ObservedTextsLoseWhatMayBeOfRows) {
    cli::Observed observed;
    observed.disguise = [](const std::string&) { return "#"; };
    observed.fatwald.emplace();
    observed.fatwald->status["snapshot_failure"] = "hunter2";
    observed.database.emplace();
    observed.database->facts = {
        {"checks",
         {{{"requirement", "the row filter of publication p on t cannot fail"},
           {"found", "(n > 'hunter2')"},
           {"mend", "keep such rows out"}},
          {{"requirement", "publication p lists the account column of t"},
           {"found", "id"},
           {"mend", "ALTER PUBLICATION p ADD TABLE t (id) WHERE (n = 'hunter2');"}}}},
        {"credentials", {{{"name", "hunter2"}, {"expires_in_s", 1}}}},
        {"prepared", nullptr}};
    cli::redact(observed);
    EXPECT_EQ(observed.database->facts.dump().find("hunter2"), std::string::npos);
    EXPECT_EQ(observed.fatwald->status["snapshot_failure"], "(left out)");
}

}  // namespace cli_redaction_tests
}  // namespace fatwal
