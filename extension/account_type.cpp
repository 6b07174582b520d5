#include "extension/account_type.h"

namespace fatwal::plugin {

AccountType account_type_of(Oid type) {
    std::size_t label_bytes = 0;
    const ResolvedType resolved = resolve_type(type, CurrentMemoryContext, &label_bytes);
    return account_type_of(resolved.base, resolved.type);
}

AccountType account_type_of(Oid base_type, const ValueType& type) {
    switch (base_type) {
        case UUIDOID: return AccountType::Uuid;
        case INT2OID: return AccountType::Int2;
        case INT4OID: return AccountType::Int4;
        case INT8OID: return AccountType::Int8;
        case BPCHAROID: return AccountType::BlankPadded;
        default:
            return type.code == wire::TypeCode::Text && type.length == -1 ? AccountType::Text
                                                                          : AccountType::None;
    }
}

}  // namespace fatwal::plugin
