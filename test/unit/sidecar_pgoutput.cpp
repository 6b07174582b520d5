// The decoder of pgoutput, with messages made by hand as the server makes them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fatwal/wire/frame.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/schema.h"
#include "fatwal/wire/text_sink.h"
#include "sidecar/pgoutput/decoder.h"

namespace fatwal::sidecar {
namespace pgoutput_tests {

using pgoutput::Decoder;
using pgoutput::RelationFacts;
using wire::Bytes;

constexpr std::uint32_t kTable = 16'411;
constexpr std::uint32_t kInt4 = 23;
constexpr std::uint32_t kText = 25;
constexpr std::uint32_t kMood = 16'500;
constexpr wire::Lsn kCommitLsn = 0x1565DD8;
constexpr wire::Lsn kEndLsn = 0x1565E08;

// A message of pgoutput: fields in network order.
class Out {
public:
    explicit Out(char kind) : text_(1, kind) {}
    template <class T>
    Out& number(T value) {
        for (std::size_t i = sizeof(T); i-- > 0;)
            text_.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i)));
        return *this;
    }
    Out& letter(char c) { return text_.push_back(c), *this; }
    Out& name(const std::string& text) {
        text_ += text;
        text_.push_back('\0');
        return *this;
    }
    Out& bytes(const std::string& text) {
        number(static_cast<std::uint32_t>(text.size()));
        text_ += text;
        return *this;
    }
    // A null is "\0", an unchanged value "\1".
    Out& tuple(char part, const std::vector<std::string>& fields) {
        letter(part).number(static_cast<std::uint16_t>(fields.size()));
        for (const std::string& field : fields) {
            if (field == null())
                letter('n');
            else if (field == unchanged())
                letter('u');
            else
                letter('t').bytes(field);
        }
        return *this;
    }
    static std::string null() { return std::string(1, '\0'); }
    static std::string unchanged() { return "\1"; }

    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
};

std::string begin(wire::Lsn commit_lsn = kCommitLsn) {
    return Out('B').number(commit_lsn).number(std::int64_t{1000}).number(std::uint32_t{729}).text();
}

std::string commit(wire::Lsn commit_lsn = kCommitLsn, wire::Lsn end_lsn = kEndLsn) {
    return Out('C')
        .number(std::uint8_t{0})
        .number(commit_lsn)
        .number(end_lsn)
        .number(std::int64_t{1000})
        .text();
}

struct ColumnOf {
    std::string name;
    std::uint32_t type;
    bool identity = true;
};

std::string relation(const std::vector<ColumnOf>& columns, char identity = 'f') {
    Out out('R');
    out.number(kTable).name("public").name("tasks").letter(identity);
    out.number(static_cast<std::uint16_t>(columns.size()));
    for (const ColumnOf& column : columns)
        out.number(std::uint8_t{column.identity})
            .name(column.name)
            .number(column.type)
            .number(std::int32_t{-1});
    return out.text();
}

std::string change(char kind, const std::vector<std::string>& newer,
                   const std::vector<std::string>& old = {}, char old_part = 'O') {
    Out out(kind);
    out.number(kTable);
    if (!old.empty()) out.tuple(old_part, old);
    if (kind != 'D') out.tuple('N', newer);
    return out.text();
}

const std::vector<ColumnOf> kColumns = {{"id", kInt4}, {"account_id", kInt4}, {"title", kText}};

RelationFacts facts_of(const std::vector<ColumnOf>& columns) {
    RelationFacts facts;
    facts.relation = kTable;
    facts.exists = true;
    facts.account_settings = {{kTable, ""}};
    std::int16_t number = 0;
    for (const ColumnOf& column : columns)
        facts.columns[column.name] = {++number, number == 1, number == 1, false};
    facts.types[kInt4] = {"int4", "integer", 'b', 'N', 4, 0, 0, ',', {}};
    facts.types[kText] = {"text", "text", 'b', 'S', -1, 0, 0, ',', {}};
    return facts;
}

// A decoder whose catalogs answer with `facts`, and what came of its messages.
struct Reading {
    explicit Reading(RelationFacts known, Decoder::Options options = {})
        : facts(std::move(known)), decoder(options) {}

    Decoder::Fed feed(const std::string& message) {
        Decoder::Fed fed = decoder.feed(wire::as_bytes(message));
        for (int i = 0; fed == Decoder::Fed::Wants && i < 3; ++i) {
            ++asked;
            (void)decoder.learn(facts);
            fed = decoder.feed(wire::as_bytes(message));
        }
        while (const auto out = decoder.next()) messages.emplace_back(wire::as_text(*out));
        return fed;
    }
    void feed_all(const std::vector<std::string>& all) {
        for (const std::string& message : all) ASSERT_EQ(feed(message), Decoder::Fed::Done);
    }

