// The account that a row names.
#pragma once

#include "extension/plan.h"
#include "extension/values.h"
#include "fatwal/wire/account.h"

namespace fatwal::plugin {

// The operators' when the row names none. Lasts as long as the values and `buffer`.
wire::AccountView account_of(const Plan& plan, const Values& values, wire::AccountBuffer& buffer);

}  // namespace fatwal::plugin
