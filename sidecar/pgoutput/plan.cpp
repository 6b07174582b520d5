#include "sidecar/pgoutput/plan.h"

#include <algorithm>
#include <string_view>

#include "wire/encoding/schema_writer.h"

namespace fatwal::sidecar::pgoutput {

namespace {

using wire::TypeCode;

constexpr std::string_view kDefaultAccountColumn = "account_id";
constexpr std::uint32_t kNameOid = 19;
constexpr std::uint32_t kInt2VectorOid = 22;
constexpr std::uint32_t kOidVectorOid = 30;
constexpr std::uint32_t kBpcharOid = 1042;
constexpr std::size_t kInitialSchemaBytes = 1024;

struct BuiltIn {
    std::string_view name;
    std::uint32_t oid;
    TypeCode code;
};
#define FATWAL_BUILT_IN(name, oid, number, code) BuiltIn{#name, number, TypeCode::code},
constexpr BuiltIn kBuiltIn[] = {FATWAL_POSTGRES_TYPES(FATWAL_BUILT_IN)};
#undef FATWAL_BUILT_IN

const BuiltIn* built_in(std::uint32_t oid) {
    const auto* found = std::find_if(std::begin(kBuiltIn), std::end(kBuiltIn),
                                     [&](const BuiltIn& type) { return type.oid == oid; });
    return found == std::end(kBuiltIn) ? nullptr : found;
}

const BuiltIn* built_in(std::string_view name) {
    const auto* found = std::find_if(std::begin(kBuiltIn), std::end(kBuiltIn),
                                     [&](const BuiltIn& type) { return type.name == name; });
    return found == std::end(kBuiltIn) ? nullptr : found;
}

// jsonb comes as text, so it is declared as json, which travels as its text.
TypeCode as_sent(TypeCode code) { return code == TypeCode::Jsonb ? TypeCode::Json : code; }

// How the columns of one relation travel.
class Types {
public:
    Types(const RelationFacts& facts, const NamedTypes& named) : facts_(facts), named_(named) {}

    struct Resolved {
        std::uint32_t base = 0;    // below the domains
        std::uint32_t scalar = 0;  // of an array, its elements' below their domains; else the base
        TypeCode code = TypeCode::Other;
        TypeCode element = TypeCode::Other;
        char delimiter = ',';
    };
    Resolved resolve(std::uint32_t oid) {
        Resolved resolved;
        resolved.base = resolved.scalar = base_of(oid);
        const TypeRow* row = row_of(resolved.base);
        const std::uint32_t element = row == nullptr ? 0 : row->element;
        if (element == 0) {
            resolved.code = code_of(resolved.base);
            return resolved;
        }
        const std::uint32_t below = base_of(element);
        const TypeRow* element_row = row_of(below);
        // An array of an array-valued domain has no place in the format: it travels as text. So
        // does one of a type that is not found, as its delimiter is not known.
        if (element_row == nullptr || element_row->element != 0) return resolved;
        resolved.scalar = below;
        resolved.code = TypeCode::Array;
        resolved.element = code_of(below);
        resolved.delimiter = element_row->delimiter;
        return resolved;
    }
    [[nodiscard]] const TypeRow* row_of(std::uint32_t oid) const {
        const auto found = facts_.types.find(oid);
        return found == facts_.types.end() ? nullptr : &found->second;
    }
    // As format_type() prints it; of a type that is not found what is known of it.
    [[nodiscard]] std::string name_of(std::uint32_t oid) const {
        if (const TypeRow* row = row_of(oid)) return row->full_name;
        const auto named = named_.find(oid);
        if (named == named_.end()) return "oid " + std::to_string(oid);
        return (named->second.schema.empty() ? "" : named->second.schema + '.') +
               named->second.name;
    }

private:
    // Domains are a handful deep; a row cannot be its own base.
    [[nodiscard]] std::uint32_t base_of(std::uint32_t oid) const {
        for (int depth = 0; depth < 100; ++depth) {
            const TypeRow* row = row_of(oid);
            if (row == nullptr) return base_by_name(oid);
            if (row->kind != 'd' || row->base == 0) return oid;
            oid = row->base;
        }
        return oid;
    }
    // The catalogs of now have no such type. A Type message names the base of a domain.
    [[nodiscard]] std::uint32_t base_by_name(std::uint32_t oid) const {
        const auto named = named_.find(oid);
        if (named == named_.end() || !named->second.schema.empty()) return oid;
        const BuiltIn* type = built_in(named->second.name);
        return type == nullptr ? oid : type->oid;
    }
    TypeCode code_of(std::uint32_t base) {
        if (const BuiltIn* type = built_in(base)) return as_sent(type->code);
        const TypeRow* row = row_of(base);
        if (row == nullptr) return TypeCode::Other;
        if (row->kind == 'e') return labels_fit(*row) ? TypeCode::Enum : TypeCode::Other;
        const bool is_citext = row->length == -1 && row->category == 'S' && row->name == "citext";
        return is_citext ? TypeCode::Text : TypeCode::Other;
    }
    bool labels_fit(const TypeRow& row) {
        std::size_t bytes = 0;
        for (const auto& [oid, label] : row.labels)
            bytes += wire::kLabelBytesBesideName + label.size();
        if (row.labels.size() > wire::kMaxLabels || label_bytes_ + bytes > wire::kMaxLabelBytes)
            return false;
        label_bytes_ += bytes;
        return true;
    }