    // Each record as a line: account, ordinal, operation, new and old row.
    std::vector<std::string> lines() {
        std::vector<std::string> lines;
        std::map<wire::SchemaId, std::string> schemas;
        for (const std::string& message : messages) {
            if (const auto schema = wire::SchemaView::parse(wire::as_bytes(message))) {
                schemas[schema->id()] = message;
                continue;
            }
            const auto frame = wire::FrameView::parse(wire::as_bytes(message));
            if (!frame) {
                lines.emplace_back("malformed");
                continue;
            }
            frame->for_each_record([&](const wire::RecordView& record) {
                lines.push_back(line(*frame, record, schemas));
                return true;
            });
        }
        return lines;
    }

    static std::string line(const wire::FrameView& frame, const wire::RecordView& record,
                            const std::map<wire::SchemaId, std::string>& schemas) {
        char account[wire::kMaxAccountBytes];
        std::string line(account, wire::account_to_text(frame.account(), account));
        line += ' ' + std::to_string(record.ordinal()) + ' ' + wire::op_name(record.op());
        if (record.has(wire::kMoved)) line += " moved";
        if (record.has(wire::kUnrouted)) line += " unrouted";
        if (record.relation() == wire::kNoRelation) return line;
        const auto& known = schemas.at(frame.relation(record.relation()));
        const auto schema = wire::SchemaView::parse(wire::as_bytes(known));
        const auto add = [&](const auto& row) {
            line += ' ';
            (void)wire::render_row(row, *schema, wire::sink_to(line));
            std::string unavailable;
            (void)wire::render_unavailable(row, *schema, wire::sink_to(unavailable));
            if (unavailable != "[]") line += " without " + unavailable;
        };
        if (const auto newer = record.new_row()) add(*newer);
        if (const auto old = record.old_row()) add(*old);
        return line;
    }

    RelationFacts facts;
    Decoder decoder;
    int asked = 0;
    std::vector<std::string> messages;
};

using Lines = std::vector<std::string>;

TEST(Pgoutput, ChangesGoToTheirAccountsWithOrdinalsAndMarks) {
    Reading reading(facts_of(kColumns));
    reading.feed_all(
        {begin(), relation(kColumns), change('I', {"1", "42", "a"}), change('I', {"2", "43", "b"}),
         change('U', {"1", "42", "c"}, {"1", "42", "a"}),
         change('U', {"2", "42", "b"}, {"2", "43", "b"}), change('I', {"3", Out::null(), "x"}),
         change('D', {}, {"1", "42", "c"}), commit()});
    EXPECT_EQ(reading.asked, 1);
    EXPECT_EQ(reading.lines(), (Lines{R"(42 0 insert {"id":1,"account_id":42,"title":"a"})",
                                      R"(42 2 update {"id":1,"account_id":42,"title":"c"})"
                                      R"( {"id":1,"account_id":42,"title":"a"})",
                                      R"(42 4 insert moved {"id":2,"account_id":42,"title":"b"})",
                                      R"(42 6 delete {"id":1,"account_id":42,"title":"c"})",
                                      R"(43 1 insert {"id":2,"account_id":43,"title":"b"})",
                                      R"(43 3 delete moved {"id":2,"account_id":43,"title":"b"})",
                                      R"( 5 insert {"id":3,"account_id":null,"title":"x"})"}));
    ASSERT_EQ(reading.messages.size(), 4U);  // a schema and three frames
    const auto first = wire::FrameView::parse(wire::as_bytes(reading.messages[1]));
    const auto last = wire::FrameView::parse(wire::as_bytes(reading.messages[3]));
    EXPECT_EQ(first->flags(), wire::kLastOfAccount);
    EXPECT_EQ(first->end_lsn(), 0U);
    EXPECT_EQ(last->flags(), wire::kLastOfAccount | wire::kLastOfTransaction);
    EXPECT_EQ(last->commit_lsn(), kCommitLsn);
    EXPECT_EQ(last->end_lsn(), kEndLsn);
    EXPECT_EQ(last->xid(), 729U);
    EXPECT_EQ(last->commit_time(), 1000);
}

