#include "extension/schema_message.h"

#include "fatwal/wire/schema.h"

namespace fatwal::plugin {

namespace {

constexpr std::string_view kCatalogPrefix = "pg_catalog.";

std::string_view type_name(Oid type) {
    std::string_view name = format_type_be_qualified(type);
    if (name.starts_with(kCatalogPrefix)) name.remove_prefix(kCatalogPrefix.size());
    return name;
}

int by_sort_order(const ListCell* a, const ListCell* b) {
    const float4 x =
        reinterpret_cast<Form_pg_enum>(GETSTRUCT(static_cast<HeapTuple>(lfirst(a))))->enumsortorder;
    const float4 y =
        reinterpret_cast<Form_pg_enum>(GETSTRUCT(static_cast<HeapTuple>(lfirst(b))))->enumsortorder;
    return x < y ? -1 : static_cast<int>(x > y);
}

void append_labels(Buffer& buffer, Oid enum_type) {
    CatCList* labels = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(enum_type));
    List* sorted = NIL;
    for (int i = 0; i < labels->n_members; ++i)
        sorted = lappend(sorted, &labels->members[i]->tuple);
    list_sort(sorted, by_sort_order);
    buffer.append(static_cast<std::uint16_t>(labels->n_members));
    ListCell* cell = nullptr;
    foreach (cell, sorted) {
        auto label =
            reinterpret_cast<Form_pg_enum>(GETSTRUCT(static_cast<HeapTuple>(lfirst(cell))));
        buffer.append(static_cast<std::uint32_t>(label->oid));
        buffer.append_str(NameStr(label->enumlabel));
    }
    ReleaseCatCacheList(labels);
}

// The attributes of the primary key, offset as bitmaps of attributes are.
Bitmapset* primary_key_attributes(Relation relation) {
    list_free(RelationGetIndexList(relation));
    const Oid index_oid = primary_key_index(relation);
    if (!OidIsValid(index_oid)) return nullptr;
    Relation index = RelationIdGetRelation(index_oid);
    if (!RelationIsValid(index)) return nullptr;
    Bitmapset* attributes = nullptr;
    for (int i = 0; i < index->rd_index->indnkeyatts; ++i)
        attributes = bms_add_member(
            attributes, index->rd_index->indkey.values[i] - FirstLowInvalidHeapAttributeNumber);
    RelationClose(index);
    return attributes;
}

std::uint8_t column_flags(const Column& column, Form_pg_attribute attribute,
                          Bitmapset* primary_key) {
    std::uint8_t flags = 0;
    if (column.identity) flags |= wire::kIdentity;
    if (attribute->attnotnull) flags |= wire::kNotNull;
    if (bms_is_member(attribute->attnum - FirstLowInvalidHeapAttributeNumber, primary_key))
        flags |= wire::kPrimaryKey;
    if (attribute->attgenerated != '\0') flags |= wire::kGenerated;
    return flags;
}

void append_column(Buffer& buffer, const Column& column, Form_pg_attribute attribute,
                   Bitmapset* primary_key) {
    const Oid base = getBaseType(attribute->atttypid);
    const bool is_array = column.type.code == wire::TypeCode::Array;
    const Oid scalar = is_array ? getBaseType(get_element_type(base)) : base;
    buffer.append(static_cast<std::uint8_t>(column.type.code));
    buffer.append(static_cast<std::uint8_t>(column.element.code));
    buffer.append(column_flags(column, attribute, primary_key));
    buffer.append(std::uint8_t{0});
    buffer.append(static_cast<std::uint32_t>(attribute->atttypid));
    buffer.append(static_cast<std::uint32_t>(scalar));
    buffer.append(static_cast<std::int32_t>(attribute->atttypmod));
    buffer.append(static_cast<std::int16_t>(attribute->attnum));
    buffer.append_str(NameStr(attribute->attname));
    buffer.append_str(type_name(attribute->atttypid));
    const bool is_enum =
        (is_array ? column.element.code : column.type.code) == wire::TypeCode::Enum;
    if (is_enum)
        append_labels(buffer, scalar);
    else
        buffer.append(std::uint16_t{0});
}

}  // namespace

void build_schema_message(Plan* plan, Relation shown) {
    Buffer buffer;
    buffer.init(plan->context, 1024);
    buffer.extend_zeroed(wire::kSchemaHeaderBytes);
    buffer.append_str(get_namespace_name(RelationGetNamespace(shown)));
    buffer.append_str(RelationGetRelationName(shown));
    Bitmapset* primary_key = primary_key_attributes(shown);
    TupleDesc columns = RelationGetDescr(shown);
    for (std::uint16_t c = 0; c < plan->columns; ++c)
        append_column(buffer, plan->column[c], TupleDescAttr(columns, plan->column[c].shown),
                      primary_key);
    buffer.pad8(0);

    std::byte* header = buffer.at(0);
    wire::store(header + wire::message_at::kKind, wire::kSchemaKind);
    wire::store(header + wire::message_at::kVersion, wire::kVersion);
    wire::store(header + wire::schema_at::kColumns, plan->columns);
    wire::store(header + wire::schema_at::kRelation,
                static_cast<std::uint32_t>(plan->published.as_relation));
    wire::store(header + wire::schema_at::kLength, static_cast<std::uint32_t>(buffer.size()));
    wire::store(header + wire::schema_at::kReplicaIdentity, plan->replica_identity);
    wire::store(header + wire::schema_at::kAccountColumn, plan->account_column);
    plan->schema.relation = plan->published.as_relation;
    plan->schema.fingerprint = wire::fingerprint(buffer.bytes().subspan(wire::kFingerprintFrom));
    wire::store(buffer.at(wire::schema_at::kFingerprint), plan->schema.fingerprint);
    plan->schema_message = buffer.bytes();
}

}  // namespace fatwal::plugin
