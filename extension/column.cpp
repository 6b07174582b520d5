#include "extension/column.h"

#include <cstring>

#include "wire/encoding/schema_writer.h"

namespace fatwal::plugin {

namespace {

using wire::TypeCode;

bool is_citext(HeapTuple type_tuple) {
    auto type = reinterpret_cast<Form_pg_type>(GETSTRUCT(type_tuple));
    return type->typlen == -1 && type->typcategory == TYPCATEGORY_STRING &&
           std::strcmp(NameStr(type->typname), "citext") == 0;
}

#define FATWAL_SAME_NUMBER(name, oid, number, code) static_assert(oid##OID == (number));
FATWAL_POSTGRES_TYPES(FATWAL_SAME_NUMBER)
#undef FATWAL_SAME_NUMBER

TypeCode code_of(Oid type, HeapTuple type_tuple) {
    switch (type) {
#define FATWAL_CODE_OF_OID(name, oid, number, code) \
    case oid##OID: return TypeCode::code;
        FATWAL_POSTGRES_TYPES(FATWAL_CODE_OF_OID)
#undef FATWAL_CODE_OF_OID
        default: break;
    }
    if (reinterpret_cast<Form_pg_type>(GETSTRUCT(type_tuple))->typtype == TYPTYPE_ENUM)
        return TypeCode::Enum;
    return is_citext(type_tuple) ? TypeCode::Text : TypeCode::Other;
}

bool labels_fit(Oid enum_type, std::size_t* label_bytes) {
    CatCList* labels = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(enum_type));
    std::size_t bytes = 0;
    for (int i = 0; i < labels->n_members; ++i) {
        auto label = reinterpret_cast<Form_pg_enum>(GETSTRUCT(&labels->members[i]->tuple));
        bytes += wire::kLabelBytesBesideName + std::strlen(NameStr(label->enumlabel));
    }
    const bool fit = static_cast<std::size_t>(labels->n_members) <= wire::kMaxLabels &&
                     *label_bytes + bytes <= wire::kMaxLabelBytes;
    ReleaseCatCacheList(labels);
    if (fit) *label_bytes += bytes;
    return fit;
}

ValueType value_type(Oid type, MemoryContext context, std::size_t* label_bytes) {
    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for type %u", type);
    auto form = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
    ValueType result = {};
    result.code = code_of(type, tuple);
    if (result.code == TypeCode::Enum && !labels_fit(type, label_bytes))
        result.code = TypeCode::Other;
    result.by_value = form->typbyval;
    result.align = form->typalign;
    result.length = form->typlen;
    if (result.code == TypeCode::Other) fmgr_info_cxt(form->typoutput, &result.output, context);
    ReleaseSysCache(tuple);
    return result;
}

[[nodiscard]] bool put_inet(const Target& target, std::size_t slot_at, struct varlena* value) {
    auto* address = reinterpret_cast<inet_struct*>(VARDATA_ANY(value));
    const bool v4 = address->family == PGSQL_AF_INET;
    std::uint8_t bytes[18] = {static_cast<std::uint8_t>(v4 ? 4 : 6), address->bits};
    const std::size_t length = v4 ? 4 : 16;
    std::memcpy(bytes + 2, address->ipaddr, length);
    return target.put_variable(slot_at, bytes, 2 + length);
}

[[nodiscard]] bool put_array(const Target& target, std::size_t slot_at, ArrayType* array,
                             const ValueType& element) {
    static const ValueType no_element = {};
    Buffer& buffer = target.buffer;
    const std::size_t start = buffer.size();
    const int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
    const int dimensions = count == 0 ? 0 : ARR_NDIM(array);  // an int2vector may have one of none
    const std::size_t words = (static_cast<std::size_t>(count) + 63) / 64;
    const std::size_t slot_bytes = 8 * words + 8 * static_cast<std::size_t>(count);
    if (!target.has_room(8 + 8 * static_cast<std::size_t>(dimensions) + slot_bytes)) return false;
    buffer.append(static_cast<std::uint32_t>(dimensions));
    buffer.append(static_cast<std::uint32_t>(count));
    for (int d = 0; d < dimensions; ++d) {
        buffer.append(static_cast<std::int32_t>(ARR_DIMS(array)[d]));
        buffer.append(static_cast<std::int32_t>(ARR_LBOUND(array)[d]));
    }
    const std::size_t nulls_at = buffer.extend_zeroed(slot_bytes);
    const std::size_t slots_at = nulls_at + 8 * words;

    const Target elements = {buffer, start, target.limit};
    const bits8* present = ARR_NULLBITMAP(array);
    const char* at = ARR_DATA_PTR(array);
    for (int i = 0; i < count; ++i) {
        if (present != nullptr && (present[i / 8] & (1 << (i % 8))) == 0) {
            std::byte* word = buffer.at(nulls_at + 8 * (static_cast<std::size_t>(i) / 64));
            wire::store(word, wire::load<std::uint64_t>(word) | std::uint64_t{1} << (i % 64));
            continue;
        }
        at =
            reinterpret_cast<const char*>(att_align_pointer(at, element.align, element.length, at));
        const Datum value = fetch_att(at, element.by_value, element.length);
        if (!encode_value(elements, slots_at + 8 * static_cast<std::size_t>(i), value, element,
                          no_element))
            return false;
        at = att_addlength_pointer(at, element.length, at);
    }
    target.close_variable(slot_at, start);
    return true;
}

// The value's text, or nullptr when its output function raises an error. The text of a large value
// may pass the 1 GB that the server can allocate (a bit string has a character for a bit, a nested
// composite doubles its quotes at each level), and an error here would stop the stream for good. So
// such a value is printed in a subtransaction, which an error rolls back. An error that says
// nothing of the value is raised again: one that ends the session, or one that a concurrent abort
// brings.
const char* output_of(const ValueType& type, Datum value) {
    constexpr Size kMaxUnguarded = 64 * 1024;
    auto* output = const_cast<FmgrInfo*>(&type.output);
    if (type.length != -1 || toast_raw_datum_size(value) <= kMaxUnguarded)
        return OutputFunctionCall(output, value);
    MemoryContext caller = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    char* volatile text = nullptr;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(caller);
    PG_TRY();
    {
        text = OutputFunctionCall(output, value);
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(caller);
        ErrorData* error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(caller);
        CurrentResourceOwner = owner;
        const int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
        if (category == ERRCODE_TRANSACTION_ROLLBACK || category == ERRCODE_OPERATOR_INTERVENTION ||
            category == ERRCODE_INSUFFICIENT_RESOURCES)
            ReThrowError(error);
        FreeErrorData(error);
        text = nullptr;
    }
    PG_END_TRY();
    MemoryContextSwitchTo(caller);
    CurrentResourceOwner = owner;
    return text;
}

}  // namespace