// docs/wire-format.md explains the bytes of this schema and frame, which the plugin wrote.
TEST(Pgoutput, WritesTheBytesThatThePluginWrites) {
    const std::vector<ColumnOf> columns = {
        {"id", 20}, {"account_id", 23}, {"title", 25}, {"done", 16}};
    RelationFacts facts = facts_of(columns);
    facts.types[20] = {"int8", "bigint", 'b', 'N', 8, 0, 0, ',', {}};
    facts.types[16] = {"bool", "boolean", 'b', 'B', 1, 0, 0, ',', {}};
    facts.columns["account_id"].not_null = true;
    Reading reading(facts);
    reading.feed_all({begin(), relation(columns),
                      change('U', {"1", "42", "final", Out::null()}, {"1", "42", "draft", "f"}),
                      commit()});
    ASSERT_EQ(reading.messages.size(), 2U);
    const auto schema = wire::SchemaView::parse(wire::as_bytes(reading.messages[0]));
    ASSERT_TRUE(schema);
    EXPECT_EQ(schema->id().fingerprint, 0x5F1FB5A7U);
    EXPECT_EQ(reading.messages[1].size(), 184U);
    EXPECT_EQ(reading.messages[1].substr(176), std::string("\x1b\x40\x00\x00\xa7\xb5\x1f\x5f", 8));
}

TEST(Pgoutput, UnloggedToastComesFromTheOldRowOrIsUnavailable) {
    Reading full(facts_of(kColumns));
    full.feed_all({begin(), relation(kColumns),
                   change('U', {"2", "42", Out::unchanged()}, {"1", "42", "long"}), commit()});
    EXPECT_EQ(full.lines(), Lines{R"(42 0 update {"id":2,"account_id":42,"title":"long"})"
                                  R"( {"id":1,"account_id":42,"title":"long"})"});
    const std::vector<ColumnOf> keyed = {
        {"id", kInt4}, {"account_id", kInt4}, {"title", kText, false}};
    Reading key(facts_of(keyed));
    key.feed_all({begin(), relation(keyed, 'd'), change('U', {"2", "42", Out::unchanged()}),
                  change('U', {"3", "42", "x"}, {"2", "42", Out::null()}, 'K'),
                  change('D', {}, {"3", "42", Out::null()}, 'K'), commit()});
    EXPECT_EQ(key.lines(), (Lines{R"(42 0 update {"id":2,"account_id":42} without ["title"])"
                                  R"( {"id":2,"account_id":42} without ["title"])",
                                  R"(42 1 update {"id":3,"account_id":42,"title":"x"})"
                                  R"( {"id":2,"account_id":42} without ["title"])",
                                  R"(42 2 delete {"id":3,"account_id":42} without ["title"])"}));
}

TEST(Pgoutput, ADeleteThatDoesNotSayWhoseRowItWasIsNobodysAndResyncs) {
    const std::vector<ColumnOf> keyed = {
        {"id", kInt4}, {"account_id", kInt4, false}, {"title", kText, false}};
    Reading reading(facts_of(keyed));
    reading.feed_all({begin(), relation(keyed, 'd'),
                      change('D', {}, {"3", Out::null(), Out::null()}, 'K'), commit()});
    EXPECT_EQ(
        reading.lines(),
        (Lines{R"( 0 delete unrouted {"id":3} without ["account_id","title"])", " 1 resync"}));
    const auto warnings = reading.decoder.take_warnings();
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_NE(warnings[0].find(R"(ALTER TABLE "public"."tasks" REPLICA IDENTITY FULL;)"),
              std::string::npos);
    EXPECT_TRUE(reading.decoder.take_warnings().empty());
}

TEST(Pgoutput, TruncatesAndMessagesStandInTheirPlace) {
    Reading reading(facts_of(kColumns));
    const auto message = [](bool transactional, const std::string& content) {
        return Out('M')
            .number(std::uint8_t{transactional})
            .number(std::uint64_t{0x2000})
            .name("foreign")
            .bytes(content)
            .text();
    };
    const std::string truncate =
        Out('T').number(std::uint32_t{1}).number(std::uint8_t{1}).number(kTable).text();
    reading.feed_all({message(false, "alone"), begin(), relation(kColumns),
                      change('I', {"1", "42", "a"}), message(true, "within"), truncate,
                      change('I', {"2", "42", "b"}), commit()});
    EXPECT_EQ(
        reading.lines(),
        (Lines{" 0 message", R"(42 0 insert {"id":1,"account_id":42,"title":"a"})", " 1 message",
               " 2 truncate", R"(42 3 insert {"id":2,"account_id":42,"title":"b"})"}));
    const auto alone = wire::FrameView::parse(wire::as_bytes(reading.messages[0]));
    EXPECT_TRUE(alone->has(wire::kNonTransactional));
    EXPECT_EQ(alone->commit_lsn(), 0x1FFFU);
    EXPECT_EQ(alone->end_lsn(), 0x2000U);
    // Without messages the ordinals of the rows are the same.
    Reading without(facts_of(kColumns), {.messages = false});
    without.feed_all({message(false, "alone"), begin(), relation(kColumns), message(true, "within"),
                      change('I', {"1", "42", "a"}), commit()});
    EXPECT_EQ(without.lines(), Lines{R"(42 1 insert {"id":1,"account_id":42,"title":"a"})"});
}

