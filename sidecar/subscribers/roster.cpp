#include "sidecar/subscribers/roster.h"

#include <algorithm>
#include <utility>

#include "fatwal/wire/overloaded.h"
#include "sidecar/subscribers/inbound.h"

namespace fatwal::sidecar {

namespace {

std::uint32_t whole_seconds(Clock::duration duration) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, 0xFFFF'FFFF));
}

std::uint8_t level_of(service::LogLevel level) {
    constexpr int kFirst = static_cast<int>(service::LogLevel::Info) - 1;
    static_assert(static_cast<int>(service::LogLevel::Critical) - kFirst ==
                  static_cast<int>(wire::EventLevel::Critical));
    return static_cast<std::uint8_t>(static_cast<int>(level) - kFirst);
}

}  // namespace

std::uint64_t Roster::behind(wire::Lsn from) const {
    return ledger_.published() > from ? ledger_.published() - from : 0;
}

void Roster::describe(const AttachmentHold& key, wire::HoldEntry& entry) const {
    const Attachment* attachment = attachments_.find(key.nonce);
    entry.kind = static_cast<std::uint8_t>(snapshot_requests_.concerns(key.nonce)
                                               ? wire::HoldKind::SnapshotReader
                                               : wire::HoldKind::Replay);
    if (attachment == nullptr) return;
    entry.account = attachment->account->key;
    entry.name = attachment->name;
}

wire::HoldList Roster::holds(const wire::ListHolds& request, Clock::time_point now) const {
    wire::HoldList list;
    list.total = static_cast<std::uint32_t>(ledger_.holds.size());
    const auto worst = ledger_.holds.worst(request.skip, kMost);
    list.end = request.skip + worst.size() >= ledger_.holds.size();
    const std::set<DurableKey> attached = attachments_.attached_durables();
    for (const auto& [key, hold] : worst) {
        wire::HoldEntry& entry = list.holds.emplace_back();
        std::visit(wire::Overloaded{[&](const AttachmentHold& of) { describe(of, entry); },
                                    [&](const SnapshotHold& of) {
                                        entry.kind =
                                            static_cast<std::uint8_t>(wire::HoldKind::Snapshot);
                                        entry.account = snapshots_.account(of.id);
                                    },
                                    [&](const DurableKey& of) {
                                        entry.kind = static_cast<std::uint8_t>(
                                            attached.contains(of) ? wire::HoldKind::Unacknowledged
                                                                  : wire::HoldKind::Absent);
                                        entry.account = of.account;
                                        entry.name = of.name;
                                    }},
                   key);
        entry.from = hold.from;
        entry.behind = behind(hold.from);
        entry.held_s = whole_seconds(now - hold.since);
        entry.seconds_left =
            whole_seconds(hold.since + std::chrono::seconds(settings_.retention_s) - now);
        const auto most = static_cast<std::uint64_t>(settings_.retention_bytes);
        entry.bytes_left = most > entry.behind ? most - entry.behind : 0;
    }
    return list;
}

wire::SubscriberState Roster::state_of(const wire::Nonce& nonce,
                                       const Attachment& attachment) const {
    if (!attachment.joined) return wire::SubscriberState::Joining;
    if (snapshot_requests_.concerns(nonce)) return wire::SubscriberState::Snapshotting;
    return ledger_.holds.of(AttachmentHold{nonce}) == kNoLsn ? wire::SubscriberState::Live
                                                             : wire::SubscriberState::Replaying;
}

std::uint64_t Roster::lag_of(const wire::Nonce& nonce, const Attachment& attachment) const {
    wire::Lsn from = ledger_.holds.of(AttachmentHold{nonce});
    if (!attachment.durable.empty())
        from = std::min(from,
                        ledger_.holds.of(DurableKey{attachment.account->key, attachment.durable}));
    return behind(from);
}

wire::SubscriberList Roster::subscribers(const wire::ListSubscribers& request,
                                         Clock::time_point now) const {
    wire::SubscriberList list;
    auto found = attachments_.behind(request.after, kMost + 1);
    list.end = found.size() <= kMost;
    if (!list.end) found.pop_back();
    for (const auto& [nonce, attachment] : found)
        list.subscribers.push_back(
            {.number = attachment->number,
             .account = attachment->account->key,
             .name = attachment->name,
             .credential = attachment->requester.caller.credential,
             .state = static_cast<std::uint8_t>(state_of(nonce, *attachment)),
             .durable = !attachment->durable.empty(),
             .lag = lag_of(nonce, *attachment),
             .unread =
                 inbound::unread(attachment->connection.descriptor, attachment->connection.inode),
             .attached_s = whole_seconds(now - attachment->attached)});
    return list;
}

wire::AccountList Roster::accounts(const wire::ListAccounts& request) const {
    using Order = wire::ListAccounts::Order;
    std::vector<const Account*> order;
    order.reserve(accounts_.size());
    accounts_.for_each([&](const Account& account) { order.push_back(&account); });
    const std::size_t first = std::min<std::size_t>(request.skip, order.size());
    const std::size_t end = std::min(order.size(), first + kMost);
    // By the key where the others are equal, so that two requests agree.
    const auto rank = [&](const Account& account) -> std::uint64_t {
        switch (request.order) {
            case Order::ByKey: return 0;
            case Order::ByBytes: return account.bytes;
            case Order::BySubscribers: return account.attached;
        }
        return 0;
    };
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(end), order.end(),
                      [&](const Account* a, const Account* b) {
                          return rank(*a) != rank(*b) ? rank(*a) > rank(*b) : a->key < b->key;
                      });
    wire::AccountList list;
    list.total = static_cast<std::uint32_t>(order.size());
    list.end = end == order.size();
    for (std::size_t i = first; i < end; ++i)
        list.accounts.push_back({.account = order[i]->key,
                                 .subscribers = static_cast<std::uint32_t>(order[i]->attached),
                                 .durables = static_cast<std::uint32_t>(order[i]->durable.size()),
                                 .sequence = order[i]->log.sequence(),
                                 .newest = order[i]->log.newest(),
                                 .frames = order[i]->frames,
                                 .bytes = order[i]->bytes});
    return list;
}

wire::EventList Roster::events(const wire::ListEvents& request) const {
    wire::EventList list;
    list.start = log_.start();
    bool more = false;
    for (service::LogLine& line : log_.behind(request.after, kMostLines, more))
        list.events.push_back(
            {line.number, line.unix_us, level_of(line.level), std::move(line.text)});
    list.end = !more;
    return list;
}

}  // namespace fatwal::sidecar
