// Accounts and subscribers as the pages ask for them: searched, sorted, the first of them. fatwald
// lists each in an order of its own, page by page, so all of them are read, up to kMost, and kept
// for kFresh: several browsers cost fatwald no more than one.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/control_client.h"
#include "client/console/json.h"

namespace fatwal::console {

struct ListQuery {
    std::string search;  // a part of the account's key or the subscriber's name
    std::string by;      // the order; others than those that are known: by key
    std::size_t top = 100;
    std::optional<wire::AccountKey> account;  // of subscribers: of this one alone
};

class Lists {
public:
    static constexpr std::size_t kMost = 100'000;
    static constexpr std::size_t kMostShown = 1000;
    static constexpr std::chrono::milliseconds kFresh{900};
    // From one listing to the next, so that their difference is a rate.
    static constexpr std::chrono::seconds kRateOver{2};

    // Both ask the client, which is the fatwald's that streams, and throw std::runtime_error with
    // its failure.
    [[nodiscard]] Json accounts(cli::ControlClient& client, const ListQuery& query);
    [[nodiscard]] Json subscribers(cli::ControlClient& client, const ListQuery& query);

private:
    using Clock = std::chrono::steady_clock;
    struct Counts {
        std::uint64_t frames = 0;
        std::uint64_t bytes = 0;
    };
    struct Rates {
        double frames = 0;
        double bytes = 0;
    };
    void refresh_accounts(cli::ControlClient& client);
    void refresh_subscribers(cli::ControlClient& client);

    std::vector<wire::AccountEntry> accounts_;
    std::map<wire::AccountKey, Counts> counts_;
    std::map<wire::AccountKey, Rates> rates_;
    Clock::time_point accounts_at_;
    Clock::time_point counts_at_;
    std::vector<wire::SubscriberEntry> subscribers_;
    std::vector<wire::DurableEntry> away_;
    std::map<wire::AccountKey, std::uint64_t> lags_;  // the worst of each account
    Clock::time_point subscribers_at_;
};

}  // namespace fatwal::console