TEST(Pgoutput, NotesOfFatwaldAreNotSentAndHaveNoOrdinal) {
    Reading reading(facts_of(kColumns));
    Out notes('R');
    notes.number(std::uint32_t{7}).name("fatwal").name("slot").letter('d').number(std::uint16_t{0});
    const std::string noted =
        Out('I').number(std::uint32_t{7}).tuple('N', std::vector<std::string>{}).text();
    reading.feed_all({begin(), notes.text(), noted, commit()});
    EXPECT_TRUE(reading.messages.empty());
    EXPECT_EQ(reading.asked, 0);
    reading.feed_all({begin(kCommitLsn + 100), relation(kColumns), noted,
                      change('I', {"1", "42", "a"}), commit(kCommitLsn + 100, kEndLsn + 100)});
    EXPECT_EQ(reading.lines(), Lines{R"(42 0 insert {"id":1,"account_id":42,"title":"a"})"});
}

const std::vector<ColumnOf> kMoody = {{"id", kInt4}, {"account_id", kInt4}, {"mood", kMood}};

RelationFacts moody(std::vector<std::pair<std::uint32_t, std::string>> labels) {
    RelationFacts facts = facts_of(kMoody);
    facts.types[kMood] = {"mood", "public.mood", 'e', 'E', 4, 0, 0, ',', std::move(labels)};
    return facts;
}

TEST(Pgoutput, ALabelThatIsNotKnownIsReadAgain) {
    Reading reading(moody({{1, "sad"}}));
    reading.feed_all({begin(), relation(kMoody), change('I', {"1", "42", "sad"})});
    EXPECT_EQ(reading.asked, 1);
    reading.facts = moody({{1, "sad"}, {2, "happy"}});
    reading.feed_all({change('I', {"2", "42", "happy"}), commit()});
    EXPECT_EQ(reading.asked, 2);
    EXPECT_EQ(reading.lines(), (Lines{R"(42 0 insert {"id":1,"account_id":42,"mood":"sad"})",
                                      R"(42 1 insert {"id":2,"account_id":42,"mood":"happy"})"}));
    EXPECT_TRUE(reading.decoder.take_warnings().empty());
}

TEST(Pgoutput, WhatTheCatalogsDoNotKnowTravelsAsText) {
    // A label that is not there any more.
    Reading reading(moody({{1, "glad"}}));
    reading.feed_all({begin(), relation(kMoody), change('I', {"1", "42", "sad"}),
                      change('I', {"2", "42", "glad"}), commit()});
    EXPECT_EQ(reading.asked, 2);
    EXPECT_EQ(reading.lines(), (Lines{R"(42 0 insert {"id":1,"account_id":42,"mood":"sad"})",
                                      R"(42 1 insert {"id":2,"account_id":42,"mood":"glad"})"}));
    EXPECT_EQ(reading.decoder.take_warnings().size(), 1U);
    // A table and types that are dropped by now: the account is in account_id, as by default.
    RelationFacts dropped;
    dropped.relation = kTable;
    Reading gone(dropped);
    const std::string type = Out('Y').number(kMood).name("").name("int4").text();  // of a domain
    gone.feed_all({begin(), type, relation(kMoody), change('I', {"1", "42", "7"}), commit()});
    EXPECT_EQ(gone.lines(), Lines{R"(42 0 insert {"id":1,"account_id":42,"mood":7})"});
}

TEST(Pgoutput, AColumnListWithoutTheAccountIsTheOperators) {
    const std::vector<ColumnOf> listed = {{"id", kInt4}, {"title", kText}};
    Reading reading(facts_of(kColumns));
    reading.feed_all({begin(), relation(listed), change('I', {"1", "a"}), commit()});
    EXPECT_EQ(reading.lines(), Lines{R"( 0 insert unrouted {"id":1,"title":"a"})"});
}

// The column was renamed since: the one that is account_id now may be another.
TEST(Pgoutput, AnAccountColumnThatHadAnotherNameThenIsNotGuessed) {
    const std::vector<ColumnOf> then = {{"id", kInt4}, {"account_id", kInt4}, {"owner", kInt4}};
    RelationFacts facts = facts_of({{"id", kInt4}, {"account_id", kInt4}, {"tenant", kInt4}});
    facts.account_settings = {{kTable, "tenant"}};
    Reading reading(facts);
    reading.feed_all({begin(), relation(then), change('I', {"1", "42", "7"}), commit()});
    EXPECT_EQ(reading.lines(),
              (Lines{R"( 0 insert unrouted {"id":1,"account_id":42,"owner":7})", " 1 resync"}));
}

