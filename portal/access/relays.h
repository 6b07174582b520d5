// The relays that are online, and which of them a device is given. One for a process: most relays
// are the operators', for the devices of all accounts; an account's own are for its devices alone.
#pragma once

#include <chrono>
#include <compare>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "portal/access/basics.h"
#include "portal/access/location.h"
#include "portal/access/signer.h"

namespace fatwal::access {

// A relay says its id itself, so that of one account is another one than the same of another.
struct RelayId {
    Uuid id;
    std::optional<Uuid> account_id = {};  // nothing: the operators'
    friend auto operator<=>(const RelayId&, const RelayId&) = default;
};

struct Relay {
    RelayId id;
    std::optional<std::string> ipv4;
    std::optional<std::string> ipv6;
    std::uint16_t port = 3478;
    std::optional<Location> location;
    std::string secret;  // a new one when the relay restarts
    friend bool operator==(const Relay&, const Relay&) = default;
};

class Relays {
public:
    static constexpr std::size_t kPerDevice = 2;

    // How long a relay may be away before its devices are notified.
    explicit Relays(std::chrono::milliseconds debounce = std::chrono::seconds(10))
        : debounce_(debounce) {}

    // True when the channels of its account (of all, for an operators' relay) need to know
    // (on_relays of each): a relay is new, or is back with another secret, address or location.
    [[nodiscard]] bool online(const Relay& relay);
    // It counts as online until the debounce has passed.
    void offline(const RelayId& id, Tick now);
    // The accounts whose channels need to know; among them nothing: those of all accounts, as a
    // relay of the operators is gone.
    [[nodiscard]] std::set<std::optional<Uuid>> on_time(Tick now);
    [[nodiscard]] std::optional<Tick> next_deadline() const;

    [[nodiscard]] const Relay* find(const RelayId& id) const;
    // How many a device of the account may be given.
    [[nodiscard]] std::size_t count_for(const Uuid& account_id) const;

    // At most kPerDevice for a device of the account: its account's own first, then the operators'.
    // Of the places nearest to the device one each (a relay without a location is the last), at
    // random where the place or the device's location says nothing.
    [[nodiscard]] std::vector<Relay> choose(const Uuid& account_id,
                                            const std::optional<Location>& device,
                                            const Random& random) const;

private:
    struct Entry {
        Relay relay;
        std::optional<Tick> gone_at;
    };
    using ById = std::map<Uuid, Entry>;
    // Those of one account, or the operators'; null: none.
    [[nodiscard]] const ById* of(const std::optional<Uuid>& account_id) const;
    // Calls `visit(entry)` for each relay that is for the account's devices.
    template <class Visit>
    void for_each_for(const Uuid& account_id, Visit visit) const;

    std::chrono::milliseconds debounce_;
    // By account, as no account's devices look at another's relays, however many there are.
    std::map<std::optional<Uuid>, ById> relays_;
    std::set<std::pair<Tick, RelayId>> leaving_;  // by gone_at
};

// A device with a token that ends then (nothing: never), which asks for relays.
struct RelayUser {
    Uuid account_id;
    Uuid device_id;
    std::optional<Location> location;
    std::optional<Instant> token_expires_at;
};

// The `relays` of a payload: an entry for each address of each relay, with credentials for the TURN
// server (portal/README.md) until `expires_at`.
[[nodiscard]] Json render_relays(const std::vector<Relay>& relays, const Uuid& device_id,
                                 Instant expires_at);

// The relays that one channel has told its device.
class RelaySelection {
public:
    // Chooses; the payload of init.
    Json init(const Relays& relays, const RelayUser& user, Instant now, const Random& random);
    // The payload of relays_presence when the device must know: one of its relays is gone or
    // another, it has too few and more are there, or its credentials are to be renewed.
    std::optional<Json> update(const Relays& relays, const RelayUser& user, Instant now,
                               const Random& random);
    // When update() is to be asked though no relay has changed.
    [[nodiscard]] std::optional<Instant> next_deadline() const { return renew_at_; }

private:
    Json render(const RelayUser& user, Instant now);

    std::vector<Relay> chosen_;
    std::optional<Instant> renew_at_;
};

}  // namespace fatwal::access
