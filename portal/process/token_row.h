// The rows of tokens, by which a device proves what it is before the process reads anything of
// its account.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "portal/access/basics.h"
#include "portal/process/join_request.h"
#include "portal/rows/portal.h"

namespace fatwal::process {

class Connection;

struct TokenRow {
    std::optional<Uuid> account_id;
    std::string type;  // client, gateway or relay
    std::string secret_hash;
    std::optional<access::Instant> expires_at;
    std::optional<Uuid> device_id;
};

struct TokenRows {
    std::map<Uuid, TokenRow> found;
    std::set<Uuid> unreadable;  // the database refuses to read these: nothing is known of them
};

// Those of the tokens that there are, by one query. If the database refuses it, by_halves() finds
// the rows that it cannot read. Throws SqlError when the database cannot be asked at all.
[[nodiscard]] TokenRows read_tokens(Connection& connection, const std::vector<Uuid>& ids);

// A token's end from the query's text: microseconds since 1970, or an infinity. Nothing: it has
// none. What is beyond the numbers of Time lies as far away as an infinity.
[[nodiscard]] std::optional<access::Instant> end_of_token(std::string_view microseconds);

// The same of a row that the stream has brought.
[[nodiscard]] TokenRow token_row(const portal::Tokens& row);

// Why a device with this token is turned away; nothing when the token proves it. `row` null: there
// is none. `device`: the id of the device's row; nothing when the device does not say it.
[[nodiscard]] std::optional<std::string> token_refusal(const DeviceToken& token, Role role,
                                                       const std::optional<Uuid>& device,
                                                       const TokenRow* row, access::Instant now);

}  // namespace fatwal::process