// A COMMIT is in the log before its changes of the catalogs are visible.
TEST(Pgoutput, FactsThatAreNotVisibleYetHoldForTheTransactionAlone) {
    RelationFacts facts = facts_of(kColumns);
    facts.visible = false;
    Reading reading(facts);
    reading.feed_all({begin(), relation(kColumns), change('I', {"1", "42", "a"}), commit()});
    EXPECT_EQ(reading.asked, 1);
    reading.facts.visible = true;
    reading.feed_all({begin(kEndLsn), change('I', {"2", "42", "b"}), commit(kEndLsn, kEndLsn + 8),
                      begin(kEndLsn + 8), change('I', {"3", "42", "c"}),
                      commit(kEndLsn + 8, kEndLsn + 16)});
    EXPECT_EQ(reading.asked, 2);
    EXPECT_EQ(reading.lines().size(), 3U);
    // What does not know the table is asked for again, and does at last without the account.
    facts.exists = false;
    Decoder decoder({});
    const std::string insert = change('I', {"1", "42", "a"});
    for (const std::string& message : {begin(), relation(kColumns)})
        ASSERT_EQ(decoder.feed(wire::as_bytes(message)), Decoder::Fed::Done);
    ASSERT_EQ(decoder.feed(wire::as_bytes(insert)), Decoder::Fed::Wants);
    EXPECT_EQ(decoder.wanted().xid, 729U);
    EXPECT_FALSE(decoder.learn(facts));
    EXPECT_EQ(decoder.feed(wire::as_bytes(insert)), Decoder::Fed::Wants);
    EXPECT_TRUE(decoder.learn(facts, true));
    EXPECT_EQ(decoder.feed(wire::as_bytes(insert)), Decoder::Fed::Done);
    ASSERT_EQ(decoder.feed(wire::as_bytes(commit())), Decoder::Fed::Done);
    std::vector<wire::AccountKind> accounts;
    while (const auto message = decoder.next())
        if (const auto frame = wire::FrameView::parse(*message))
            accounts.push_back(frame->account().kind);
    EXPECT_EQ(accounts, (std::vector{wire::AccountKind::Operators, wire::AccountKind::Everyone}));
}

TEST(Pgoutput, AnotherAccountColumnResyncsTheTable) {
    const std::vector<ColumnOf> columns = {{"id", kInt4}, {"account_id", kInt4}, {"owner", kInt4}};
    Reading reading(facts_of(columns));
    reading.feed_all({begin(), relation(columns), change('I', {"1", "42", "7"}), commit()});
    reading.facts.account_settings = {{kTable, "owner"}};
    reading.feed_all({begin(kEndLsn), relation(columns), change('I', {"2", "42", "7"}),
                      commit(kEndLsn, kEndLsn + 8)});
    EXPECT_EQ(reading.lines(),
              (Lines{R"(42 0 insert {"id":1,"account_id":42,"owner":7})",
                     R"(7 0 insert {"id":2,"account_id":42,"owner":7})", " 1 resync"}));
}

// A row of fatwal.account_setting, which is there where the extension is not.
TEST(Pgoutput, ASettingOfTheStreamTakesEffectAtItsPlace) {
    constexpr std::uint32_t kSettings = 7;
    const std::vector<ColumnOf> columns = {{"id", kInt4}, {"account_id", kInt4}, {"owner", kInt4}};
    Out settings('R');
    settings.number(kSettings).name("fatwal").name("account_setting").letter('d');
    settings.number(std::uint16_t{3});
    for (const char* name : {"relation", "relation_oid", "column_name"})
        settings.number(std::uint8_t{0}).name(name).number(kText).number(std::int32_t{-1});
    const auto set = [&](const std::string& oid, const std::string& column) {
        return Out('I').number(kSettings).tuple('N', {"public.tasks", oid, column}).text();
    };
    Reading reading(facts_of(columns));
    reading.feed_all({begin(), relation(columns), settings.text(), change('I', {"1", "42", "7"}),
                      set(std::to_string(kTable), "owner"), change('I', {"2", "42", "7"}),
                      set(std::to_string(kTable), "owner"), change('I', {"3", "42", "7"}),
                      commit()});
    EXPECT_EQ(reading.asked, 1);
    EXPECT_EQ(reading.lines(),
              (Lines{R"(42 0 insert {"id":1,"account_id":42,"owner":7})",
                     R"(7 1 insert {"id":2,"account_id":42,"owner":7})",
                     R"(7 2 insert {"id":3,"account_id":42,"owner":7})", " 3 resync"}));
    // Of a table that this session has not seen, and a row that is deleted, of which only the name
    // is known: all tables.
    Reading unseen(facts_of(columns));
    unseen.feed_all({begin(), settings.text(), set("99", "owner"), commit()});
    EXPECT_EQ(unseen.lines(), Lines{" 0 resync"});
    unseen.messages.clear();
    const std::string removed =
        Out('D').number(kSettings).tuple('K', {"public.tasks", Out::null(), Out::null()}).text();
    unseen.feed_all({begin(kEndLsn), removed, relation(columns), change('I', {"2", "42", "7"}),
                     commit(kEndLsn, kEndLsn + 8)});
    EXPECT_EQ(unseen.lines(),
              (Lines{R"(42 0 insert {"id":2,"account_id":42,"owner":7})", " 1 resync"}));
}

