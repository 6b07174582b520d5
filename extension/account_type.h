// How a column names an account, by its type.
#pragma once

#include "extension/column.h"
#include "extension/server.h"

namespace fatwal::plugin {

enum class AccountType : std::uint8_t { None, Uuid, Int2, Int4, Int8, Text, BlankPadded };

// How a column of the declared type `type` names an account; None: it cannot.
AccountType account_type_of(Oid type);
// The same of a type that is resolved: `base_type` below its domains, and how it travels.
AccountType account_type_of(Oid base_type, const ValueType& type);

}  // namespace fatwal::plugin
