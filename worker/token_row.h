// The rows of tokens, by which a device proves what it is before the process reads anything of
// its account.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "channel/rows/portal.h"
#include "fatwal/channel/basics.h"
#include "worker/join_request.h"

namespace fatwal::worker {

class Connection;

struct TokenRow {
    std::optional<Uuid> account_id;
    std::string type;  // client, gateway or relay
    std::string secret_hash;
    std::optional<channel::Time> expires_at;
    std::optional<Uuid> device_id;
};

// Those of the tokens that there are, by one query.
[[nodiscard]] std::map<Uuid, TokenRow> read_tokens(Connection& connection,
                                                   const std::vector<Uuid>& ids);

// The same of a row that the stream has brought.
[[nodiscard]] TokenRow token_row(const portal::Tokens& row);

// Why a device with this token is turned away; nothing when the token proves it. `row` null: there
// is none. `device`: the id of the device's row; nothing when the device does not say it.
[[nodiscard]] std::optional<std::string> token_refusal(const DeviceToken& token, Role role,
                                                       const std::optional<Uuid>& device,
                                                       const TokenRow* row, channel::Time now);

}  // namespace fatwal::worker
