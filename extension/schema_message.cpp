#include "extension/schema_message.h"

#include "wire/encoding/schema_writer.h"

namespace fatwal::plugin {

namespace {

using SchemaWriter = wire::SchemaWriter<ServerMemory>;

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

void write_labels(SchemaWriter& writer, CatCList* labels) {
    List* sorted = NIL;
    for (int i = 0; i < labels->n_members; ++i)
        sorted = lappend(sorted, &labels->members[i]->tuple);
    list_sort(sorted, by_sort_order);
    ListCell* cell = nullptr;
    foreach (cell, sorted) {
        auto label =
            reinterpret_cast<Form_pg_enum>(GETSTRUCT(static_cast<HeapTuple>(lfirst(cell))));
        writer.label(label->oid, NameStr(label->enumlabel));
    }
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

void write_column(SchemaWriter& writer, const Column& column, Form_pg_attribute attribute,
                  Bitmapset* primary_key) {
    const Oid base = getBaseType(attribute->atttypid);
    const bool is_array = column.type.code == wire::TypeCode::Array;
    const Oid scalar = is_array ? getBaseType(get_element_type(base)) : base;
    const wire::ColumnView view = {column.type.code,
                                   column.element.code,
                                   column_flags(column, attribute, primary_key),
                                   attribute->atttypid,
                                   scalar,
                                   attribute->atttypmod,
                                   attribute->attnum,
                                   NameStr(attribute->attname),
                                   type_name(attribute->atttypid),
                                   {}};
    const bool is_enum =
        (is_array ? column.element.code : column.type.code) == wire::TypeCode::Enum;
    if (!is_enum) return writer.column(view, 0);
    CatCList* labels = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(scalar));
    writer.column(view, static_cast<std::size_t>(labels->n_members));
    write_labels(writer, labels);
    ReleaseCatCacheList(labels);
}

}  // namespace

void build_schema_message(Plan* plan, Relation shown) {
    Buffer buffer;
    buffer.init({plan->context}, 1024);
    SchemaWriter writer(buffer, get_namespace_name(RelationGetNamespace(shown)),
                        RelationGetRelationName(shown));
    Bitmapset* primary_key = primary_key_attributes(shown);
    TupleDesc columns = RelationGetDescr(shown);
    for (std::uint16_t c = 0; c < plan->columns; ++c)
        write_column(writer, plan->column[c], TupleDescAttr(columns, plan->column[c].shown),
                     primary_key);
    plan->schema =
        writer.finish(plan->published.as_relation, plan->replica_identity, plan->account_column);
    plan->schema_message = buffer.bytes();
}

}  // namespace fatwal::plugin
