// Turns the stream of Postgres's own output plugin, pgoutput, into the messages that the plugin
// fatwal sends: frames and schemas, with the same rows, accounts, ordinals, marks and positions.
// Whatever reads the stream behind it need not know which plugin the slot has.
//
//     pgoutput, protocol 1, as text          decoder                        the format of wire/
//     Begin ─ Relation ─ Insert … Commit ──► values, plan, account ──► schema, frame, frame …
//                                               ▲
//                                               └─ what the catalogs add: wanted(), learn()
//
// It has no I/O. What it cannot know it asks for: feed() then gives Wants, the caller reads the
// catalogs (sidecar/postgres/read_facts.h), calls learn(), and feeds the same message again.
//
// Layout, splitting, marks and the choice of accounts are the plugin's own code (wire/encoding/).
// As there, a transaction that holds much is written in parts before its commit: protocol 1 sends a
// transaction when it has committed, so Begin already has its position. In all a decoder holds
// what a transaction of the plugin holds (32 MiB and about three times the largest record), twice
// while a part of that waits to be read by next().
//
// Nothing here fails for what rows hold or DDL has done: a value that does not read as its type, an
// enum's label that the catalogs do not know, a type that is gone travel as text, under a schema
// that says so. Only bytes that are no message of the protocol are refused.
//
// Where there is no extension, the settings of account columns are rows of a table in the
// publication (extension/managed.sql). They take effect at their place in the stream, and are not
// sent. A setting changes who gets the rows that are there already, so their tables are resynced.
// So are all tables where fatwald has written down that a publication was altered
// (fatwal.publication_state), of which the stream itself says nothing.
//
// It serves one thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fatwal/wire/bytes.h"
#include "sidecar/pgoutput/catalogue.h"
#include "sidecar/pgoutput/messages.h"
#include "sidecar/pgoutput/plan.h"
#include "sidecar/pgoutput/row.h"
#include "wire/encoding/transaction.h"

namespace fatwal::sidecar::pgoutput {

// The messages that wait to be read, one behind the other.
class Outbox {
public:
    void put(wire::Bytes message) { bytes_.append(message.data(), message.size()); }
    void end_batch() {}

    // The next one; valid until something is put. Nothing when all were given.
    [[nodiscard]] std::optional<wire::Bytes> next();
    [[nodiscard]] std::size_t capacity() const { return bytes_.capacity(); }

private:
    static constexpr std::size_t kInitialBytes = 64 * 1024;
    static constexpr std::size_t kMostKeptBytes = 1024 * 1024;

    HeapBuffer bytes_{kInitialBytes};
    std::size_t given_ = 0;  // bytes of them
};

class Decoder {
public:
    struct Options {
        std::size_t frame_bytes = 65'536;
        bool messages = true;
        std::string slot = {};
    };
    explicit Decoder(const Options& options);
    ~Decoder();
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;

    enum class Fed : std::uint8_t { Done, Wants, Malformed };
    // Takes a message of pgoutput. Before it next() has given all that came of the one before.
    [[nodiscard]] Fed feed(wire::Bytes message);
    // What it needs, after Wants.
    [[nodiscard]] const Wanted& wanted() const { return wanted_; }
    // Takes what was asked for. False: it does not know the table as the transaction in hand has
    // made it, and that is not visible yet; to be asked for again. If it must do (`insist`), the
    // account of the table's rows is not known in this transaction.
    [[nodiscard]] bool learn(RelationFacts facts, bool insist = false);

    // The next message for the readers; valid until the next call of next() or feed().
    [[nodiscard]] std::optional<wire::Bytes> next() { return outbox_.next(); }
    // What somebody should read in the log, once for each table.
    [[nodiscard]] std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }

    // What the transaction in hand and what came of it have allocated.
    [[nodiscard]] std::size_t held_bytes() const {
        return transaction_->held_bytes() + outbox_.capacity() + scratch_.capacity();
    }

private:
    using Transaction = wire::Transaction<HeapMemory, Outbox>;

    struct Table {
        Relation relation;
        std::optional<RelationFacts> facts;
        bool is_uncertain = false;  // the facts do not know the table as it is
        std::unique_ptr<Plan> plan;
        std::vector<bool> as_text;  // columns of which a value was not understood
        wire::SchemaId described;
        std::string route;            // of the plan before
        bool has_keyed_leaf = false;  // which logs less of an old row than the table says
        bool warned_of_identity = false;
        bool warned_of_key = false;
    };

    Fed take(const Begin& begin);
    Fed take(const Commit& commit);
    Fed take(Relation& relation);
    Fed take(const Type& type);
    Fed take(const Change& change);
    Fed take(const Truncate& truncate);
    Fed take(const Emitted& emitted);
    Fed take(const Passed&) { return Fed::Done; }

    Table* table_of(std::uint32_t relation);
    void note_leaf(const Relation& leaf);
    static void forget_identity(Table& table);
    Fed want(const Table& table);
    // Gives Wants when the catalogs have to be read first.
    Fed make_ready(Table& table);
    // Takes a row of the table of settings.
    Fed follow_settings(const Table& settings, const Change& change);
    void follow_publications(const Table& state, const Change& change);
    void set_account_column(std::uint32_t relation, const std::string& column);
    void forget_settings();
    void describe_once(Table& table);
    // Reads the tuples of a change into newer_ and old_.
    Fed read_rows(Table& table, const Change& change);
    // Again: the plan is another one.
    enum class RowRead : std::uint8_t { Done, Wants, Again };
    RowRead read_row(Table& table, Row& row, const Tuple& tuple, const Row* beside);
    RowRead not_understood(Table& table, std::size_t column);
    void write(Table& table, const Change& change);
    void warn_of_key(Table& table, const Row& row);

    const Options options_;
    std::map<std::uint32_t, Table> tables_;
    std::optional<std::uint32_t> described_last_;  // no change has come since its Relation
    NamedTypes named_types_;
    AccountSettings settings_;
    std::vector<std::uint32_t> provisional_;  // tables with facts for the transaction in hand alone
    Outbox outbox_;
    std::unique_ptr<Transaction> transaction_;
    std::optional<Begin> begun_;
    Tuples tuples_;
    HeapBuffer scratch_;
    Row newer_;
    Row old_;
    Wanted wanted_;
    bool label_was_asked_ = false;  // for the message in hand
    std::vector<std::string> warnings_;
};

}  // namespace fatwal::sidecar::pgoutput
