#include "sidecar/subscribers/attachments.h"

#include <algorithm>
#include <utility>

#include "fatwal/wire/invariant.h"
#include "fatwal/wire/text_sink.h"
#include "sidecar/log_text.h"

namespace fatwal::sidecar {

namespace {

constexpr std::size_t kDescriptorsOfSubscriber = 1;
// A subscription that is this many attachments late is nobody's: 16 bytes each, twice.
constexpr std::size_t kEndedRemembered = 16'384;
// A reply of 256 entries stays below 128 KiB.
constexpr std::size_t kDurablesPerReply = 256;

wire::ControlError too_many_durables(std::size_t most, const char* of, const char* setting) {
    return {wire::ErrorCode::TooManyDurables, "no more durable subscribers are taken",
            std::to_string(most) + of,
            std::string("Forget those that do not come back (fatwal durable list, fatwal durable "
                        "forget), or raise ") +
                setting + "."};
}

}  // namespace

Attachments::Attachments(const Settings& settings, Accounts& accounts, Publishers& publishers,
                         Descriptors& descriptors, Holds& holds)
    : settings_(settings),
      accounts_(accounts),
      publishers_(publishers),
      descriptors_(descriptors),
      holds_(holds) {}

std::optional<wire::ControlError> Attachments::refusal_of_durable(const wire::Attach& request,
                                                                  const Caller& caller) const {
    const Account* account = accounts_.find(request.account);
    if (!request.durable || (account != nullptr && account->durable.contains(request.subscriber)))
        return std::nullopt;
    const auto most = static_cast<std::size_t>(settings_.max_durables);
    const auto most_of_account = static_cast<std::size_t>(settings_.max_account_durables);
    if (accounts_.durables.size() >= most)
        return too_many_durables(most, " in all.", "max_durables");
    if (account != nullptr && account->durable.size() >= most_of_account)
        return too_many_durables(most_of_account, " of this account.", "max_account_durables");
    const auto most_of_credential = static_cast<std::size_t>(settings_.max_credential_durables);
    if (!caller.is_local() &&
        accounts_.durables.of_credential(caller.credential) >= most_of_credential)
        return too_many_durables(most_of_credential, " of this credential.",
                                 "max_credential_durables");
    return std::nullopt;
}

std::optional<wire::ControlError> Attachments::refusal(const wire::Attach& request,
                                                       const Caller& caller) const {
    if (request.account.kind == wire::AccountKind::Everyone)
        return wire::ControlError{wire::ErrorCode::BadAccount,
                                  "everyone is not an account",
                                  {},
                                  "Attach to one account, or to the operators' stream."};
    if (attachments_.contains(request.nonce) || ended_nonces_.contains(request.nonce))
        return wire::ControlError{wire::ErrorCode::Malformed,
                                  "the nonce is in use, or was",
                                  {},
                                  "Choose 16 random bytes for each attach."};
    if (auto refused = refusal_of_durable(request, caller)) return refused;
    const Account* account = accounts_.find(request.account);
    const bool is_open = settings_.shared() ? publishers_.shares_open_socket()
                                            : account != nullptr && account->outlet;
    if (!descriptors_.has_room_for(kDescriptorsOfSubscriber +
                                   (is_open ? 0 : Publishers::kDescriptorsOfSocket)))
        return wire::ControlError{
            wire::ErrorCode::TooManyAttachments, "no file descriptors left for another subscriber",
            std::to_string(descriptors_.used()) + " of " + std::to_string(descriptors_.limit()) +
                " are in use.",
            "Raise the limit of fatwald's open files (LimitNOFILE, ulimit -n)."};
    return std::nullopt;
}

std::variant<wire::Attached, wire::ControlError> Attachments::attach(const wire::Attach& request,
                                                                     const Requester& requester,
                                                                     const Standing& standing,
                                                                     Clock::time_point now) {
    descriptors_.recount();
    if (auto refused = refusal(request, requester.caller)) return std::move(*refused);
    const std::string& credential = requester.caller.credential;
    const auto had = of_credential_.find(credential);
    if (had != of_credential_.end() && had->second >= kMostOfCredential)
        return wire::ControlError{wire::ErrorCode::TooManyAttachments,
                                  "the credential has too many subscribers",
                                  "Credential " + log_text(credential) + " has " +
                                      std::to_string(kMostOfCredential) + '.',
                                  "Give a part of them a credential of their own."};
    Account& account = accounts_.find_or_add(request.account.view());
    try {
        accounts_.open(account);
    } catch (const std::exception& error) {
        // Of this account alone: the folder is away, a name is too long, no descriptor is free.
        return wire::ControlError{wire::ErrorCode::Internal,
                                  "the account's socket cannot be opened", error.what(),
                                  "Check the run folder of fatwald (--run-dir)."};
    }
    descriptors_.opened(kDescriptorsOfSubscriber);
    Attachment& attachment = attachments_[request.nonce];
    attachment.account = &account;
    attachment.requester = requester;
    if (!requester.caller.is_local()) ++of_credential_[credential];
    attachment.since = attachment.attached = now;
    attachment.name = request.subscriber;
    attachment.number = ++last_number_;
    by_number_.emplace(attachment.number, request.nonce);
    by_identity_[requester.identity].insert(request.nonce);
    // A cursor beyond the end of the log is of another history, as one that says so.
    if (standing.timelines.holds(request.history, request.cursor) && request.cursor <= standing.end)
        attachment.processed = request.cursor;
    ++account.attached;
    if (request.durable) {
        attachment.durable = request.subscriber;
        // Without a cursor it may have seen what a snapshot holds: what is not confirmable is kept
        // until it says so.
        account.durable.add(request.subscriber,
                            std::max(attachment.processed, standing.confirmable), false, now);
        account.durable.acknowledge(request.subscriber, attachment.processed);
    }
    return wire::Attached{
        standing.epoch,
        account.log.sequence(),
        static_cast<std::uint32_t>(settings_.heartbeat_interval_ms),
        standing.timelines.now,
        requester.caller.is_local() ? account.outlet.publisher->endpoint : settings_.advertise,
        account.outlet.topic};
}

// The other half is in Publishers: it reads what peers subscribe to.
void Attachments::marker_subscribed(const Publisher& on, const PeerConnection& by,
                                    const wire::Nonce& nonce, bool subscribed,
                                    Clock::time_point now) {
    const auto found = attachments_.find(nonce);
    // Who knows a nonce may subscribe to it anywhere: it counts on its account's socket alone.
    if (found == attachments_.end() || !found->second.requester.caller.is_local() ||
        found->second.account->outlet.publisher.get() != &on)
        return;
    Attachment& attachment = found->second;
    attachment.joined = subscribed;
    attachment.connection = subscribed ? by : PeerConnection{};
    attachment.since = now;
    // Step 3 of the proof: nothing is published between the two calls.
    if (subscribed)
        publishers_.send_marker(attachment.account->outlet, nonce,
                                attachment.account->log.sequence());
}

void Attachments::set_receiver(const wire::Nonce& nonce, Attachment& attachment,
                               const std::string& name) {
    if (attachment.receiver == name) return;
    if (!attachment.receiver.empty()) {
        attachment.account->outlet.remove(attachment.receiver);
        const auto owned = by_receiver_.find(attachment.receiver);
        owned->second.erase(nonce);
        if (owned->second.empty()) by_receiver_.erase(owned);
    }
    attachment.receiver = name;
    if (name.empty()) return;
    attachment.account->outlet.add(name);
    by_receiver_[name].insert(nonce);
}

// A nonce counts only with the key that attached it: who learns another's receives nothing.
bool Attachments::keyed_subscribed(const std::string& receiver, const PeerConnection& by,
                                   const Caller& caller, const wire::Nonce& nonce, bool subscribed,
                                   Clock::time_point now) {
    const auto found = attachments_.find(nonce);
    if (found == attachments_.end() || found->second.requester.caller != caller)
        // The end of one that has ended is sent in good faith.
        return !subscribed && ended_nonces_.contains(nonce);
    Attachment& attachment = found->second;
    if (!subscribed && attachment.receiver != receiver) return true;
    set_receiver(nonce, attachment, subscribed ? receiver : std::string());
    attachment.joined = subscribed;
    attachment.connection = subscribed ? by : PeerConnection{};
    attachment.since = now;
    // Nothing is published between the two calls.
    if (subscribed) publishers_.send_marker(receiver, nonce, attachment.account->log.sequence());
    return true;
}

void Attachments::receiver_gone(const std::string& receiver, Clock::time_point now) {
    const auto owned = by_receiver_.find(receiver);
    if (owned == by_receiver_.end()) return;
    for (const wire::Nonce& nonce : std::set<wire::Nonce>(owned->second)) {
        Attachment& attachment = attachments_.at(nonce);
        set_receiver(nonce, attachment, {});
        attachment.joined = false;
        attachment.connection = {};
        attachment.since = now;
    }
}

// Gives the one behind it. The outlet stays open until the next tick: a subscriber that attaches
// again at once finds it.
Attachments::ByNonce::iterator Attachments::end(ByNonce::iterator attachment) {
    auto& [nonce, ended] = *attachment;
    set_receiver(nonce, ended, {});
    if (!ended.requester.caller.is_local()) {
        const auto count = of_credential_.find(ended.requester.caller.credential);
        if (--count->second == 0) of_credential_.erase(count);
    }
    FATWAL_INVARIANT(ended.account->attached > 0, "each attachment is counted by its account");
    holds_.release(AttachmentHold{nonce});
    --ended.account->attached;
    by_number_.erase(ended.number);
    const auto owned = by_identity_.find(ended.requester.identity);
    owned->second.erase(nonce);
    if (owned->second.empty()) by_identity_.erase(owned);
    remember(nonce);
    return attachments_.erase(attachment);
}

void Attachments::remember(const wire::Nonce& nonce) {
    if (!ended_nonces_.insert(nonce).second) return;
    ended_.push_back(nonce);
    if (ended_.size() <= kEndedRemembered) return;
    ended_nonces_.erase(ended_.front());
    ended_.pop_front();
}

bool Attachments::detach(const wire::Detach& request, const std::string& identity) {
    const auto found = attachments_.find(request.nonce);
    if (found == attachments_.end() || found->second.requester.identity != identity) return false;
    Account& account = *found->second.account;
    const std::string durable = found->second.durable;
    (void)end(found);
    if (request.forget && !durable.empty()) account.durable.leave(durable);
    return true;
}

void Attachments::detach_all() {
    while (!attachments_.empty()) (void)end(attachments_.begin());
}

std::optional<wire::ControlError> Attachments::acknowledge(const wire::Acknowledge& request,
                                                           const std::string& identity,
                                                           wire::Lsn published) {
    const Attachment* attachment = find(request.nonce, identity);
    if (attachment == nullptr)
        return wire::ControlError{
            wire::ErrorCode::NotAttached, "this subscriber is not attached", {}, "Attach again."};
    if (attachment->durable.empty()) return std::nullopt;
    // All that it can have processed: what it said when it attached, and what was published since.
    // Of a transaction that is published in part its own account's part may be whole.
    const wire::Lsn newest = attachment->account->log.newest();
    const wire::Lsn most =
        std::max({attachment->processed, published, newest == 0 ? newest : newest + 1});
    if (request.cursor > most)
        return wire::ControlError{
            wire::ErrorCode::BadPosition, "an acknowledgement beyond what was sent",
            wire::lsn_text(request.cursor) + " lies beyond " + wire::lsn_text(most) + ".",
            "Acknowledge the cursor of a transaction or of a heartbeat."};
    attachment->account->durable.acknowledge(attachment->durable, request.cursor);
    return std::nullopt;
}

std::vector<Requester> Attachments::detach_durable(const DurableKey& key) {
    std::vector<Requester> requesters;
    for (auto at = attachments_.begin(); at != attachments_.end();) {
        const bool is_it = at->second.durable == key.name && at->second.account->key == key.account;
        if (is_it) requesters.push_back(at->second.requester);
        at = is_it ? end(at) : std::next(at);
    }
    return requesters;
}

std::vector<std::pair<wire::Nonce, Attachment>> Attachments::detach_forbidden(
    const Credentials& credentials, wire::Microseconds now) {
    std::vector<std::pair<wire::Nonce, Attachment>> ended;
    for (auto at = attachments_.begin(); at != attachments_.end();) {
        const Attachment& attachment = at->second;
        const Caller& caller = attachment.requester.caller;
        if (credentials.holds(caller, now) &&
            credentials.may_follow(caller, attachment.account->key)) {
            ++at;
            continue;
        }
        ended.emplace_back(at->first, attachment);
        at = end(at);
    }
    return ended;
}

wire::DurableList Attachments::list_durables(const wire::ListDurables& request) const {
    wire::DurableList list;
    list.durables =
        accounts_.durables.list({request.account, request.after}, kDurablesPerReply + 1);
    list.end = list.durables.size() <= kDurablesPerReply;
    if (!list.end) list.durables.pop_back();
    const std::set<DurableKey> attached = attached_durables();
    for (wire::DurableEntry& entry : list.durables)
        entry.attached = attached.contains({entry.account, entry.name});
    return list;
}

std::vector<std::pair<wire::Nonce, const Attachment*>> Attachments::behind(std::uint64_t after,
                                                                           std::size_t most) const {
    std::vector<std::pair<wire::Nonce, const Attachment*>> found;
    for (auto at = by_number_.upper_bound(after); at != by_number_.end() && found.size() < most;
         ++at)
        found.emplace_back(at->second, &attachments_.at(at->second));
    return found;
}

std::set<DurableKey> Attachments::attached_durables() const {
    std::set<DurableKey> attached;
    for (const auto& [nonce, attachment] : attachments_)
        if (!attachment.durable.empty())
            attached.insert({attachment.account->key, attachment.durable});
    return attached;
}

Attachments::Counts Attachments::counts() const {
    Counts counts;
    for (const auto& [nonce, attachment] : attachments_) {
        if (attachment.joined) ++counts.joined;
        if (!attachment.durable.empty()) ++counts.durable;
    }
    return counts;
}

const Attachment* Attachments::find(const wire::Nonce& nonce) const {
    const auto found = attachments_.find(nonce);
    return found == attachments_.end() ? nullptr : &found->second;
}

const Attachment* Attachments::find(const wire::Nonce& nonce, const std::string& identity) const {
    const Attachment* attachment = find(nonce);
    return attachment != nullptr && attachment->requester.identity == identity ? attachment
                                                                               : nullptr;
}

bool Attachments::operates(const std::string& identity) const {
    const auto owned = by_identity_.find(identity);
    if (owned == by_identity_.end()) return false;
    return std::any_of(owned->second.begin(), owned->second.end(), [&](const wire::Nonce& nonce) {
        return attachments_.at(nonce).account->key.kind == wire::AccountKind::Operators;
    });
}

std::vector<std::string> Attachments::identities() const {
    std::vector<std::string> each;
    for (const auto& [identity, nonces] : by_identity_) each.push_back(identity);
    return each;
}

void Attachments::tick(Clock::time_point now) {
    descriptors_.recount();
    for (auto at = attachments_.begin(); at != attachments_.end();) {
        const Attachment& attachment = at->second;
        const bool over = (!attachment.joined && now - attachment.since >= kGrace) ||
                          attachment.account->outlet.publisher->broken;
        at = over ? end(at) : std::next(at);
    }
}

}  // namespace fatwal::sidecar
