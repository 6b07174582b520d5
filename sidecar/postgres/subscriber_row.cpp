#include "sidecar/postgres/subscriber_row.h"

#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

std::variant<DurableSubscriber, std::string> durable_subscriber(const std::string& kind,
                                                                const std::string& account,
                                                                const std::string& name,
                                                                const std::string& acknowledged) {
    const auto skip = [&](const std::string& why) {
        return "a row of fatwal.subscriber is skipped: " + why;
    };
    if (account.size() > wire::kMaxAccountBytes) return skip("its account is too long");
    DurableSubscriber read;
    if (kind != "0") read.account = wire::AccountKey::from_text(account);
    // What is written is read back as the same key, so a row of another kind is not ours.
    if (std::to_string(static_cast<int>(read.account.kind)) != kind ||
        read.account.to_text() != account)
        return skip("its account is not a key of its kind");
    if (const auto refusal = wire::refusal_of_account(static_cast<std::uint8_t>(read.account.kind),
                                                      read.account.view().bytes))
        return skip(refusal->message);
    if (const auto refusal = wire::refusal_of_name(name)) return skip(refusal->message);
    read.name = name;
    read.acknowledged = lsn_of(acknowledged);
    return read;
}

}  // namespace fatwal::sidecar