// A partition that is published as its table, and logs less of an old row than the table says.
TEST(Pgoutput, OldRowsOfAPartitionWithAnotherIdentityAreNotTakenForWhole) {
    Out leaf('R');
    leaf.number(kTable + 1).name("public").name("tasks_1").letter('d');
    leaf.number(static_cast<std::uint16_t>(kColumns.size()));
    for (const ColumnOf& column : kColumns)
        leaf.number(std::uint8_t{column.name == "id"})
            .name(column.name)
            .number(column.type)
            .number(std::int32_t{-1});
    Reading reading(facts_of(kColumns));
    reading.feed_all({begin(), relation(kColumns), leaf.text(),
                      change('D', {}, {"1", Out::null(), Out::null()}), commit()});
    ASSERT_FALSE(reading.lines().empty());
    EXPECT_EQ(reading.lines().back(), " 1 resync");
    for (const std::string& line : reading.lines())
        EXPECT_EQ(line.find("\"account_id\":null"), std::string::npos) << line;
    // Another table that is described next, and is no partition of it, changes nothing.
    Reading apart(facts_of(kColumns));
    Out other('R');
    other.number(kTable + 1).name("public").name("other").letter('d').number(std::uint16_t{0});
    apart.feed_all(
        {begin(), relation(kColumns), other.text(), change('D', {}, {"1", "42", "a"}), commit()});
    EXPECT_EQ(apart.lines().size(), 1U);
}

// A row of fatwal.publication_state, which fatwald writes.
TEST(Pgoutput, AnAlteredPublicationIsAResyncOfAllTables) {
    constexpr std::uint32_t kState = 8;
    Out state('R');
    state.number(kState).name("fatwal").name("publication_state").letter('d');
    state.number(std::uint16_t{3});
    for (const char* name : {"slot", "routes", "resync"})
        state.number(std::uint8_t{0}).name(name).number(kText).number(std::int32_t{-1});
    const auto noted = [&](char kind, const std::string& slot, const std::string& resync) {
        return Out(kind).number(kState).tuple('N', {slot, Out::unchanged(), resync}).text();
    };
    const auto lines = [&](const std::string& note) {
        Reading reading(facts_of(kColumns), {.slot = "ours"});
        reading.feed_all({begin(), state.text(), note, commit()});
        return reading.lines();
    };
    EXPECT_EQ(lines(noted('I', "ours", "t")), Lines{" 0 resync"});
    EXPECT_EQ(lines(noted('I', "ours", "f")), Lines{});
    EXPECT_EQ(lines(noted('I', "another", "t")), Lines{});
}

TEST(Pgoutput, MalformedMessagesAreRefused) {
    const std::vector<std::string> valid = {
        begin(),
        relation(kColumns),
        change('I', {"1", "42", "a"}),
        change('U', {"1", "42", "b"}, {"1", "42", "a"}),
        change('D', {}, {"1", "42", "b"}),
        Out('T').number(std::uint32_t{1}).number(std::uint8_t{0}).number(kTable).text(),
        Out('Y').number(kMood).name("public").name("mood").text(),
        Out('O').number(std::uint64_t{1}).name("origin").text(),
        commit()};
    for (std::size_t which = 0; which < valid.size(); ++which) {
        Reading reading(facts_of(kColumns));
        for (std::size_t i = 0; i < which; ++i)
            ASSERT_EQ(reading.feed(valid[i]), Decoder::Fed::Done) << i;
        for (std::size_t length = 0; length < valid[which].size(); ++length)
            EXPECT_EQ(reading.feed(valid[which].substr(0, length)), Decoder::Fed::Malformed)
                << which << ", " << length;
        EXPECT_EQ(reading.feed(valid[which] + "x"), Decoder::Fed::Malformed) << which;
        EXPECT_EQ(reading.feed(valid[which]), Decoder::Fed::Done) << which;
    }
    // Whatever a byte is, nothing outside the message is read: the sanitizers watch.
    for (const std::string& message : valid) {
        for (std::size_t at = 0; at < message.size(); ++at) {
            for (const char byte : {'\0', '\1', '\x7F', '\xFF'}) {
                Reading reading(facts_of(kColumns));
                (void)reading.feed(begin());
                (void)reading.feed(relation(kColumns));
                std::string broken = message;
                broken[at] = byte;
                (void)reading.feed(broken);
            }
        }
    }
}

