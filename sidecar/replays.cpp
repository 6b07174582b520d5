#include "sidecar/replays.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include <spdlog/spdlog.h>

#include "fatwal/wire/text_sink.h"

namespace fatwal::sidecar {

namespace {

constexpr std::uint32_t kLeastCredit = 64 * 1024;
constexpr std::uint32_t kMostCredit = 8 * 1024 * 1024;
constexpr std::size_t kMostMessages = 4096;
constexpr std::size_t kMostAccounts = 64;  // of a reading: a file each
constexpr std::chrono::milliseconds kRetry{500};
constexpr std::chrono::seconds kIdleReader{60};

Reply refuse(wire::ErrorCode code, std::string message, std::string detail = {}) {
    return {wire::ControlError{code, std::move(message), std::move(detail), {}}, {}};
}

}  // namespace

Replays::Replays(const Settings& settings, Accounts& accounts, Holds& holds, SpoolBudget& budget)
    : settings_(settings),
      accounts_(accounts),
      holds_(holds),
      budget_(budget),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Replays::~Replays() {
    clear();
    close(event_);
}

Reply Replays::too_old(const std::string& why) {
    return refuse(wire::ErrorCode::TooOld, "the position is no longer held", why);
}

Reply Replays::from_log(AccountLog& log, std::uint64_t sequence, std::uint32_t credit,
                        std::uint64_t epoch) {
    wire::Replayed head{epoch, sequence, false, 0};
    Reply reply;
    std::size_t bytes = 0;
    while (sequence <= log.sequence() && reply.parts.size() < kMostMessages &&
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

Reply Replays::by_cursor(const Accounts::Attachment& attachment, wire::Lsn cursor,
                         std::uint32_t credit, const Standing& standing) {
    Reply reply =
        from_log(*attachment.log, attachment.log->first_from(cursor), credit, standing.epoch);
    if (std::get<wire::Replayed>(reply.body).end) holds_.release(attachment.hold);
    return reply;
}

std::optional<Reply> Replays::answer(const wire::Replay& request, const Requester& requester,
                                     const Standing& standing, Clock::time_point now) {
    const auto attachment = accounts_.find(request.nonce, requester.identity);
    if (!attachment || request.epoch != standing.epoch)
        return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
    AccountLog& log = *attachment->log;
    const std::uint32_t credit = std::clamp(request.credit, kLeastCredit, kMostCredit);
    if (request.from == wire::Replay::From::Sequence) {
        readers_.erase(request.nonce);
        if (request.sequence == 0 || request.sequence > log.sequence() + 1)
            return refuse(wire::ErrorCode::Malformed, "there is no such sequence");
        if (request.sequence <= log.sequence() && log.find(request.sequence) == nullptr)
            return refuse(wire::ErrorCode::AskByCursor, "the messages are no longer in memory");
        Reply reply = from_log(log, request.sequence, credit, standing.epoch);
        if (std::get<wire::Replayed>(reply.body).end) holds_.release(attachment->hold);
        return reply;
    }
    if (request.from == wire::Replay::From::Continue) {
        const auto reader = readers_.find(request.nonce);
        if (reader == readers_.end())
            return refuse(wire::ErrorCode::AskByCursor, "nothing was begun");
        reader->second.asked = now;
        auto reply = reread(request.nonce, reader->second, credit, standing, now);
        if (!reply) reader->second.waiting = std::pair(requester, credit);
        return reply;
    }
    readers_.erase(request.nonce);
    if (!standing.timelines.holds(request.history, request.cursor))
        return too_old(
            "It is of another history of the database: another cluster, or one that was restored "
            "or failed over behind this position.");
    if (request.cursor > standing.end)
        return too_old(wire::lsn_text(request.cursor) + " lies beyond the end of the log, " +
                       wire::lsn_text(standing.end) + ": the database was restored.");
    const wire::Lsn cursor = attachment->resume(request.cursor, standing.settled);
    if (cursor >= log.floor()) return by_cursor(*attachment, cursor, credit, standing);
    if (cursor < standing.settled || settings_.reread_concurrency == 0)
        return too_old(wire::lsn_text(request.cursor) + " is settled, and memory begins at " +
                       wire::lsn_text(log.floor()) + ".");
    holds_.hold(attachment->hold, cursor, now);
    Reader& reader = readers_[request.nonce];
    reader.asked = now;
    reader.cursor = cursor;
    reader.job = find_or_add(*attachment->account, cursor, now);
    reader.waiting = std::pair(requester, credit);
    eventfd_write(event_, 1);
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
            if (reader.job == job && accounts_.find(nonce))
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
    const auto attachment = accounts_.find(nonce);
    // A job reads the logs of the accounts that it began with.
    if (!attachment || !reader.job->accounts.contains(*attachment->account))
        return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
    if (reader.between_transactions && reader.cursor >= attachment->log->floor()) {
        const wire::Lsn cursor = reader.cursor;
        readers_.erase(nonce);
        return by_cursor(*attachment, cursor, credit, standing);
    }
    const Reread* source = reader.job->reread.get();
    if (source == nullptr) return std::nullopt;
    const Reread::State state =
        source->state();  // before the size is read: what it has ended with is all there
    const Spool& spool = source->spool(*attachment->account);
    if (reader.offset < spool.size()) {
        auto part = spool.read(reader.offset, credit);
        if (!part)
            return lose(nonce, {"what was read again cannot be read", settings_.spool_dir, {}});
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
        holds_.hold(attachment->hold, reader.cursor, now);
        replayed_ += reply.parts.size();
        reply.body = wire::Replayed{standing.epoch, 0, false,
                                    static_cast<std::uint16_t>(reply.parts.size())};
        return reply;
    }
    if (!state.ended) return std::nullopt;
    if (state.failure && state.failure->fatal) return lose(nonce, *state.failure);
    if (!reader.between_transactions || (state.failure && reader.cursor < standing.settled)) {
        // Postgres was away for a moment. Of a transaction of which a part was given the whole must
        // be asked for; and where the log before the cursor is settled meanwhile, whether that is
        // enough.
        readers_.erase(nonce);
        return refuse(wire::ErrorCode::AskByCursor, "reading the slot again was interrupted");
    }
    // On from there, by another reading.
    const bool again_later = state.failure || source->until() <= reader.cursor;
    if (!state.failure) reader.cursor = std::max(reader.cursor, source->until());
    holds_.hold(attachment->hold, reader.cursor, now);
    reader.offset = 0;
    reader.job = find_or_add(*attachment->account, reader.cursor, again_later ? now + kRetry : now);
    eventfd_write(event_, 1);
    return std::nullopt;
}

Reply Replays::lose(const wire::Nonce& nonce, const Failure& failure) {
    const std::string line =
        "a subscriber could not be served from the slot again: " + failure.text();
    if (accounts_.log_budget.admits(line.size(), Clock::now())) spdlog::warn("{}", line);
    readers_.erase(nonce);
    if (const auto attachment = accounts_.find(nonce)) holds_.release(attachment->hold);
    return too_old(failure.message + ": " + failure.detail);
}

std::vector<std::pair<Requester, Reply>> Replays::progress(const Standing& standing,
                                                           Clock::time_point now) {
    eventfd_t count = 0;
    eventfd_read(event_, &count);
    for (const auto& job : jobs_)
        if (job->reread && !job->ended) job->ended = job->reread->state().ended;
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
        return !accounts_.find(entry.first) ||
               (full && !reader.waiting && now - reader.asked >= kIdleReader);
    });
    // Somebody's turn may have come.
    if (!readers_.empty() || !jobs_.empty()) eventfd_write(event_, 1);
}

void Replays::clear() {
    readers_.clear();
    jobs_.clear();
}

}  // namespace fatwal::sidecar
