// rows CONTROL ACCOUNT COUNT: prints the first COUNT rows of an account that the portal's structs
// are decoded from, as JSON: first those of the snapshot, then the new rows of changes. A row that
// cannot be decoded is printed as {"error": …}. Exit status 0 when COUNT came.
#include <cstdio>
#include <cstdlib>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"
#include "portal/rows/portal.h"
#include "test/support/keys.h"

namespace {

using namespace fatwal::client;
using namespace fatwal;
using Json = nlohmann::json;

Json json_of(const Uuid& uuid) { return uuid.to_text(); }
Json json_of(const Timestamp& time) {
    if (time == Timestamp::max()) return "infinity";
    if (time == Timestamp::min()) return "-infinity";
    return time.time_since_epoch().count();
}
Json json_of(const std::string& text) { return text; }
Json json_of(double number) { return number; }
template <class T>
Json json_of(const std::optional<T>& value) {
    return value ? json_of(*value) : Json();
}

Json hex(const std::string& bytes) {
    std::string out;
    for (const char c : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
        out += digits;
    }
    return out;
}

Json fields(const portal::Actors& row) {
    return {{"id", json_of(row.id)},
            {"type", portal::to_text(row.type)},
            {"name", row.name},
            {"disabled_at", json_of(row.disabled_at)}};
}
Json fields(const portal::Policies& row) {
    Json conditions = Json::array();
    for (const auto& condition : row.conditions)
        conditions.push_back(condition ? Json{{"json", *condition}} : Json());
    return {{"id", json_of(row.id)},
            {"actor_group_id", json_of(row.actor_group_id)},
            {"description", json_of(row.description)},
            {"conditions", conditions}};
}
Json fields(const portal::Tokens& row) {
    return {{"id", json_of(row.id)},
            {"secret_hash", hex(row.secret_hash)},
            {"expires_at", json_of(row.expires_at)}};
}
Json fields(const portal::Clients& row) {
    return {{"id", json_of(row.id)},
            {"ipv4", row.ipv4},
            {"ipv6", row.ipv6},
            {"last_seen_remote_ip", json_of(row.last_seen_remote_ip)},
            {"lat", json_of(row.last_seen_remote_ip_location_lat)}};
}
Json fields(const portal::Resources& row) {
    return {{"id", json_of(row.id)}, {"type", portal::to_text(row.type)}, {"filters", row.filters}};
}
template <class T>
Json fields(const T&) {
    return Json();
}

Json line_of(const Row& row) {
    DecodeError error;
    const auto any = portal::decode_any(row, &error);
    if (std::holds_alternative<std::monostate>(any)) return {{"error", error.message()}};
    return std::visit(
        [](const auto& decoded) -> Json {
            using T = std::decay_t<decltype(decoded)>;
            if constexpr (std::is_same_v<T, std::monostate>)
                return Json();
            else
                return {{"table", T::kTable}, {"row", fields(decoded)}};
        },
        any);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    zmq::context_t context;
    SubscriptionOptions options;
    options.control = {argv[1]};
    options.keys = fatwal::test::keys_from_environment();
    options.account = wire::AccountKey::from_text(argv[2]);
    options.name = "rows";
    Subscription subscription(context, options);
    int left = std::atoi(argv[3]);
    const auto print = [&](const Row& row) {
        if (left-- > 0) std::puts(line_of(row).dump(-1, ' ', true).c_str());
        std::fflush(stdout);
    };
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(50);
    while (left > 0 && std::chrono::steady_clock::now() < deadline) {
        const auto event = subscription.next(std::chrono::milliseconds(200));
        if (!event) continue;
        if (const auto* rows = std::get_if<SnapshotRows>(&*event)) rows->for_each(print);
        if (const auto* transaction = std::get_if<Transaction>(&*event))
            transaction->for_each([&](const Change& change) {
                if (change.new_row) print(*change.new_row);
            });
    }
    return left > 0 ? 1 : 0;
}
