#include "sidecar/subscribers/snapshot_requests.h"

#include <algorithm>
#include <utility>

namespace fatwal::sidecar {

namespace {

// Where the last record before a position ends. Where WAL is inserted next lies behind a page's
// header when a record has filled the page before, and the stream names the page's begin then.
wire::Lsn record_end(wire::Lsn insert_position) {
    constexpr wire::Lsn kPageBytes = 8192;
    constexpr wire::Lsn kMostHeaderBytes = 40;
    const wire::Lsn in_page = insert_position % kPageBytes;
    return in_page <= kMostHeaderBytes ? insert_position - in_page : insert_position;
}

}  // namespace

SnapshotRequests::SnapshotRequests(const Settings& settings, Accounts& accounts,
                                   Attachments& attachments, const Epoch& epoch, Ledger& ledger,
                                   Snapshots& snapshots, Control& control)
    : settings_(settings),
      accounts_(accounts),
      attachments_(attachments),
      epoch_(epoch),
      ledger_(ledger),
      snapshots_(snapshots),
      control_(control) {}

// A snapshot's number and offsets come from the peer.
std::optional<Reply> SnapshotRequests::refusal(const wire::SnapshotRequest& request,
                                               const Attachment& attachment) const {
    // Numbers are easily guessed: of another account's there is nothing to be known.
    if (request.snapshot != 0 && snapshots_.account(request.snapshot) != attachment.account->key)
        return refuse(wire::ErrorCode::SnapshotGone, "there is no such snapshot any more");
    if (request.offset == 0) return std::nullopt;
    const auto offsets = part_offsets_.find(request.snapshot);
    if (offsets != part_offsets_.end() && offsets->second.contains(request.offset))
        return std::nullopt;
    return refuse(wire::ErrorCode::BadPosition, "no part of the snapshot begins here",
                  "Offset " + std::to_string(request.offset) + ".",
                  "Begin with 0, and go on with the next offset of each reply.");
}

std::optional<Reply> SnapshotRequests::answer(wire::SnapshotRequest request,
                                              const Requester& requester, Clock::time_point now) {
    const Attachment* attachment = attachments_.find(request.nonce, requester.identity);
    if (attachment == nullptr)
        return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
    if (auto refused = refusal(request, *attachment)) return refused;
    const wire::AccountKey& account = attachment->account->key;
    if (request.snapshot == 0) {
        snapshots_.leave(request.nonce);  // it begins again
        const auto found = snapshots_.find_or_begin(
            account,
            {replayable_from(account.view()),
             std::max(epoch_.newest_resync, request.not_before == 0 ? 0 : request.not_before - 1),
             ledger_.published()},
            requester.caller.credential, now);
        if (!found)
            return refuse(wire::ErrorCode::SnapshotFailed,
                          "too many snapshots of the account are kept, and none is late enough", {},
                          "Try again in some seconds.");
        request.snapshot = *found;
    }
    switch (snapshots_.readiness(request.snapshot, request.offset)) {
        case Snapshots::Readiness::Unknown:
            return refuse(wire::ErrorCode::SnapshotGone, "there is no such snapshot any more");
        case Snapshots::Readiness::Failed: {
            const Failure failure = snapshots_.failure(request.snapshot);
            return refuse(wire::ErrorCode::SnapshotFailed, failure.message, failure.detail,
                          failure.hint);
        }
        case Snapshots::Readiness::Waiting: wait(request, requester); return std::nullopt;
        case Snapshots::Readiness::Readable: break;
    }
    const wire::Lsn until = record_end(snapshots_.head(request.snapshot).until);
    const bool held = !requester.caller.is_local() || snapshots_.standby_first(request.snapshot);
    if (held && ledger_.published() < until) {
        wait(request, requester);
        held_.emplace(until, request.snapshot);
        return std::nullopt;
    }
    return part(request, now);
}

Reply SnapshotRequests::part(const wire::SnapshotRequest& request, Clock::time_point now) {
    auto read =
        snapshots_.read(request.snapshot, request.nonce, request.offset,
                        std::clamp(request.credit, wire::kLeastCredit, wire::kMostCredit), now);
    if (!read)
        return refuse(wire::ErrorCode::SnapshotGone, "the snapshot cannot be read at this offset");
    wire::SnapshotPart head = snapshots_.head(request.snapshot);
    if (request.offset == 0) {
        // Until it has caught up with the stream the log is kept for it.
        ledger_.holds.hold(AttachmentHold{request.nonce}, head.cursor, now);
    } else {
        head.sees = {};
        head.cursor = head.until = 0;
    }
    head.next_offset = read->next_offset;
    part_offsets_[request.snapshot].insert(read->next_offset);
    head.end = read->end;
    head.messages = static_cast<std::uint16_t>(read->messages.size());
    return Reply{std::move(head), std::move(read->messages)};
}

void SnapshotRequests::resume_behind(const Snapshots::NewSnapshot& snapshot,
                                     Clock::time_point now) {
    // Nothing that commits before this is missing in it.
    const wire::Lsn cursor =
        std::min(ledger_.published(), ledger_.visibility.oldest_unseen_by(snapshot.sees));
    if (cursor < replayable_from(snapshots_.account(snapshot.id).view()))
        return snapshots_.take_again(snapshot.id, now);
    ledger_.holds.hold(SnapshotHold{snapshot.id}, cursor, now);
    snapshots_.set_cursor(snapshot.id, cursor);
}

void SnapshotRequests::progress(Clock::time_point now) {
    const auto progress = snapshots_.progress();
    // Cursors first: a snapshot has to be compared with what is unseen before that is forgotten.
    for (const Snapshots::NewSnapshot& snapshot : progress.taken) resume_behind(snapshot, now);
    ledger_.visibility.known_before(snapshots_.oldest_unknown());
    for (const Id id : progress.changed) answer_waiting(id, now);
}

void SnapshotRequests::stream_moved(Clock::time_point now) {
    while (!held_.empty() && held_.begin()->first <= ledger_.published()) {
        const Id id = held_.begin()->second;
        held_.erase(held_.begin());
        answer_waiting(id, now);
    }
}

void SnapshotRequests::wait(const wire::SnapshotRequest& request, const Requester& requester) {
    forget(request.nonce);
    waits_for_.emplace(request.nonce, request.snapshot);
    waiting_[request.snapshot].emplace(request.nonce, WaitingRequest{requester, request});
}

void SnapshotRequests::answer_waiting(Id id, Clock::time_point now) {
    auto waiting = waiting_.extract(id);
    if (!waiting) return;
    for (const auto& [nonce, asked] : waiting.mapped()) waits_for_.erase(nonce);
    for (const auto& [nonce, asked] : waiting.mapped())
        if (auto reply = answer(asked.request, asked.requester, now))
            control_.send(asked.requester, std::move(*reply));
}

wire::Lsn SnapshotRequests::replayable_from(wire::AccountView account) const {
    const wire::Lsn in_memory = accounts_.floor_of(account);
    return settings_.reread_concurrency == 0 ? in_memory
                                             : std::min(in_memory, ledger_.confirmable());
}

void SnapshotRequests::tick(Clock::time_point now) {
    const auto attached = [this](const wire::Nonce& nonce) {
        return attachments_.find(nonce) != nullptr;
    };
    for (const auto& [id, waiting] : waiting_) snapshots_.keep(id, now);
    for (const Id id : snapshots_.tick(now, attached)) {
        ledger_.holds.release(SnapshotHold{id});
        part_offsets_.erase(id);
        std::erase_if(held_, [id](const auto& held) { return held.second == id; });
    }
}

void SnapshotRequests::forget(const wire::Nonce& nonce) {
    const auto waits = waits_for_.find(nonce);
    if (waits == waits_for_.end()) return;
    const auto waiting = waiting_.find(waits->second);
    waiting->second.erase(nonce);
    if (waiting->second.empty()) waiting_.erase(waiting);
    waits_for_.erase(waits);
}

void SnapshotRequests::clear() {
    snapshots_.clear();
    waiting_.clear();
    waits_for_.clear();
    held_.clear();
    part_offsets_.clear();
}

}  // namespace fatwal::sidecar
