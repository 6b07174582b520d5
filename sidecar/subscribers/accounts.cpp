#include "sidecar/subscribers/accounts.h"

#include <algorithm>
#include <utility>

namespace fatwal::sidecar {

namespace {

constexpr std::size_t kDroppedBuckets = 65'536;

}  // namespace

Accounts::Accounts(const Settings& settings, Publishers& publishers, Holds& holds)
    : durables(holds),
      publishers_(publishers),
      dropped_(kDroppedBuckets),
      ring_(static_cast<std::size_t>(settings.replay_bytes),
            static_cast<std::size_t>(settings.replay_account_bytes)) {}

Accounts::~Accounts() { close_outlets(); }

void Accounts::begin(wire::Lsn position, const std::vector<DurableSubscriber>& durable) {
    close_outlets();
    accounts_.clear();
    std::fill(dropped_.begin(), dropped_.end(), 0);
    newest_for_everyone_ = 0;
    begin_ = position;
    for (const DurableSubscriber& subscriber : durable)
        find_or_add(subscriber.account.view())
            .durable.add(subscriber.name, subscriber.acknowledged, true, Clock::now());
}

Account& Accounts::find_or_add(wire::AccountView key) {
    const auto found = accounts_.find(key);
    if (found != accounts_.end()) return *found->second;
    wire::AccountKey owned(key);
    auto account = std::make_unique<Account>(owned, ring_, floor_of_new(key), durables);
    return *accounts_.emplace(std::move(owned), std::move(account)).first->second;
}

const Account* Accounts::find(const wire::AccountKey& key) const {
    const auto found = accounts_.find(key);
    return found == accounts_.end() ? nullptr : found->second.get();
}

wire::Lsn Accounts::floor_of_new(wire::AccountView key) const {
    // What came for everyone was not kept for accounts that had no log then.
    return std::max({begin_, dropped_[bucket_of(key)],
                     newest_for_everyone_ == 0 ? 0 : newest_for_everyone_ + 1});
}

wire::Lsn Accounts::floor_of(wire::AccountView account) const {
    const auto found = accounts_.find(account);
    return found == accounts_.end() ? floor_of_new(account) : found->second->log.floor();
}

bool Accounts::holds_for(const DurableSubscriber& subscriber) const {
    const Account* account = find(subscriber.account);
    return account != nullptr &&
           account->durable.written_within(subscriber.name, subscriber.acknowledged);
}

void Accounts::open(Account& account) {
    if (account.outlet) return;
    account.outlet = publishers_.open(account.key);
    ++published_;
}

void Accounts::close(Account& account) {
    if (!account.outlet) return;
    publishers_.close(account.outlet);
    --published_;
}

void Accounts::close_outlets() {
    for (auto& [key, account] : accounts_) close(*account);
}

void Accounts::send_numbered(Account& account, zmq::message_t payload, wire::Lsn commit_lsn) {
    zmq::message_t kept;
    kept.copy(payload);
    const std::uint64_t sequence = account.log.append(std::move(kept), commit_lsn);
    if (account.outlet) publishers_.send_event(account.outlet, sequence, std::move(payload));
}

void Accounts::publish(Account& account, const wire::FrameView& frame, zmq::message_t payload,
                       const Schemas& schemas, Clock::time_point now) {
    account.durable.published(frame.commit_lsn(), now);
    // Who comes later asks for the schemas that it lacks.
    for (std::uint16_t i = 0; account.outlet && i < frame.relation_count(); ++i) {
        const wire::SchemaId id = frame.relation(i);
        if (!account.described.insert(id).second) continue;
        if (const std::string* schema = schemas.find(id))
            send_numbered(account, zmq::message_t(schema->data(), schema->size()),
                          frame.commit_lsn());
    }
    ++frames_;
    ++account.frames;
    account.bytes += payload.size();
    send_numbered(account, std::move(payload), frame.commit_lsn());
}

void Accounts::publish(const wire::FrameView& frame, zmq::message_t payload, const Schemas& schemas,
                       Clock::time_point now) {
    if (frame.account().kind != wire::AccountKind::Everyone) {
        publish(find_or_add(frame.account()), frame, std::move(payload), schemas, now);
        return;
    }
    newest_for_everyone_ = frame.commit_lsn();
    for (auto& [key, account] : accounts_) {
        zmq::message_t shared;
        shared.copy(payload);
        publish(*account, frame, std::move(shared), schemas, now);
    }
}

void Accounts::heartbeat() {
    for (auto& [key, account] : accounts_)
        if (account->outlet) publishers_.send_heartbeat(account->outlet, account->log.sequence());
}

void Accounts::tick() {
    for (auto at = accounts_.begin(); at != accounts_.end();) {
        Account& account = *at->second;
        if (account.attached == 0) close(account);
        if (account.outlet || !account.log.empty() || !account.durable.empty()) {
            ++at;
            continue;
        }
        wire::Lsn& dropped = dropped_[bucket_of(account.key.view())];
        dropped = std::max(dropped, account.log.floor());
        at = accounts_.erase(at);
    }
}

}  // namespace fatwal::sidecar
