#include "sidecar/subscribers/durable_store.h"

#include <algorithm>
#include <utility>

#include "fatwal/wire/invariant.h"
#include "fatwal/wire/text_sink.h"
#include "sidecar/postgres/notices.h"

namespace fatwal::sidecar {

DurableStore::DurableStore(const Settings& settings, Accounts& accounts, Attachments& attachments,
                           Holds& holds, Keeper& keeper, Control& control, PeerLog& log)
    : settings_(settings),
      accounts_(accounts),
      attachments_(attachments),
      holds_(holds),
      keeper_(keeper),
      control_(control),
      log_(log) {}

void DurableStore::store() {
    auto changes = accounts_.durables.extract_changes();
    if (changes.empty()) return;
    keeper_.store(changes.written, changes.removed, ++last_ticket_);
    storing_.emplace(last_ticket_, std::move(changes));
}

bool DurableStore::is_new(const wire::Attach& request) const {
    const Account* account = accounts_.find(request.account);
    return request.durable && account != nullptr && !account->durable.written(request.subscriber);
}

void DurableStore::attach_when_stored(const wire::Attach& request, const Requester& requester,
                                      wire::Attached reply) {
    // An earlier batch that is under way may have the row already; it is the newest then.
    store();
    FATWAL_INVARIANT(storing_.contains(last_ticket_), "the row of an attach is being stored");
    waiting_.emplace(last_ticket_, WaitingAttach{request.nonce, requester, std::move(reply),
                                                 DurableKey{request.account, request.subscriber}});
}

void DurableStore::stored(const StoreResult& result, Clock::time_point now) {
    std::map<DurableKey, const Failure*> refused;
    for (const auto& [row, failure] : result.refused) {
        refused.emplace(DurableKey{row.account, row.name}, &failure);
        log_.warn("durable subscriber " + log_text(row.name) + " of account " +
                      log_text(row.account.to_text()) + ": " + one_line(failure.sentences()),
                  now);
    }
    if (auto changes = storing_.extract(result.ticket)) {
        std::erase_if(changes.mapped().written, [&](const DurableSubscriber& row) {
            return refused.contains({row.account, row.name});
        });
        accounts_.durables.stored(changes.mapped(), now);
    }
    const auto [first, last] = waiting_.equal_range(result.ticket);
    for (auto waiting = first; waiting != last; ++waiting) {
        // Its attachment has ended, as its right was revoked, and it knows why.
        if (attachments_.find(waiting->second.nonce) == nullptr) continue;
        const auto why = refused.find(waiting->second.durable);
        control_.send(waiting->second.requester,
                      why == refused.end() ? Reply{std::move(waiting->second.reply), {}}
                                           : refuse(wire::ErrorCode::Internal,
                                                    "the database refuses the durable subscriber",
                                                    why->second->detail, why->second->hint));
    }
    waiting_.erase(first, last);
    // Those who wait for their attach have their answer, and its error means the same to others.
    for (const auto& [key, failure] : refused)
        if (accounts_.durables.refused(key)) notify_dropped(attachments_.detach_durable(key));
}

void DurableStore::failed(std::uint64_t ticket, const Failure& failure) {
    if (auto changes = storing_.extract(ticket))
        accounts_.durables.not_stored(std::move(changes.mapped()));
    const auto [first, last] = waiting_.equal_range(ticket);
    for (auto waiting = first; waiting != last; ++waiting)
        control_.send(
            waiting->second.requester,
            refuse(wire::ErrorCode::Internal, "the durable subscriber could not be written down",
                   failure.detail, failure.hint));
    waiting_.erase(first, last);
}

void DurableStore::notify_dropped(const std::vector<Requester>& attached) {
    for (const Requester& requester : attached)
        control_.send(requester,
                      refuse(wire::ErrorCode::Dropped,
                             "the durable subscriber was forgotten: nothing is kept for it", {},
                             "Attach again; what is no longer held is replaced by a snapshot."));
}

bool DurableStore::forget(const DurableKey& key) {
    if (!accounts_.durables.forget(key)) return false;
    notify_dropped(attachments_.detach_durable(key));
    store();
    return true;
}

void DurableStore::drop_beyond_retention(wire::Lsn published, Clock::time_point now) {
    const auto since = now - std::chrono::seconds(settings_.retention_s);
    for (const HoldKey& hold :
         holds_.beyond(static_cast<std::uint64_t>(settings_.retention_bytes), published, since)) {
        const wire::Lsn from = holds_.of(hold);
        const auto* durable = std::get_if<DurableKey>(&hold);
        const bool is_durable = durable != nullptr && accounts_.durables.forget(*durable);
        holds_.release(hold);
        if (!is_durable) continue;
        ++dropped_;
        log_.warn("durable subscriber " + log_text(durable->name) + " of account " +
                      log_text(durable->account.to_text()) +
                      " is dropped after retention: it holds WAL from " + wire::lsn_text(from) +
                      "; it will take a snapshot",
                  now);
        notify_dropped(attachments_.detach_durable(*durable));
    }
}

void DurableStore::clear() {
    waiting_.clear();
    storing_.clear();
}

}  // namespace fatwal::sidecar