    const RelationFacts& facts_;
    const NamedTypes& named_;
    std::size_t label_bytes_ = 0;
};

// The column that names the account; empty: none. Where the message lacks it, either a column list
// leaves it out, or the table had other columns then than the catalogs say now (`uncertain`): then
// no other column is taken for it, as that might show an account the rows of another.
struct AccountColumn {
    std::string name;
    bool listed = false;
    bool uncertain = false;
};

AccountColumn find_account_column(const Relation& relation, const RelationFacts& facts,
                                  const AccountSettings& streamed) {
    std::string name;
    for (const auto& [table, setting] : facts.account_settings) {
        const auto newer = streamed.find(table);
        name = newer == streamed.end() ? setting : newer->second;
        if (!name.empty()) break;
    }
    if (name.empty()) name = kDefaultAccountColumn;
    const bool listed =
        std::any_of(relation.columns.begin(), relation.columns.end(),
                    [&](const Relation::Column& column) { return column.name == name; });
    if (listed) return {std::move(name), true, false};
    // Without a column of that name in the catalogs either, the table has no account.
    if (facts.columns.count(name) == 0) return {};
    const bool agrees = std::all_of(
        relation.columns.begin(), relation.columns.end(),
        [&](const Relation::Column& column) { return facts.columns.count(column.name) != 0; });
    return {std::move(name), false, !agrees};
}

AccountType account_type_of(std::uint32_t base, TypeCode code) {
    switch (code) {
        case TypeCode::Uuid:
        case TypeCode::Int2:
        case TypeCode::Int4:
        case TypeCode::Int8: return AccountType::Text;
        case TypeCode::Text:
            if (base == kBpcharOid) return AccountType::BlankPadded;
            return base == kNameOid ? AccountType::None : AccountType::Text;
        default: return AccountType::None;
    }
}

// Fills the column's part of the plan and writes it into the schema message.
void add_column(Plan& plan, Types& types, const RelationFacts& facts,
                const Relation::Column& column, const Types::Resolved& resolved,
                wire::SchemaWriter<HeapMemory>& writer) {
    const auto row = facts.columns.find(column.name);
    const ColumnRow known = row == facts.columns.end() ? ColumnRow{} : row->second;
    std::uint8_t flags = 0;
    if (column.identity) flags |= wire::kIdentity;
    if (known.not_null) flags |= wire::kNotNull;
    if (known.primary_key) flags |= wire::kPrimaryKey;
    if (known.generated) flags |= wire::kGenerated;
    const TypeRow* enum_type = resolved.code == TypeCode::Enum || resolved.element == TypeCode::Enum
                                   ? types.row_of(resolved.scalar)
                                   : nullptr;
    wire::ColumnView view;
    view.code = resolved.code;
    view.element = resolved.element;
    view.flags = flags;
    view.type_oid = column.type;
    view.base_type_oid = resolved.scalar;
    view.type_modifier = column.modifier;
    view.attribute_number = known.attribute_number;
    view.name = column.name;
    const std::string type_name = types.name_of(column.type);
    view.type_name = type_name;
    writer.column(view, enum_type == nullptr ? 0 : enum_type->labels.size());
    PlanColumn& made = plan.storage.emplace_back();
    made.field = plan.storage.size() - 1;
    made.identity = column.identity;
    made.type = {resolved.code, resolved.element, resolved.delimiter,
                 resolved.base == kInt2VectorOid || resolved.base == kOidVectorOid, nullptr};
    if (enum_type == nullptr) return;
    Labels& labels = plan.labels[resolved.scalar];
    for (const auto& [oid, label] : enum_type->labels) {
        writer.label(oid, label);
        labels.emplace(label, oid);
    }
    made.type.labels = &labels;
}

}  // namespace

std::unique_ptr<Plan> make_plan(const Relation& relation, const RelationFacts& facts,
                                const AccountSettings& streamed, const NamedTypes& named,
                                const std::vector<bool>& as_text) {
    auto plan = std::make_unique<Plan>();
    plan->replica_identity = relation.replica_identity;
    plan->schema_message = std::make_unique<HeapBuffer>(kInitialSchemaBytes);
    wire::SchemaWriter<HeapMemory> writer(*plan->schema_message, relation.schema, relation.name);
    Types types(facts, named);
    const AccountColumn account = own_table_of(relation) == OwnTable::None
                                      ? find_account_column(relation, facts, streamed)
                                      : AccountColumn{};
    plan->storage.reserve(relation.columns.size());
    for (std::size_t c = 0; c < relation.columns.size(); ++c) {
        const Relation::Column& column = relation.columns[c];
        Types::Resolved resolved = types.resolve(column.type);
        if (c < as_text.size() && as_text[c]) {
            resolved.code = resolved.element = TypeCode::Other;
            resolved.scalar = resolved.base;
        }
        add_column(*plan, types, facts, column, resolved, writer);
        if (!account.listed || column.name != account.name) continue;
        plan->account_type = account_type_of(resolved.base, resolved.code);
        if (plan->names_account()) plan->account_column = static_cast<std::int16_t>(c);
    }
    plan->unrouted = !account.listed && !account.name.empty();
    plan->uncertain = account.uncertain;
    plan->columns = static_cast<std::uint16_t>(plan->storage.size());
    plan->column = plan->storage.data();
    plan->schema = writer.finish(relation.oid, relation.replica_identity, plan->account_column);
    plan->route = relation.schema + '.' + relation.name + '.' +
                  (plan->names_account() ? account.name : std::string()) +
                  (plan->unrouted ? "!" : "");
    return plan;
}

OwnTable own_table_of(const Relation& relation) {
    if (relation.schema != "fatwal") return OwnTable::None;
    if (relation.name == "subscriber" || relation.name == "slot") return OwnTable::Notes;
    if (relation.name == "credential" || relation.name == "credential_grant")
        return OwnTable::Credentials;
    if (relation.name == "account_setting") return OwnTable::Settings;
    if (relation.name == "publication_state") return OwnTable::Publications;
    return OwnTable::None;
}

}  // namespace fatwal::sidecar::pgoutput