TEST(Pgoutput, MessagesOutOfOrderAreRefused) {
    const std::string insert = change('I', {"1", "42", "a"});
    Reading reading(facts_of(kColumns));
    EXPECT_EQ(reading.feed(insert), Decoder::Fed::Malformed);  // of a table that was not named
    EXPECT_EQ(reading.feed(relation(kColumns)), Decoder::Fed::Done);
    EXPECT_EQ(reading.feed(insert), Decoder::Fed::Malformed);  // outside a transaction
    EXPECT_EQ(reading.feed(commit()), Decoder::Fed::Malformed);
    EXPECT_EQ(reading.feed(begin()), Decoder::Fed::Done);
    EXPECT_EQ(reading.feed(begin()), Decoder::Fed::Malformed);
    EXPECT_EQ(reading.feed(change('I', {"1", "42"})), Decoder::Fed::Malformed);  // a column less
    EXPECT_EQ(reading.feed(commit(kCommitLsn + 8)), Decoder::Fed::Malformed);
    EXPECT_EQ(reading.feed(commit(kCommitLsn, kCommitLsn)), Decoder::Fed::Malformed);
    EXPECT_EQ(reading.feed(commit()), Decoder::Fed::Done);
}

// 1,000 accounts and more than the bound of a transaction in each turn.
TEST(Pgoutput, ALargeTransactionHoldsTwiceTheBoundOfTheParts) {
    constexpr int kRows = 120'000;
    constexpr std::size_t kBound = 2 * wire::transaction_bound::kMaxHeldBytes + 8 * 1024 * 1024;
    Decoder decoder({});
    (void)decoder.feed(wire::as_bytes(begin()));
    (void)decoder.feed(wire::as_bytes(relation(kColumns)));
    const std::string title(1000, 'x');
    std::size_t most = 0;
    std::size_t records = 0;
    std::uint64_t written = 0;
    const auto read = [&] {
        while (const auto message = decoder.next()) {
            written += message->size();
            if (const auto frame = wire::FrameView::parse_header(*message))
                records += frame->record_count();
        }
    };
    for (int i = 0; i < kRows; ++i) {
        const std::string insert =
            change('I', {std::to_string(i), std::to_string(i % 1000), title});
        if (decoder.feed(wire::as_bytes(insert)) == Decoder::Fed::Wants) {
            (void)decoder.learn(facts_of(kColumns));
            ASSERT_EQ(decoder.feed(wire::as_bytes(insert)), Decoder::Fed::Done);
        }
        most = std::max(most, decoder.held_bytes());
        read();
    }
    ASSERT_EQ(decoder.feed(wire::as_bytes(commit())), Decoder::Fed::Done);
    most = std::max(most, decoder.held_bytes());
    read();
    EXPECT_EQ(records, static_cast<std::size_t>(kRows));
    EXPECT_GT(written, 3 * wire::transaction_bound::kMaxHeldBytes);
    EXPECT_LT(most, kBound);
}

// A value by its type's code as JSON; "?" when it is not understood.
std::string value_of(wire::TypeCode code, const std::string& text,
                     wire::TypeCode element = wire::TypeCode::Other) {
    pgoutput::HeapBuffer buffer(64);
    const std::size_t slot_at = buffer.extend_zeroed(8);
    const pgoutput::TextType type{code, element, ',', false, nullptr};
    const auto put = pgoutput::put_text({buffer, 0, wire::kMaxRecordBytes}, slot_at, text, type);
    if (put != pgoutput::Put::Done) return "?";
    wire::Cell cell;
    cell.state = wire::Cell::State::Value;
    cell.slot = wire::load<std::uint64_t>(buffer.at(slot_at));
    if (!wire::is_fixed(code))
        cell.bytes =
            buffer.bytes().subspan(static_cast<std::uint32_t>(cell.slot), cell.slot >> 32U);
    std::string json;
    (void)wire::render_value(cell, code, element, {}, wire::sink_to(json));
    return json;
}

