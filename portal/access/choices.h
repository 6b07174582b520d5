// The clients and resources of an account by their names: of which of them /why can be asked.
#pragma once

#include "portal/access/account_state.h"

namespace fatwal::access {

inline constexpr std::size_t kMostChoices = 5000;  // of clients, and of resources

// {"clients": [{id, name, actor}], "resources": [{id, name, type, address}], "more"}: each list in
// the order of the names. actor is its name; it and address may be null. `more`: one of the lists
// is cut. Of a state that is live.
[[nodiscard]] Json choices(const AccountState& state);

}  // namespace fatwal::access
