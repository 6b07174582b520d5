#include "sidecar/subscribers/replays.h"

#include <algorithm>

#include "fatwal/wire/invariant.h"
#include "fatwal/wire/text_sink.h"
#include "sidecar/subscribers/replay_source.h"

namespace fatwal::sidecar {

namespace {

constexpr std::size_t kMostMessagesOfReplay = 4096;
constexpr std::size_t kMostAccounts = 64;  // of a reading: a file each
constexpr std::chrono::milliseconds kRetry{500};
constexpr std::chrono::seconds kIdleReplayReader{60};

Reply too_old(const std::string& why) {
    return refuse(wire::ErrorCode::TooOld, "the position is no longer held", why);
}

std::string text_of(TooOldReason why, const ReplayFacts& facts) {
    switch (why) {
        case TooOldReason::OtherHistory:
            return "It is of another history of the database: another cluster, or one that was "
                   "restored or failed over behind this position.";
        case TooOldReason::BeyondEnd:
            return wire::lsn_text(facts.cursor) + " lies beyond the end of the log, " +
                   wire::lsn_text(facts.end) + ": the database was restored.";
        case TooOldReason::Confirmable: break;
    }
    return wire::lsn_text(facts.cursor) + " is confirmable, and memory begins at " +
           wire::lsn_text(facts.floor) + ".";
}

}  // namespace

Replays::Replays(const Settings& settings, Attachments& attachments, Holds& holds,
                 SpoolBudget& budget, PeerLog& log)
    : settings_(settings), attachments_(attachments), holds_(holds), budget_(budget), log_(log) {}

Reply Replays::from_log(AccountLog& log, std::uint64_t sequence, std::uint32_t credit,
                        std::uint64_t epoch) {
    wire::Replayed head{epoch, sequence, false, 0};
    Reply reply;
    std::size_t bytes = 0;
    while (sequence <= log.sequence() && reply.parts.size() < kMostMessagesOfReplay &&
           (bytes == 0 || bytes < credit)) {
        zmq::message_t* kept = log.find(sequence);
        if (kept == nullptr) break;
        bytes += kept->size() + 1;
        zmq::message_t part;
        part.copy(*kept);
        reply.parts.push_back(std::move(part));
        ++sequence;
    }
    head.end = sequence > log.sequence();
    head.messages = static_cast<std::uint16_t>(reply.parts.size());
    replayed_ += reply.parts.size();
    reply.body = head;
    return reply;
}

Reply Replays::by_cursor(const wire::Nonce& nonce, const Attachment& attachment, wire::Lsn cursor,
                         std::uint32_t credit, const Standing& standing) {
    AccountLog& log = attachment.account->log;
    Reply reply = from_log(log, log.first_from(cursor), credit, standing.epoch);
    // It has caught up: what comes next it receives on its account's socket.
    if (std::get<wire::Replayed>(reply.body).end) holds_.release(AttachmentHold{nonce});
    return reply;
}

Reply Replays::by_sequence(const wire::Replay& request, const Attachment& attachment,
                           std::uint32_t credit, const Standing& standing) {
    AccountLog& log = attachment.account->log;
    if (request.sequence == 0 || request.sequence > log.sequence() + 1)
        return refuse(wire::ErrorCode::Malformed, "there is no such sequence");
    if (request.sequence <= log.sequence() && log.find(request.sequence) == nullptr)
        return refuse(wire::ErrorCode::AskByCursor, "the messages are no longer in memory");
    Reply reply = from_log(log, request.sequence, credit, standing.epoch);
    if (std::get<wire::Replayed>(reply.body).end) holds_.release(AttachmentHold{request.nonce});
    return reply;
}

void Replays::begin_reader(const wire::Nonce& nonce, const Attachment& attachment, wire::Lsn from,
                           const Requester& requester, std::uint32_t credit,
                           Clock::time_point now) {
    holds_.hold(AttachmentHold{nonce}, from, now);
    Reader& reader = readers_[nonce];
    reader.asked = now;
    reader.cursor = from;
    reader.job = find_or_add(attachment.account->key, from, now);
    reader.waiting = std::pair(requester, credit);
    event_.set();
}

std::optional<Reply> Replays::answer(const wire::Replay& request, const Requester& requester,
                                     const Standing& standing, Clock::time_point now) {
    const Attachment* attachment = attachments_.find(request.nonce, requester.identity);
    if (attachment == nullptr || request.epoch != standing.epoch)
        return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
    const std::uint32_t credit = std::clamp(request.credit, wire::kLeastCredit, wire::kMostCredit);
    if (request.from == wire::Replay::From::Continue) {
        const auto reader = readers_.find(request.nonce);
        if (reader == readers_.end())
            return refuse(wire::ErrorCode::AskByCursor, "nothing was begun");
        reader->second.asked = now;
        auto reply = reread(request.nonce, reader->second, credit, standing, now);
        if (!reply) reader->second.waiting = std::pair(requester, credit);
        return reply;
    }
    // It begins again: what it had begun before is of no use any more.
    readers_.erase(request.nonce);
    if (request.from == wire::Replay::From::Sequence)
        return by_sequence(request, *attachment, credit, standing);
    const ReplayFacts facts{request.cursor,
                            standing.timelines.holds(request.history, request.cursor),
                            attachment->resume(request.cursor, standing.confirmable),
                            attachment->account->log.floor(),
                            standing.confirmable,
                            standing.end,
                            settings_.reread_concurrency != 0};
    const ReplaySource source = choose_source(facts);
    if (const auto* none = std::get_if<TooOld>(&source)) return too_old(text_of(none->why, facts));
    if (const auto* memory = std::get_if<FromMemory>(&source))
        return by_cursor(request.nonce, *attachment, memory->from, credit, standing);
    begin_reader(request.nonce, *attachment, std::get<FromSlot>(source).from, requester, credit,
                 now);
    return std::nullopt;
}

// One that waits for its turn takes in other accounts, and begins where the first of its readers
// needs it to; one that has begun serves who is behind its beginning.
std::shared_ptr<Replays::Job> Replays::find_or_add(const wire::AccountKey& account,
                                                   wire::Lsn cursor, Clock::time_point not_before) {
    for (const auto& job : jobs_) {
        if (job->reread) {
            if (job->accounts.contains(account) && job->from <= cursor &&
                cursor < job->reread->until() && !job->ended)
                return job;
        } else if (job->accounts.contains(account) || job->accounts.size() < kMostAccounts) {
            job->accounts.insert(account);
            job->not_before = std::min(job->not_before, not_before);
            return job;
        }
    }
    jobs_.push_back(std::make_shared<Job>(Job{{account}, 0, nullptr, not_before, false}));
    return jobs_.back();
}

void Replays::begin_waiting(const Standing& standing, Clock::time_point now) {
    // Held by the list alone: nobody reads it.
    std::erase_if(jobs_, [](const auto& job) { return job.use_count() == 1; });
    const auto runs = [](const auto& job) { return job->reread && !job->ended; };
    auto running = std::count_if(jobs_.begin(), jobs_.end(), runs);
    for (const auto& job : jobs_) {
        if (running >= settings_.reread_concurrency) return;
        if (job->reread || now < job->not_before) continue;
        // For those who are still there: what others would have needed is not held any more.
        job->from = kNoLsn;
        for (const auto& [nonce, reader] : readers_)
            if (reader.job == job && attachments_.find(nonce) != nullptr)
                job->from = std::min(job->from, reader.cursor);
        if (job->from == kNoLsn) continue;
        job->reread = std::make_unique<Reread>(settings_, job->accounts, job->from,
                                               standing.published, event_, budget_);
        ++rereads_;
        ++running;
    }
}

// The next part of what is read again; nothing when there is none yet. Goes over to the log in
// memory as soon as that has the rest.
std::optional<Reply> Replays::reread(const wire::Nonce& nonce, Reader& reader, std::uint32_t credit,
                                     const Standing& standing, Clock::time_point now) {
    const Attachment* attachment = attachments_.find(nonce);
    // A job reads the logs of the accounts that it began with.
    if (attachment == nullptr || !reader.job->accounts.contains(attachment->account->key))
        return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
    if (reader.between_transactions && reader.cursor >= attachment->account->log.floor()) {
        const wire::Lsn cursor = reader.cursor;
        readers_.erase(nonce);
        return by_cursor(nonce, *attachment, cursor, credit, standing);
    }
    const Reread* source = reader.job->reread.get();
    if (source == nullptr) return std::nullopt;
    FATWAL_INVARIANT(reader.job->from <= reader.cursor,
                     "what is read again begins no later than its readers need it");
    const Reread::Progress progress =
        source->progress();  // before the size is read: what it has ended with is all there
    const Spool& spool = source->spool(attachment->account->key);
    if (reader.offset < spool.size()) return next_part(nonce, reader, spool, credit, standing, now);
    if (!progress.ended) return std::nullopt;
    if (progress.failure && progress.failure->fatal) return lose(nonce, *progress.failure);
    if (!reader.between_transactions ||
        (progress.failure && reader.cursor < standing.confirmable)) {
        // Postgres was away for a moment. Of a transaction of which a part was given the whole must
        // be asked for; and where the log before the cursor is confirmable meanwhile, whether that
        // is enough.
        readers_.erase(nonce);
        return refuse(wire::ErrorCode::AskByCursor, "reading the slot again was interrupted");
    }
    join_another_job(nonce, reader, attachment->account->key, progress.failure.has_value(), now);
    return std::nullopt;
}

// Moves the reader's cursor over the transactions of the account that the part ends.
Reply Replays::next_part(const wire::Nonce& nonce, Reader& reader, const Spool& spool,
                         std::uint32_t credit, const Standing& standing, Clock::time_point now) {
    auto part = spool.read(reader.offset, credit);
    if (!part) return lose(nonce, {"what was read again cannot be read", settings_.spool_dir, {}});
    Reply reply;
    reply.parts = std::move(part->messages);
    reader.offset = part->next_offset;
    for (const zmq::message_t& message : reply.parts) {
        const auto frame = wire::FrameView::parse_header(
            {static_cast<const std::byte*>(message.data()), message.size()});
        if (!frame) continue;
        reader.between_transactions = frame->has(wire::kLastOfAccount);
        if (reader.between_transactions)
            reader.cursor = std::max(reader.cursor, frame->commit_lsn() + 1);
    }
    holds_.hold(AttachmentHold{nonce}, reader.cursor, now);
    replayed_ += reply.parts.size();
    reply.body =
        wire::Replayed{standing.epoch, 0, false, static_cast<std::uint16_t>(reply.parts.size())};
    return reply;
}

// The reader's job has ended before memory has the rest. A job that ended by a failure read less
// than its `until`; one that brought the reader no further is followed after a pause, as nothing
// new may be there yet.
void Replays::join_another_job(const wire::Nonce& nonce, Reader& reader,
                               const wire::AccountKey& account, bool failed,
                               Clock::time_point now) {
    const wire::Lsn until = reader.job->reread->until();
    const bool again_later = failed || until <= reader.cursor;
    if (!failed) reader.cursor = std::max(reader.cursor, until);
    holds_.hold(AttachmentHold{nonce}, reader.cursor, now);
    reader.offset = 0;
    reader.job = find_or_add(account, reader.cursor, again_later ? now + kRetry : now);
    event_.set();
}

Reply Replays::lose(const wire::Nonce& nonce, const Failure& failure) {
    log_.warn("a subscriber could not be served from the slot again: " + failure.text(),
              Clock::now());
    readers_.erase(nonce);
    holds_.release(AttachmentHold{nonce});
    return too_old(failure.message + ": " + failure.detail);
}

std::vector<std::pair<Requester, Reply>> Replays::progress(const Standing& standing,
                                                           Clock::time_point now) {
    event_.clear();
    for (const auto& job : jobs_)
        if (job->reread && !job->ended) job->ended = job->reread->progress().ended;
    begin_waiting(standing, now);
    std::vector<std::pair<Requester, Reply>> replies;
    for (auto at = readers_.begin(); at != readers_.end();) {
        const auto next = std::next(at);
        const wire::Nonce nonce = at->first;
        Reader& reader = at->second;
        if (reader.waiting) {
            const auto [requester, credit] = *reader.waiting;
            if (auto reply = reread(nonce, reader, credit, standing, now)) {
                // The reader may be gone by now.
                if (const auto still = readers_.find(nonce); still != readers_.end())
                    still->second.waiting.reset();
                replies.emplace_back(requester, std::move(*reply));
            }
        }
        at = next;
    }
    return replies;
}

void Replays::tick(Clock::time_point now) {
    const bool full = budget_.nearly_full();
    std::erase_if(readers_, [&](const auto& entry) {
        const Reader& reader = entry.second;
        return attachments_.find(entry.first) == nullptr ||
               (full && !reader.waiting && now - reader.asked >= kIdleReplayReader);
    });
    // Somebody's turn may have come.
    if (!readers_.empty() || !jobs_.empty()) event_.set();
}

void Replays::clear() {
    readers_.clear();
    jobs_.clear();
}

}  // namespace fatwal::sidecar
