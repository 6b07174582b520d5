#include "client/console/lists.h"

#include <algorithm>
#include <stdexcept>

#include "client/cli/durable.h"

namespace fatwal::console {

namespace {

std::string small(const std::string& text) {
    std::string out = text;
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::string key_text(const wire::AccountKey& account) {
    return account.kind == wire::AccountKind::Operators ? "(operators)" : account.to_text();
}

// Empty: everything matches.
bool matches(const std::string& search, std::initializer_list<std::string> texts) {
    return search.empty() || std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
               return small(text).find(search) != std::string::npos;
           });
}

const char* name_of_state(std::uint8_t state) {
    constexpr const char* kNames[] = {"joining", "live", "replaying", "snapshot"};
    return state == 0 || state > std::size(kNames) ? "other" : kNames[state - 1];
}

// The first `top` by `order`, which gives what is greater first; equal ones stay in fatwald's
// order.
template <class Entry, class Order>
void keep_first(std::vector<const Entry*>& entries, std::size_t top, const Order& order) {
    std::stable_sort(entries.begin(), entries.end(),
                     [&](const Entry* a, const Entry* b) { return order(*a) > order(*b); });
    if (entries.size() > top) entries.resize(top);
}

}  // namespace

void Lists::refresh_accounts(cli::ControlClient& client) {
    const auto now = Clock::now();
    if (now - accounts_at_ < kFresh) return;
    std::vector<wire::AccountEntry> accounts;
    wire::ListAccounts request;
    for (;;) {
        auto page = client.try_ask<wire::AccountList>(request);
        if (!page) throw std::runtime_error(client.failure());
        request.skip += static_cast<std::uint32_t>(page->accounts.size());
        const bool ends = page->end || page->accounts.empty();
        for (wire::AccountEntry& entry : page->accounts) accounts.push_back(std::move(entry));
        if (ends || accounts.size() >= kMost) break;
    }
    accounts_ = std::move(accounts);
    accounts_at_ = now;
    if (now - counts_at_ < kRateOver) return;
    const double seconds = std::chrono::duration<double>(now - counts_at_).count();
    std::map<wire::AccountKey, Counts> counts;
    rates_.clear();
    for (const wire::AccountEntry& entry : accounts_) {
        counts[entry.account] = {entry.frames, entry.bytes};
        const auto before = counts_.find(entry.account);
        if (before == counts_.end() || before->second.frames > entry.frames) continue;
        rates_[entry.account] = {
            static_cast<double>(entry.frames - before->second.frames) / seconds,
            static_cast<double>(entry.bytes - before->second.bytes) / seconds};
    }
    counts_ = std::move(counts);
    counts_at_ = now;
}

void Lists::refresh_subscribers(cli::ControlClient& client) {
    const auto now = Clock::now();
    if (now - subscribers_at_ < kFresh) return;
    std::vector<wire::SubscriberEntry> subscribers;
    wire::ListSubscribers request;
    for (;;) {
        auto page = client.try_ask<wire::SubscriberList>(request);
        if (!page) throw std::runtime_error(client.failure());
        const bool ends = page->end || page->subscribers.empty();
        for (wire::SubscriberEntry& entry : page->subscribers)
            subscribers.push_back(std::move(entry));
        if (ends || subscribers.size() >= kMost) break;
        request.after = subscribers.back().number;
    }
    auto durables = cli::list_durables(client, kMost);
    if (!durables) throw std::runtime_error(client.failure());
    std::erase_if(*durables, [](const wire::DurableEntry& entry) { return entry.attached; });
    // The attachment by which they were listed is none that a person looks for.
    std::erase_if(subscribers, [](const wire::SubscriberEntry& entry) {
        return entry.account.kind == wire::AccountKind::Operators && entry.name == "fatwal durable";
    });
    lags_.clear();
    for (const wire::SubscriberEntry& entry : subscribers)
        lags_[entry.account] = std::max(lags_[entry.account], entry.lag);
    subscribers_ = std::move(subscribers);
    away_ = std::move(*durables);
    subscribers_at_ = now;
}

