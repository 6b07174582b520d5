#include "column.h"

#include <cstring>

namespace fatwal {

namespace {

using wire::TypeCode;

bool is_citext(HeapTuple type_tuple) {
    auto type = reinterpret_cast<Form_pg_type>(GETSTRUCT(type_tuple));
    return type->typlen == -1 && type->typcategory == TYPCATEGORY_STRING && std::strcmp(NameStr(type->typname), "citext") == 0;
}

TypeCode code_of(Oid type, HeapTuple type_tuple) {
    switch (type) {
        case BOOLOID: return TypeCode::Bool;
        case INT2OID: return TypeCode::Int2;
        case INT4OID: return TypeCode::Int4;
        case INT8OID: return TypeCode::Int8;
        case FLOAT4OID: return TypeCode::Float4;
        case FLOAT8OID: return TypeCode::Float8;
        case NUMERICOID: return TypeCode::Numeric;
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID:
        case NAMEOID: return TypeCode::Text;
        case BYTEAOID: return TypeCode::Bytea;
        case UUIDOID: return TypeCode::Uuid;
        case JSONOID: return TypeCode::Json;
        case JSONBOID: return TypeCode::Jsonb;
        case DATEOID: return TypeCode::Date;
        case TIMEOID: return TypeCode::Time;
        case TIMETZOID: return TypeCode::TimeTz;
        case TIMESTAMPOID: return TypeCode::Timestamp;
        case TIMESTAMPTZOID: return TypeCode::TimestampTz;
        case INTERVALOID: return TypeCode::Interval;
        case INETOID: return TypeCode::Inet;
        case CIDROID: return TypeCode::Cidr;
        case MACADDROID: return TypeCode::MacAddr;
        case OIDOID: return TypeCode::Oid;
        default: break;
    }
    if (reinterpret_cast<Form_pg_type>(GETSTRUCT(type_tuple))->typtype == TYPTYPE_ENUM) return TypeCode::Enum;
    return is_citext(type_tuple) ? TypeCode::Text : TypeCode::Other;
}

ValueType value_type(Oid type, MemoryContext context) {
    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for type %u", type);
    auto form = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
    ValueType result = {};
    result.code = code_of(type, tuple);
    result.by_value = form->typbyval;
    result.align = form->typalign;
    result.length = form->typlen;
    if (result.code == TypeCode::Other) fmgr_info_cxt(form->typoutput, &result.output, context);
    ReleaseSysCache(tuple);
    return result;
}

void put_variable(Buffer& buffer, std::size_t origin, std::size_t slot_at, const void* value, std::size_t length) {
    const auto offset = static_cast<std::uint64_t>(buffer.size() - origin);
    buffer.append(value, length);
    wire::store(buffer.at(slot_at), offset | static_cast<std::uint64_t>(length) << 32U);
}

void put_inet(Buffer& buffer, std::size_t origin, std::size_t slot_at, struct varlena* value) {
    auto* address = reinterpret_cast<inet_struct*>(VARDATA_ANY(value));
    const bool v4 = address->family == PGSQL_AF_INET;
    std::uint8_t bytes[18] = {static_cast<std::uint8_t>(v4 ? 4 : 6), address->bits};
    const std::size_t length = v4 ? 4 : 16;
    std::memcpy(bytes + 2, address->ipaddr, length);
    put_variable(buffer, origin, slot_at, bytes, 2 + length);
}

void put_array(Buffer& buffer, std::size_t origin, std::size_t slot_at, ArrayType* array, const ValueType& element) {
    static const ValueType no_element = {};
    const std::size_t start = buffer.size();
    const int dimensions = ARR_NDIM(array);
    const int count = ArrayGetNItems(dimensions, ARR_DIMS(array));
    buffer.append(static_cast<std::uint32_t>(dimensions));
    buffer.append(static_cast<std::uint32_t>(count));
    for (int d = 0; d < dimensions; ++d) {
        buffer.append(static_cast<std::int32_t>(ARR_DIMS(array)[d]));
        buffer.append(static_cast<std::int32_t>(ARR_LBOUND(array)[d]));
    }
    const std::size_t words = (static_cast<std::size_t>(count) + 63) / 64;
    const std::size_t nulls_at = buffer.extend_zeroed(8 * words + 8 * static_cast<std::size_t>(count));
    const std::size_t slots_at = nulls_at + 8 * words;

    const bits8* present = ARR_NULLBITMAP(array);
    const char* at = ARR_DATA_PTR(array);
    for (int i = 0; i < count; ++i) {
        if (present != nullptr && (present[i / 8] & (1 << (i % 8))) == 0) {
            std::byte* word = buffer.at(nulls_at + 8 * (static_cast<std::size_t>(i) / 64));
            wire::store(word, wire::load<std::uint64_t>(word) | std::uint64_t{1} << (i % 64));
            continue;
        }
        at = reinterpret_cast<const char*>(att_align_pointer(at, element.align, element.length, at));
        const Datum value = fetch_att(at, element.by_value, element.length);
        encode_value(buffer, start, slots_at + 8 * static_cast<std::size_t>(i), value, element, no_element);
        at = att_addlength_pointer(at, element.length, at);
    }
    const auto offset = static_cast<std::uint64_t>(start - origin);
    wire::store(buffer.at(slot_at), offset | static_cast<std::uint64_t>(buffer.size() - start) << 32U);
}

}  // namespace

ResolvedType resolve_type(Oid type_oid, MemoryContext context) {
    ResolvedType resolved = {};
    resolved.base = getBaseType(type_oid);
    resolved.type = value_type(resolved.base, context);
    const Oid element = get_element_type(resolved.base);
    if (!OidIsValid(element)) return resolved;
    resolved.element = getBaseType(element);
    resolved.element_type = value_type(resolved.element, context);
    // An array of an array-valued domain has no place in the format: it travels as text.
    if (OidIsValid(get_element_type(resolved.element))) {
        resolved.element = InvalidOid;
        resolved.element_type = {};
    } else {
        resolved.type.code = TypeCode::Array;
    }
    return resolved;
}

void encode_value(Buffer& buffer, std::size_t origin, std::size_t slot_at, Datum value, const ValueType& type, const ValueType& element) {
    switch (type.code) {
        case TypeCode::Bool: wire::store(buffer.at(slot_at), std::uint64_t{DatumGetBool(value)}); return;
        case TypeCode::Int2: wire::store(buffer.at(slot_at), std::int64_t{DatumGetInt16(value)}); return;
        case TypeCode::Int4:
        case TypeCode::Date: wire::store(buffer.at(slot_at), std::int64_t{DatumGetInt32(value)}); return;
        case TypeCode::Int8:
        case TypeCode::Time:
        case TypeCode::Timestamp:
        case TypeCode::TimestampTz: wire::store(buffer.at(slot_at), static_cast<std::int64_t>(DatumGetInt64(value))); return;
        case TypeCode::Float4:
        case TypeCode::Oid:
        case TypeCode::Enum: wire::store(buffer.at(slot_at), std::uint64_t{DatumGetUInt32(value)}); return;
        case TypeCode::Float8: wire::store(buffer.at(slot_at), static_cast<std::uint64_t>(DatumGetInt64(value))); return;
        case TypeCode::MacAddr: std::memcpy(buffer.at(slot_at), DatumGetPointer(value), 6); return;
        case TypeCode::Uuid: put_variable(buffer, origin, slot_at, DatumGetPointer(value), UUID_LEN); return;
        case TypeCode::TimeTz: put_variable(buffer, origin, slot_at, DatumGetPointer(value), 12); return;
        case TypeCode::Interval: put_variable(buffer, origin, slot_at, DatumGetPointer(value), 16); return;
        case TypeCode::Inet:
        case TypeCode::Cidr: put_inet(buffer, origin, slot_at, PG_DETOAST_DATUM_PACKED(value)); return;
        case TypeCode::Array: put_array(buffer, origin, slot_at, DatumGetArrayTypeP(value), element); return;
        case TypeCode::Text:
            if (type.length != -1) {  // name
                put_variable(buffer, origin, slot_at, DatumGetPointer(value), std::strlen(DatumGetCString(value)));
                return;
            }
            [[fallthrough]];
        case TypeCode::Numeric:
        case TypeCode::Bytea:
        case TypeCode::Json:
        case TypeCode::Jsonb: {
            struct varlena* packed = PG_DETOAST_DATUM_PACKED(value);
            put_variable(buffer, origin, slot_at, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
            return;
        }
        case TypeCode::Other: {
            const char* text = OutputFunctionCall(const_cast<FmgrInfo*>(&type.output), value);
            put_variable(buffer, origin, slot_at, text, std::strlen(text));
            return;
        }
    }
}

bool same_value(Datum a, Datum b, const ValueType& type) {
    if (type.by_value) return a == b;
    if (type.length > 0) return std::memcmp(DatumGetPointer(a), DatumGetPointer(b), static_cast<std::size_t>(type.length)) == 0;
    if (type.length == -2) return std::strcmp(DatumGetCString(a), DatumGetCString(b)) == 0;

    auto* x = reinterpret_cast<struct varlena*>(DatumGetPointer(a));
    auto* y = reinterpret_cast<struct varlena*>(DatumGetPointer(b));
    // Compressed forms of the same value by the same method are the same bytes; other pairs need the value itself.
    if (VARATT_IS_COMPRESSED(x) && VARATT_IS_COMPRESSED(y) && VARSIZE_ANY(x) == VARSIZE_ANY(y) && std::memcmp(x, y, VARSIZE_ANY(x)) == 0)
        return true;
    x = PG_DETOAST_DATUM_PACKED(a);
    y = PG_DETOAST_DATUM_PACKED(b);
    return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) && std::memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

}  // namespace fatwal
