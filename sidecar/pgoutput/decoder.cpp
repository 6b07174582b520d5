#include "sidecar/pgoutput/decoder.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "fatwal/wire/frame.h"
#include "wire/encoding/change_writer.h"

namespace fatwal::sidecar::pgoutput {

namespace {

constexpr std::size_t kInitialScratch = 4096;
// What the scratch may keep of a large row.
constexpr std::size_t kMostKeptScratch = 1024 * 1024;

std::string in_quotes(const std::string& name) {
    std::string out = "\"";
    for (const char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + '"';
}

std::string table_name(const Relation& relation) {
    return in_quotes(relation.schema) + '.' + in_quotes(relation.name);
}

// Empty for a column that the tuple lacks.
std::string_view text_of(const Relation& relation, const Tuple& tuple, std::string_view column) {
    for (std::size_t c = 0; c < relation.columns.size() && c < tuple.size(); ++c)
        if (relation.columns[c].name == column) return tuple[c].text;
    return {};
}

// Whether the facts know all that the message names.
bool describes(const RelationFacts& facts, const Relation& relation) {
    return facts.exists && std::all_of(relation.columns.begin(), relation.columns.end(),
                                       [&](const Relation::Column& column) {
                                           return facts.columns.count(column.name) != 0 &&
                                                  facts.types.count(column.type) != 0;
                                       });
}

}  // namespace

std::optional<wire::Bytes> Outbox::next() {
    wire::Bytes rest = bytes_.bytes().subspan(given_);
    if (rest.empty()) {
        bytes_.truncate(0);
        given_ = 0;
        if (bytes_.capacity() > kMostKeptBytes) bytes_.release();
        return std::nullopt;
    }
    const wire::Bytes message = wire::take_message(rest);
    given_ += message.size();
    return message;
}

Decoder::Decoder(const Options& options)
    : options_(options), transaction_(std::make_unique<Transaction>()), scratch_(kInitialScratch) {
    transaction_->init({}, options.frame_bytes);
}

Decoder::~Decoder() { transaction_->free(); }

Decoder::Fed Decoder::feed(wire::Bytes message) {
    auto read = read_message(message, tuples_);
    if (!read) return Fed::Malformed;
    const Fed fed = std::visit([this](auto& each) { return take(each); }, *read);
    if (fed == Fed::Done) label_was_asked_ = false;
    return fed;
}

bool Decoder::learn(RelationFacts facts, bool insist) {
    Table* table = table_of(facts.relation);
    if (table == nullptr) return true;
    const bool is_known = facts.visible || describes(facts, table->relation);
    if (!is_known && !insist) return false;
    table->plan.reset();
    if (!facts.visible) provisional_.push_back(facts.relation);
    table->is_uncertain = !is_known;
    table->facts = std::move(facts);
    return true;
}

Decoder::Fed Decoder::take(const Begin& begin) {
    if (begun_) return Fed::Malformed;
    begun_ = begin;
    for (const std::uint32_t relation : std::exchange(provisional_, {})) {
        tables_.at(relation).facts.reset();
        tables_.at(relation).plan.reset();
    }
    transaction_->begin(begin.xid, begin.commit_lsn, begin.commit_time);
    return Fed::Done;
}

Decoder::Fed Decoder::take(const Commit& commit) {
    if (!begun_ || begun_->commit_lsn != commit.commit_lsn || commit.end_lsn <= commit.commit_lsn)
        return Fed::Malformed;
    (void)transaction_->commit(outbox_, commit.end_lsn);
    begun_.reset();
    return Fed::Done;
}

// It comes before the relation's first change of a session, and again after something of it has
// changed: then the catalogs are read again too.
Decoder::Fed Decoder::take(Relation& relation) {
    note_leaf(relation);
    described_last_ = relation.oid;
    Table& table = tables_[relation.oid];
    table.relation = std::move(relation);
    if (table.has_keyed_leaf) forget_identity(table);
    table.facts.reset();
    table.plan.reset();
    table.as_text.clear();
    return Fed::Done;
}

// A partition that is published as its table comes with two Relations, the table's and then its
// own, before its first change. The changes name the table, and have of old rows what the partition
// logs: nulls where a row of the table would have its values. From there on nothing is taken from
// the table's old rows.
void Decoder::note_leaf(const Relation& leaf) {
    if (!described_last_ || *described_last_ == leaf.oid || leaf.replica_identity == 'f') return;
    Table& table = tables_.at(*described_last_);
    const auto has = [&](const Relation::Column& column) {
        return std::any_of(
            leaf.columns.begin(), leaf.columns.end(),
            [&](const Relation::Column& other) { return other.name == column.name; });
    };
    const auto& columns = table.relation.columns;
    if (table.relation.replica_identity != 'f' || columns.size() != leaf.columns.size() ||
        !std::all_of(columns.begin(), columns.end(), has))
        return;
    table.has_keyed_leaf = true;
    forget_identity(table);
}

void Decoder::forget_identity(Table& table) {
    table.relation.replica_identity = 'n';
    for (Relation::Column& column : table.relation.columns) column.identity = false;
    table.plan.reset();
}

Decoder::Fed Decoder::take(const Type& type) {
    named_types_[type.oid] = {std::string(type.schema), std::string(type.name)};
    return Fed::Done;
}

Decoder::Table* Decoder::table_of(std::uint32_t relation) {
    const auto found = tables_.find(relation);
    return found == tables_.end() ? nullptr : &found->second;
}

Decoder::Fed Decoder::want(const Table& table) {
    wanted_ = {table.relation.oid, begun_ ? begun_->xid : 0, {}};
    for (const Relation::Column& column : table.relation.columns)
        wanted_.types.push_back(column.type);
    return Fed::Wants;
}

Decoder::Fed Decoder::make_ready(Table& table) {
    if (table.plan) return Fed::Done;
    if (!table.facts) return want(table);
    table.plan = make_plan(table.relation, *table.facts, settings_, named_types_, table.as_text);
    if (table.is_uncertain) table.plan->hide_account();
    return Fed::Done;
}

// Rows that were sent before by another route are with others than those who get the changes from
// here on.
void Decoder::describe_once(Table& table) {
    const Plan& plan = *table.plan;
    if (plan.schema != table.described) {
        outbox_.put(plan.schema_message->bytes());
        table.described = plan.schema;
    }
    if (!table.route.empty() && table.route != plan.route)
        (void)transaction_->resync(plan.schema, true);
    table.route = plan.route;
}

// A label may have been added since the catalogs were read. What is no value of its type even so
// makes the column travel as text from here on.
Decoder::RowRead Decoder::not_understood(Table& table, std::size_t column) {
    const bool has_labels = table.plan->column[column].type.labels != nullptr;
    table.plan.reset();
    if (has_labels && !std::exchange(label_was_asked_, true)) {
        table.facts.reset();
        (void)want(table);
        return RowRead::Wants;
    }
    table.as_text.resize(table.relation.columns.size());
    table.as_text[column] = true;
    warnings_.push_back("a value of column " + in_quotes(table.relation.columns[column].name) +
                        " of table " + table_name(table.relation) +
                        " does not read as its type: the column travels as text");
    return RowRead::Again;
}

Decoder::RowRead Decoder::read_row(Table& table, Row& row, const Tuple& tuple, const Row* beside) {
    const Plan& plan = *table.plan;
    row.assign(tuple.size(), {});
    for (std::size_t c = 0; c < tuple.size(); ++c) {
        const Field& field = tuple[c];
        RowCell& cell = row[c];
        // An update leaves most columns as they were: what was read of the new row serves.
        if (beside != nullptr && field.state == Field::State::Text &&
            (*beside)[c].state == RowCell::State::Value && (*beside)[c].text == field.text)
            cell = (*beside)[c];
        else if (!read_cell(cell, field, plan.column[c].type, scratch_))
            return not_understood(table, c);
    }
    return RowRead::Done;
}

Decoder::Fed Decoder::read_rows(Table& table, const Change& change) {
    for (;;) {
        if (const Fed fed = make_ready(table); fed != Fed::Done) return fed;
        const std::size_t columns = table.plan->columns;
        const bool has_new = change.kind != 'D';
        if ((has_new && tuples_.newer.size() != columns) ||
            (change.has_old && tuples_.old.size() != columns))
            return Fed::Malformed;
        if (scratch_.capacity() > kMostKeptScratch) scratch_.release();
        scratch_.truncate(0);
        RowRead read = RowRead::Done;
        if (has_new) read = read_row(table, newer_, tuples_.newer, nullptr);
        if (read == RowRead::Done && change.has_old)
            read = read_row(table, old_, tuples_.old, has_new ? &newer_ : nullptr);
        if (read == RowRead::Done) return Fed::Done;
        if (read == RowRead::Wants) return Fed::Wants;
    }
}

void Decoder::warn_of_key(Table& table, const Row& row) {
    const auto text = account_text(*table.plan, {&row, &scratch_});
    if (!text || text->size() <= wire::kMaxAccountBytes || table.warned_of_key) return;
    table.warned_of_key = true;
    warnings_.push_back("a row of table " + table_name(table.relation) + " has an account key of " +
                        std::to_string(text->size()) + " bytes; a key has at most " +
                        std::to_string(wire::kMaxAccountBytes) +
                        ". Such rows go to the operators' stream");
}

void Decoder::write(Table& table, const Change& change) {
    const Plan& plan = *table.plan;
    const Values newer{&newer_, &scratch_};
    const Values old = change.has_old ? Values{&old_, &scratch_} : Values{};
    wire::ChangeWriter<Transaction, Outbox, Plan, Values> writer(*transaction_, outbox_, plan);
    if (change.kind == 'I')
        writer.insert(newer);
    else if (change.kind == 'U')
        writer.update(newer, old, wire::UpdateAs::Update);
    else
        writer.remove(old);
    if (change.kind != 'D') warn_of_key(table, newer_);
    if (plan.uncertain) (void)transaction_->resync(plan.schema, true);
    if (change.kind == 'I' || plan.knows_old_account()) return;
    // The log does not say whose row this was: whoever has rows of the table takes a snapshot after
    // the transaction. An update too: without the old row it may have moved the row out of another
    // account.
    (void)transaction_->resync(plan.schema, true);
    if (std::exchange(table.warned_of_identity, true)) return;
    warnings_.push_back("table " + table_name(table.relation) +
                        " has a change that does not say whose row it was, as its REPLICA IDENTITY "
                        "leaves the account column out: all subscribers take a new snapshot after "
                        "each such transaction; hint: ALTER TABLE " +
                        table_name(table.relation) + " REPLICA IDENTITY FULL;");
}

Decoder::Fed Decoder::follow_settings(const Table& settings, const Change& change) {
    const auto field = [&](const Tuple& tuple, std::string_view column) {
        return text_of(settings.relation, tuple, column);
    };
    // A row that is deleted, or has become another table's, may be known by its name alone.
    if (change.kind == 'D' || change.has_old) {
        const std::string_view old = field(tuples_.old, "relation_oid");
        std::uint32_t relation = 0;
        (void)std::from_chars(old.data(), old.data() + old.size(), relation);
        if (relation == 0)
            forget_settings();
        else
            set_account_column(relation, "");
    }
    if (change.kind == 'D') return Fed::Done;
    const std::string_view oid = field(tuples_.newer, "relation_oid");
    std::uint32_t relation = 0;
    (void)std::from_chars(oid.data(), oid.data() + oid.size(), relation);
    set_account_column(relation, std::string(field(tuples_.newer, "column_name")));
    return Fed::Done;
}

void Decoder::follow_publications(const Table& state, const Change& change) {
    const auto field = [&](std::string_view column) {
        return text_of(state.relation, tuples_.newer, column);
    };
    if (change.kind != 'D' && field("slot") == options_.slot && field("resync") == "t")
        transaction_->resync_all();
}

// The plans of the table and of its partitions are made again at their next change. All that this
// session has seen of them is resynced there, by describe_once(), and now what it has not seen.
void Decoder::set_account_column(std::uint32_t relation, const std::string& column) {
    const auto known = settings_.find(relation);
    if (known != settings_.end() && known->second == column) return;
    settings_[relation] = column;
    bool is_planned = false;
    for (auto& [oid, table] : tables_) {
        if (!table.plan) continue;
        const auto& settings = table.facts->account_settings;
        const bool concerned = std::any_of(settings.begin(), settings.end(), [&](const auto& each) {
            return each.first == relation;
        });
        if (!concerned) continue;
        table.plan =
            make_plan(table.relation, *table.facts, settings_, named_types_, table.as_text);
        if (oid == relation) is_planned = true;
        describe_once(table);
    }
    if (!is_planned) transaction_->resync_all();
}

// What is set is read again from the catalogs.
void Decoder::forget_settings() {
    settings_.clear();
    for (auto& [oid, table] : tables_) {
        table.facts.reset();
        table.plan.reset();
        table.route.clear();  // the resync of all is enough
    }
    transaction_->resync_all();
}

Decoder::Fed Decoder::take(const Change& change) {
    described_last_.reset();
    Table* table = table_of(change.relation);
    if (table == nullptr || !begun_) return Fed::Malformed;
    const OwnTable own = own_table_of(table->relation);
    if (own == OwnTable::Notes) return Fed::Done;
    if (own == OwnTable::Settings) return follow_settings(*table, change);
    if (own == OwnTable::Publications) {
        follow_publications(*table, change);
        return Fed::Done;
    }
    if (const Fed fed = read_rows(*table, change); fed != Fed::Done) return fed;
    describe_once(*table);
    write(*table, change);
    return Fed::Done;
}

Decoder::Fed Decoder::take(const Truncate& truncate) {
    described_last_.reset();
    if (!begun_) return Fed::Malformed;
    std::vector<Table*> tables;
    for (const std::uint32_t relation : truncate.relations) {
        Table* table = table_of(relation);
        if (table == nullptr) return Fed::Malformed;
        const OwnTable own = own_table_of(table->relation);
        if (own == OwnTable::Settings) forget_settings();
        if (own != OwnTable::None && own != OwnTable::Credentials) continue;
        if (const Fed fed = make_ready(*table); fed != Fed::Done) return fed;
        tables.push_back(table);
    }
    std::uint8_t flags = 0;
    if (truncate.cascade) flags |= wire::kCascade;
    if (truncate.restart_identity) flags |= wire::kRestartIdentity;
    for (Table* table : tables) {
        describe_once(*table);
        transaction_->write_for_all(outbox_, table->plan->names_account(), wire::Op::Truncate,
                                    flags, table->plan->schema);
    }
    return Fed::Done;
}

Decoder::Fed Decoder::take(const Emitted& emitted) {
    if (emitted.transactional != begun_.has_value()) return Fed::Malformed;
    if (!options_.messages) {
        // A message has its ordinal also when nobody gets it: the positions of the rows are the
        // same with either setting.
        if (emitted.transactional) transaction_->skip_ordinal();
        return Fed::Done;
    }
    if (emitted.transactional) {
        wire::write_message(*transaction_, outbox_, emitted.prefix, emitted.content);
        return Fed::Done;
    }
    // It comes between transactions, at the end of its own record: a transaction of its own, in a
    // place that no commit record has.
    if (emitted.lsn == 0) return Fed::Malformed;
    transaction_->begin_message(emitted.lsn - 1);
    wire::write_message(*transaction_, outbox_, emitted.prefix, emitted.content);
    (void)transaction_->commit(outbox_, emitted.lsn);
    return Fed::Done;
}

}  // namespace fatwal::sidecar::pgoutput
