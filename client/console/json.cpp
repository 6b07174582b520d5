#include "client/console/json.h"

#include <chrono>

#include "fatwal/wire/text_sink.h"

namespace fatwal::console {

std::string text_of(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json account_json(const wire::AccountKey& account) {
    if (account.kind == wire::AccountKind::Operators) return {};
    return account.to_text();
}

Json lsn_json(wire::Lsn lsn) { return lsn == 0 ? Json() : Json(wire::lsn_text(lsn)); }

std::int64_t unix_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

}  // namespace fatwal::console