Json Lists::accounts(cli::ControlClient& client, const ListQuery& query) {
    refresh_accounts(client);
    refresh_subscribers(client);
    const auto rates_of = [&](const wire::AccountKey& account) {
        const auto at = rates_.find(account);
        return at == rates_.end() ? Rates{} : at->second;
    };
    const auto lag_of = [&](const wire::AccountKey& account) {
        const auto at = lags_.find(account);
        return at == lags_.end() ? std::uint64_t{0} : at->second;
    };
    const std::string search = small(query.search);
    std::vector<const wire::AccountEntry*> found;
    for (const wire::AccountEntry& entry : accounts_)
        if (matches(search, {key_text(entry.account)})) found.push_back(&entry);
    const std::size_t matching = found.size();
    const std::string& by = query.by;
    keep_first(found, std::min(query.top, kMostShown), [&](const wire::AccountEntry& entry) {
        if (by == "rate") return rates_of(entry.account).bytes;
        if (by == "bytes") return static_cast<double>(entry.bytes);
        if (by == "lag") return static_cast<double>(lag_of(entry.account));
        if (by == "subscribers") return static_cast<double>(entry.subscribers);
        return 0.0;  // fatwald lists them by key
    });
    Json out = Json::array();
    for (const wire::AccountEntry* entry : found) {
        const Rates rates = rates_of(entry->account);
        out.push_back({{"account", account_json(entry->account)},
                       {"subscribers", entry->subscribers},
                       {"durable", entry->durables},
                       {"frames", entry->frames},
                       {"bytes", entry->bytes},
                       {"frames_s", rates.frames},
                       {"bytes_s", rates.bytes},
                       {"lag_bytes", lag_of(entry->account)},
                       {"newest", lsn_json(entry->newest)}});
    }
    return {{"accounts", std::move(out)}, {"total", accounts_.size()}, {"matching", matching}};
}

Json Lists::subscribers(cli::ControlClient& client, const ListQuery& query) {
    refresh_subscribers(client);
    const std::string search = small(query.search);
    std::vector<const wire::SubscriberEntry*> found;
    for (const wire::SubscriberEntry& entry : subscribers_)
        if ((!query.account || entry.account == *query.account) &&
            matches(search, {key_text(entry.account), entry.name, entry.credential}))
            found.push_back(&entry);
    const std::size_t matching = found.size();
    const std::string& by = query.by;
    const auto top = std::min(query.top, kMostShown);
    if (by == "account" || by == "name")
        std::stable_sort(found.begin(), found.end(), [&](const auto* a, const auto* b) {
            return by == "name" ? a->name < b->name : a->account < b->account;
        });
    keep_first(found, top, [&](const wire::SubscriberEntry& entry) {
        if (by == "lag") return entry.lag;
        if (by == "unread") return std::uint64_t{entry.unread};
        return std::uint64_t{0};
    });
    Json out = Json::array();
    for (const wire::SubscriberEntry* entry : found)
        out.push_back(
            {{"account", account_json(entry->account)},
             {"name", entry->name},
             {"durable", entry->durable},
             {"state", name_of_state(entry->state)},
             {"lag_bytes", entry->lag},
             {"unread_bytes", entry->unread},
             {"attached_seconds", entry->attached_s},
             {"credential", entry->credential.empty() ? Json() : Json(entry->credential)}});
    Json away = Json::array();
    for (const wire::DurableEntry& entry : away_) {
        if ((query.account && entry.account != *query.account) ||
            !matches(search, {key_text(entry.account), entry.name}))
            continue;
        if (away.size() == top) break;
        away.push_back({{"account", account_json(entry.account)},
                        {"name", entry.name},
                        {"acknowledged", lsn_json(entry.acknowledged)},
                        {"stored", lsn_json(entry.stored)},
                        {"holds", entry.holds}});
    }
    return {{"subscribers", std::move(out)},
            {"away", std::move(away)},
            {"total", subscribers_.size()},
            {"matching", matching}};
}

}  // namespace fatwal::console