ResolvedType resolve_type(Oid type_oid, MemoryContext context, std::size_t* label_bytes) {
    ResolvedType resolved = {};
    resolved.base = getBaseType(type_oid);
    resolved.type = value_type(resolved.base, context, label_bytes);
    const Oid element = get_element_type(resolved.base);
    if (!OidIsValid(element)) return resolved;
    resolved.element = getBaseType(element);
    resolved.element_type = value_type(resolved.element, context, label_bytes);
    // An array of an array-valued domain has no place in the format: it travels as text.
    if (OidIsValid(get_element_type(resolved.element))) {
        resolved.element = InvalidOid;
        resolved.element_type = {};
    } else {
        resolved.type.code = TypeCode::Array;
    }
    return resolved;
}

bool encode_value(const Target& target, std::size_t slot_at, Datum value, const ValueType& type,
                  const ValueType& element) {
    std::byte* slot = target.buffer.at(slot_at);
    switch (type.code) {
        case TypeCode::Bool: return wire::store(slot, std::uint64_t{DatumGetBool(value)}), true;
        case TypeCode::Int2: return wire::store(slot, std::int64_t{DatumGetInt16(value)}), true;
        case TypeCode::Int4:
        case TypeCode::Date: return wire::store(slot, std::int64_t{DatumGetInt32(value)}), true;
        case TypeCode::Int8:
        case TypeCode::Time:
        case TypeCode::Timestamp:
        case TypeCode::TimestampTz:
            return wire::store(slot, static_cast<std::int64_t>(DatumGetInt64(value))), true;
        case TypeCode::Float4:
        case TypeCode::Oid:
        case TypeCode::Enum: return wire::store(slot, std::uint64_t{DatumGetUInt32(value)}), true;
        case TypeCode::Float8:
            return wire::store(slot, static_cast<std::uint64_t>(DatumGetInt64(value))), true;
        case TypeCode::MacAddr: return std::memcpy(slot, DatumGetPointer(value), 6), true;
        case TypeCode::Uuid: return target.put_variable(slot_at, DatumGetPointer(value), UUID_LEN);
        case TypeCode::TimeTz: return target.put_variable(slot_at, DatumGetPointer(value), 12);
        case TypeCode::Interval: return target.put_variable(slot_at, DatumGetPointer(value), 16);
        case TypeCode::Inet:
        case TypeCode::Cidr: return put_inet(target, slot_at, PG_DETOAST_DATUM_PACKED(value));
        case TypeCode::Array: return put_array(target, slot_at, DatumGetArrayTypeP(value), element);
        case TypeCode::Text:
            if (type.length != -1)  // name
                return target.put_variable(slot_at, DatumGetPointer(value),
                                           std::strlen(DatumGetCString(value)));
            [[fallthrough]];
        case TypeCode::Numeric:
        case TypeCode::Bytea:
        case TypeCode::Json:
        case TypeCode::Jsonb: {
            if (!target.has_room(toast_raw_datum_size(value) - VARHDRSZ)) return false;
            struct varlena* packed = PG_DETOAST_DATUM_PACKED(value);
            return target.put_variable(slot_at, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
        }
        case TypeCode::Other: {
            const char* text = output_of(type, value);
            return text != nullptr && target.put_variable(slot_at, text, std::strlen(text));
        }
    }
    return false;
}

bool same_value(Datum a, Datum b, const ValueType& type) {
    if (type.by_value) return a == b;
    if (type.length > 0)
        return std::memcmp(DatumGetPointer(a), DatumGetPointer(b),
                           static_cast<std::size_t>(type.length)) == 0;
    if (type.length == -2) return std::strcmp(DatumGetCString(a), DatumGetCString(b)) == 0;

    auto* x = reinterpret_cast<struct varlena*>(DatumGetPointer(a));
    auto* y = reinterpret_cast<struct varlena*>(DatumGetPointer(b));
    // Compressed forms of the same value by the same method are the same bytes; other pairs need
    // the value itself.
    if (VARATT_IS_COMPRESSED(x) && VARATT_IS_COMPRESSED(y) && VARSIZE_ANY(x) == VARSIZE_ANY(y) &&
        std::memcmp(x, y, VARSIZE_ANY(x)) == 0)
        return true;
    x = PG_DETOAST_DATUM_PACKED(a);
    y = PG_DETOAST_DATUM_PACKED(b);
    return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) &&
           std::memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

}  // namespace fatwal::plugin