TEST(Pgoutput, ValuesReadAsTheirTypes) {
    using enum wire::TypeCode;
    EXPECT_EQ(value_of(Bool, "t"), "true");
    EXPECT_EQ(value_of(Int2, "-32768"), "-32768");
    EXPECT_EQ(value_of(Int8, "9223372036854775807"), "\"9223372036854775807\"");
    EXPECT_EQ(value_of(Oid, "4294967295"), "4294967295");
    EXPECT_EQ(value_of(Float8, "0.30000000000000004"), "0.30000000000000004");
    EXPECT_EQ(value_of(Float8, "5e-324"), "4.94065645841247e-324");
    EXPECT_EQ(value_of(Float4, "-Infinity"), "\"-Infinity\"");
    EXPECT_EQ(value_of(Float4, "NaN"), "\"NaN\"");
    for (const char* number :
         {"0", "0.000", "1", "-1.50", "10000", "9999.9999", "0.0001", "-0.00012", "NaN",
          "12345678901234567890.0001000", "Infinity", "100000000000000000000000000000"})
        EXPECT_EQ(value_of(Numeric, number), '"' + std::string(number) + '"');
    const std::string small = "0." + std::string(300, '0') + "10";
    EXPECT_EQ(value_of(Numeric, small), '"' + small + '"');
    EXPECT_EQ(value_of(Bytea, "\\x00ff"), "\"\\\\x00ff\"");
    EXPECT_EQ(value_of(Date, "2000-02-29"), "\"2000-02-29\"");
    EXPECT_EQ(value_of(Date, "0001-12-31 BC"), "\"0000-12-31\"");
    EXPECT_EQ(value_of(Date, "infinity"), "\"infinity\"");
    EXPECT_EQ(value_of(Time, "24:00:00"), "\"24:00:00\"");
    EXPECT_EQ(value_of(TimeTz, "13:08:39.5-05:30"), "\"13:08:39.5-05:30\"");
    EXPECT_EQ(value_of(TimestampTz, "1999-12-31 23:59:59.999999+00"),
              "\"1999-12-31T23:59:59.999999Z\"");
    EXPECT_EQ(value_of(Timestamp, "-infinity"), "\"-infinity\"");
    EXPECT_EQ(value_of(Interval, "1 year 2 mons -3 days +04:05:06.7"), "\"P1Y2M-3DT4H5M6.7S\"");
    EXPECT_EQ(value_of(Interval, "-2562047788:00:54.775808"), "\"PT-2562047788H-54.775808S\"");
    EXPECT_EQ(value_of(Inet, "::ffff:1.2.3.4/96"), "\"::ffff:1.2.3.4/96\"");
    EXPECT_EQ(value_of(Cidr, "10.0.0.0/8"), "\"10.0.0.0/8\"");
    EXPECT_EQ(value_of(MacAddr, "08:00:2b:01:02:03"), "\"08:00:2b:01:02:03\"");
    EXPECT_EQ(value_of(Array, "{{1,2},{NULL,4}}", Int4), "[[1,2],[null,4]]");
    EXPECT_EQ(value_of(Array, "[0:1]={t,f}", Bool), "[true,false]");
    EXPECT_EQ(value_of(Array, R"({"a,b","c\"d",NULL,"NULL","",x})", Text),
              R"(["a,b","c\"d",null,"NULL","","x"])");
    EXPECT_EQ(value_of(Array, "{}", Int4), "[]");
}

TEST(Pgoutput, NumericIsStoredAsTheServerStoresIt) {
    pgoutput::HeapBuffer buffer(64);
    const std::size_t slot_at = buffer.extend_zeroed(8);
    ASSERT_EQ(pgoutput::put_text({buffer, 0, 1000}, slot_at, "-1234.50",
                                 {.code = wire::TypeCode::Numeric}),
              pgoutput::Put::Done);
    EXPECT_EQ(std::string(wire::as_text(buffer.bytes().subspan(8))),
              std::string("\x00\xa1\xd2\x04\x88\x13", 6));
}

TEST(Pgoutput, WhatIsNoValueOfItsTypeIsNotUnderstood) {
    using enum wire::TypeCode;
    for (const auto& [code, text] : std::vector<std::pair<wire::TypeCode, std::string>>{
             {Bool, "true"},
             {Int4, "2147483648"},
             {Int4, "1 "},
             {Int4, ""},
             {Float8, "0,1"},
             {Numeric, "1e5"},
             {Numeric, "1,5"},
             {Numeric, "."},
             {Bytea, "\\000"},
             {Bytea, "\\x0"},
             {Date, "01.01.2026"},
             {Date, "2026-13-01"},
             {Time, "1:2"},
             {TimeTz, "13:08:39"},
             {Timestamp, "01.01.2026 07:00:00"},
             {TimestampTz, "2026-01-01 07:00:00 EST"},
             {Interval, "P1Y"},
             {Interval, "1 year 2"},
             {Interval, ""},
             {Inet, "1.2.3.4/33"},
             {Inet, "one"},
             {MacAddr, "08002b010203"},
             {Uuid, "x"},
             {Enum, "sad"},
             {Jsonb, "{}"},
         })
        EXPECT_EQ(value_of(code, text), "?") << text;
    for (const char* text : {"", "{", "}", "{1", "{1}}", "{{1},{2,3}}", "{1,{2}}", "{\"a", "{\"a\\",
                             "[1:2]{1,2}", "[1:x]={1}", "{{{{{{{1}}}}}}}", "{a}"})
        EXPECT_EQ(value_of(Array, text, Int4), "?") << text;
}

}  // namespace pgoutput_tests
}  // namespace fatwal::sidecar
