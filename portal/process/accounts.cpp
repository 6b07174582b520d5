#include "portal/process/accounts.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "portal/process/settings.h"

namespace fatwal::process {

using access::Json;

Accounts::Accounts(AccountContext context, std::function<void(const Uuid&)> ended)
    : context_(std::move(context)),
      ended_(std::move(ended)),
      relay_turns_(context_.io, [this](const Uuid& id) {
          if (Account* account = find(id)) account->relays_changed();
      }) {
    context_.failed = [this](std::weak_ptr<Account> account, const Uuid& id,
                             const std::string& reason) { fail(std::move(account), id, reason); };
}

Account* Accounts::find(const Uuid& id) const {
    const auto found = accounts_.find(id);
    return found == accounts_.end() ? nullptr : found->second.get();
}

Account* Accounts::with_client(const Uuid& client_id) const {
    const auto found = std::find_if(accounts_.begin(), accounts_.end(), [&](const auto& entry) {
        return entry.second->has_client(client_id);
    });
    return found == accounts_.end() ? nullptr : found->second.get();
}

Account& Accounts::follow(const Uuid& id) {
    auto& account = accounts_[id];
    if (!account) {
        account = std::make_shared<Account>(context_, id);
        account->follow();
    }
    return *account;
}

void Accounts::sweep() {
    const auto now = std::chrono::steady_clock::now();
    for (auto at = accounts_.begin(); at != accounts_.end();) {
        const auto since = at->second->empty_since();
        if (since && now - *since >= std::chrono::seconds(context_.settings.account_linger_s)) {
            const auto over = std::move(at->second);
            at = accounts_.erase(at);
        } else {
            ++at;
        }
    }
}

void Accounts::end() { const auto over = std::exchange(accounts_, {}); }

void Accounts::fail(std::weak_ptr<Account> account, const Uuid& id, const std::string& reason) {
    spdlog::error("account {}: {}; its devices are sent away", id.to_text(), reason);
    boost::asio::post(context_.io, [this, account = std::move(account), id] {
        const auto found = accounts_.find(id);
        if (found == accounts_.end() || found->second != account.lock()) return;
        const auto over = std::move(found->second);
        accounts_.erase(found);
        ended_(id);
    });
}

void Accounts::relays_changed(const std::optional<Uuid>& of) {
    if (of) return relay_turns_.add(*of);
    for (const auto& [id, account] : accounts_) relay_turns_.add(id);
}

void Accounts::publication_changed(wire::Lsn at) {
    for (const auto& [id, account] : accounts_) account->publication_changed(at);
}

void Accounts::clock_was_set(access::Instant::duration moved) {
    for (const auto& [id, account] : accounts_) account->clock_was_set(moved);
}

std::size_t Accounts::close_some(access::Device device, std::size_t most) {
    std::size_t closed = 0;
    for (const auto& [id, account] : accounts_)
        if (closed < most) closed += account->close_some(device, most - closed);
    return closed;
}

std::size_t Accounts::live() const {
    return static_cast<std::size_t>(
        std::count_if(accounts_.begin(), accounts_.end(),
                      [](const auto& entry) { return entry.second->live(); }));
}

std::size_t Accounts::sessions(access::Device device) const {
    std::size_t out = 0;
    for (const auto& [id, account] : accounts_) out += account->sessions(device);
    return out;
}

bool Accounts::are_at_work() const {
    return std::any_of(accounts_.begin(), accounts_.end(),
                       [](const auto& entry) { return entry.second->is_at_work(); });
}

Json Accounts::list(const Admin::Listing& listing) const {
    Json sessions = Json::array();
    auto after = listing.after;
    if (listing.account && (!after || after->account != *listing.account)) after.reset();
    auto at = listing.account ? accounts_.find(*listing.account)
              : after         ? accounts_.lower_bound(after->account)
                              : accounts_.begin();
    bool all = true;
    for (; all && at != accounts_.end() && (!listing.account || at->first == *listing.account);
         ++at) {
        if (after && after->account != at->first) after.reset();
        all = at->second->list(after, listing.limit, sessions);
    }
    Json out = {{"sessions", std::move(sessions)}};
    if (!all) {
        const Json& last = out["sessions"].back();
        out["next"] = last["account"].get<std::string>() + '/' + last["kind"].get<std::string>() +
                      '/' + last["id"].get<std::string>();
    }
    return out;
}

}  // namespace fatwal::process
