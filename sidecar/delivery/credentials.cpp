#include "sidecar/delivery/credentials.h"

#include <limits>
#include <utility>

#include "fatwal/wire/invariant.h"

namespace fatwal::sidecar {

namespace {

// Relations that are remembered as other tables; each costs a look at its schema once.
constexpr std::size_t kMostTables = 4096;

// The cells of a row by their columns' names, of the columns that these tables have.
struct Row {
    std::map<std::string_view, wire::Cell> cells;

    template <class AnyRow>
    Row(const wire::SchemaView& schema, const AnyRow& row) {
        schema.for_each_column([&](std::uint16_t index, const wire::ColumnView& column) {
            cells[column.name] = row.cell(index, column.code);
        });
    }
    [[nodiscard]] std::optional<std::string> text(std::string_view column) const {
        const auto found = cells.find(column);
        if (found == cells.end() || !found->second.has_value()) return std::nullopt;
        return std::string(wire::as_text(found->second.bytes));
    }
};

std::optional<CredentialKey> key_of(const Row& row) {
    const auto name = row.text("name");
    const auto public_key = row.text("public_key");
    const auto expires = row.cells.find("expires_at");
    if (!name || !public_key || expires == row.cells.end()) return std::nullopt;
    CredentialKey key{*name, *public_key, {}};
    const wire::Cell& cell = expires->second;
    if (cell.has_value()) {
        const auto at = static_cast<wire::Microseconds>(cell.slot);
        if (at != std::numeric_limits<wire::Microseconds>::max()) key.expires_at = at;
    } else if (cell.state != wire::Cell::State::Null) {
        return std::nullopt;
    }
    return key;
}

std::optional<CredentialGrant> grant_of(const Row& row) {
    const auto name = row.text("name");
    const auto scope = row.text("scope");
    const auto account = row.text("account");
    if (!name || !scope || !account) return std::nullopt;
    return credential_grant(*name, *scope, *account);
}

}  // namespace

void Credentials::begin(const CredentialTables& tables, wire::Lsn followed) {
    clear();
    followed_ = followed;
    current_ = followed == 0;
    for (const CredentialKey& key : tables.keys) add(key);
    grants_.insert(tables.grants.begin(), tables.grants.end());
    sees_ = tables.sees;
    read_at_ = tables.read_at;
    known_ = true;
}

void Credentials::clear() {
    keys_.clear();
    grants_.clear();
    tables_.clear();
    known_ = current_ = false;
}

void Credentials::add(CredentialKey key) {
    std::string public_key = key.public_key;
    keys_.insert_or_assign(std::move(public_key), std::move(key));
}

Credentials::Table Credentials::table_of(wire::SchemaId id, const Schemas& schemas) {
    const auto found = tables_.find(id);
    if (found != tables_.end()) return found->second;
    const std::string* message = schemas.find(id);
    const auto schema =
        message == nullptr ? std::nullopt : wire::SchemaView::parse(wire::as_bytes(*message));
    if (!schema) return Table::Other;  // asked again when its schema is there
    Table table = Table::Other;
    if (schema->schema() == "fatwal" && schema->table() == "credential") table = Table::Keys;
    if (schema->schema() == "fatwal" && schema->table() == "credential_grant")
        table = Table::Grants;
    if (tables_.size() >= kMostTables) tables_.clear();
    tables_.emplace(id, table);
    return table;
}

Credentials::Applied Credentials::apply(const wire::FrameView& header, const Schemas& schemas) {
    // They have no account column, so their rows go to the operators; a truncate goes to everyone.
    const auto kind = header.account().kind;
    if (!known_ || (kind != wire::AccountKind::Operators && kind != wire::AccountKind::Everyone))
        return Applied::Nothing;
    bool concerns = false;
    for (std::uint16_t i = 0; i < header.relation_count(); ++i)
        concerns = concerns || table_of(header.relation(i), schemas) != Table::Other;
    if (!concerns) return Applied::Nothing;
    if (header.commit_lsn() < read_at_ && sees_.sees(header.xid())) return Applied::Nothing;
    const auto frame = wire::FrameView::parse(header.bytes());
    if (!frame) return Applied::Unreadable;
    Applied applied = Applied::Nothing;
    frame->for_each_record([&](const wire::RecordView& record) {
        if (record.relation() == wire::kNoRelation) return true;
        const wire::SchemaId id = frame->relation(record.relation());
        const Table table = table_of(id, schemas);
        if (table == Table::Other) return true;
        const auto schema = wire::SchemaView::parse(wire::as_bytes(*schemas.find(id)));
        FATWAL_INVARIANT(schema.has_value(), "table_of() has read this schema");
        const bool is_read = apply(record, table, *schema);
        applied = is_read ? Applied::Changed : Applied::Unreadable;
        return is_read;
    });
    return applied;
}

bool Credentials::apply(const wire::RecordView& record, Table table,
                        const wire::SchemaView& schema) {
    if (record.op() == wire::Op::Truncate) {
        if (table == Table::Keys) keys_.clear();
        if (table == Table::Grants) grants_.clear();
        return true;
    }
    if (record.op() == wire::Op::Resync) return false;
    const auto before = record.old_row();
    const auto after = record.new_row();
    // The old row has the primary key, which is all that takes it away.
    if (record.op() == wire::Op::Delete && !before) return false;
    if (before) {
        const Row row(schema, *before);
        if (table == Table::Keys) {
            const auto public_key = row.text("public_key");
            if (!public_key) return false;
            keys_.erase(*public_key);
        } else {
            const auto grant = grant_of(row);
            if (!grant) return false;
            grants_.erase(*grant);
        }
    }
    if (record.op() == wire::Op::Delete) return true;
    if (!after) return false;
    const Row row(schema, *after);
    // An update without an old row has left its key alone, so the row is known. If it is not, the
    // table's replica identity hides what it was, and that would stay.
    const bool is_known_row = record.op() == wire::Op::Update && !before;
    if (table == Table::Keys) {
        auto key = key_of(row);
        if (!key) return false;
        const auto known = keys_.find(key->public_key);
        if (is_known_row && (known == keys_.end() || known->second.name != key->name)) return false;
        add(std::move(*key));
        return true;
    }
    auto grant = grant_of(row);
    if (!grant || (is_known_row && !grants_.contains(*grant))) return false;
    grants_.insert(std::move(*grant));
    return true;
}

const std::string* Credentials::name_of(std::string_view public_key, wire::Microseconds now) const {
    const auto found = keys_.find(public_key);
    if (found == keys_.end()) return nullptr;
    const auto& expires = found->second.expires_at;
    return expires && *expires <= now ? nullptr : &found->second.name;
}

bool Credentials::holds(const Caller& caller, wire::Microseconds now) const {
    if (caller.is_local()) return true;
    const std::string* name = name_of(caller.public_key, now);
    return name != nullptr && *name == caller.credential;
}

bool Credentials::may_follow(const Caller& caller, const wire::AccountKey& account) const {
    if (account.kind == wire::AccountKind::Operators) return operates(caller);
    return caller.is_local() || has(caller.credential, GrantScope::EveryAccount, {}) ||
           has(caller.credential, GrantScope::Account, account);
}

bool Credentials::operates(const Caller& caller) const {
    return caller.is_local() || has(caller.credential, GrantScope::Operators, {});
}

}  // namespace fatwal::sidecar
