// The account that a row names.
#pragma once

#include "fatwal/wire/account.h"
#include "plan.h"
#include "row_encoder.h"

namespace fatwal {

// The operators' when the row names none. Lasts as long as the values and `buffer`.
wire::AccountView account_of(const Plan& plan, const Values& values, wire::AccountBuffer& buffer);

}  // namespace fatwal
