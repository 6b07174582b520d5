#include "replays.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include <spdlog/spdlog.h>

#include "fatwal/wire/text_sink.h"

namespace fatwal {

namespace {

constexpr std::uint32_t kLeastCredit = 64 * 1024;
constexpr std::uint32_t kMostCredit = 8 * 1024 * 1024;
constexpr std::size_t kMostMessages = 4096;
constexpr std::chrono::seconds kRetry{1};

Reply refuse(wire::ErrorCode code, std::string message, std::string detail = {}) {
    return {wire::ControlError{code, std::move(message), std::move(detail), {}}, {}};
}

}  // namespace

Replays::Replays(const Settings& settings, Accounts& accounts, Holds& holds)
    : settings_(settings), accounts_(accounts), holds_(holds), event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Replays::~Replays() {
    readers_.clear();
    close(event_);
}

Reply Replays::too_old(const std::string& why) { return refuse(wire::ErrorCode::TooOld, "the position is no longer held", why); }

Reply Replays::from_log(AccountLog& log, std::uint64_t sequence, std::uint32_t credit, std::uint64_t epoch) {
    wire::Replayed head{epoch, sequence, false, 0};
    Reply reply;
    std::size_t bytes = 0;
    while (sequence <= log.sequence() && reply.parts.size() < kMostMessages && (bytes == 0 || bytes < credit)) {
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

Reply Replays::by_cursor(const Accounts::Attachment& attachment, wire::Lsn cursor, std::uint32_t credit, const Standing& standing) {
    Reply reply = from_log(*attachment.log, attachment.log->first_from(cursor), credit, standing.epoch);
    if (std::get<wire::Replayed>(reply.body).end) holds_.release(attachment.hold);
    return reply;
}

std::optional<Reply> Replays::answer(const wire::Replay& request, const Requester& requester, const Standing& standing,
                                     Clock::time_point now) {
    const auto attachment = accounts_.find(request.nonce);
    if (!attachment || request.epoch != standing.epoch) return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
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
        if (reader == readers_.end()) return refuse(wire::ErrorCode::AskByCursor, "nothing was begun");
        auto reply = reread(request.nonce, reader->second, credit, standing, now);
        if (!reply) reader->second.waiting = std::pair(requester, credit);
        return reply;
    }
    readers_.erase(request.nonce);
    if (request.history != standing.history)
        return too_old("It is of another history of the database: another cluster, or one that was restored or failed over.");
    if (request.cursor > standing.end)
        return too_old(wire::lsn_text(request.cursor) + " lies beyond the end of the log, " + wire::lsn_text(standing.end) +
                       ": the database was restored.");
    const wire::Lsn cursor = attachment->resume(request.cursor, standing.confirmed);
    if (cursor >= log.floor()) return by_cursor(*attachment, cursor, credit, standing);
    if (cursor < standing.confirmed || settings_.reread_concurrency == 0)
        return too_old(wire::lsn_text(request.cursor) + " is confirmed to Postgres, and memory begins at " + wire::lsn_text(log.floor()) +
                       ".");
    holds_.hold(attachment->hold, cursor, now);
    Reader& reader = readers_[request.nonce];
    reader.cursor = cursor;
    reader.waiting = std::pair(requester, credit);
    eventfd_write(event_, 1);
    return std::nullopt;
}

// The next part of what is read again; nothing when there is none yet. Goes over to the log in memory as soon as that has the rest.
std::optional<Reply> Replays::reread(const wire::Nonce& nonce, Reader& reader, std::uint32_t credit, const Standing& standing,
                                     Clock::time_point now) {
    const auto attachment = accounts_.find(nonce);
    if (!attachment) return refuse(wire::ErrorCode::NotAttached, "this subscriber is not attached");
    Reply reply;
    std::size_t bytes = 0;
    const auto give = [&]() -> Reply {
        wire::Replayed head{standing.epoch, 0, false, static_cast<std::uint16_t>(reply.parts.size())};
        replayed_ += reply.parts.size();
        reply.body = head;
        return std::move(reply);
    };
    for (;;) {
        if (reader.between_transactions && reader.cursor >= attachment->log->floor()) {
            if (!reply.parts.empty()) return give();
            const wire::Lsn cursor = reader.cursor;
            readers_.erase(nonce);
            return by_cursor(*attachment, cursor, credit, standing);
        }
        if (bytes >= credit || reply.parts.size() >= kMostMessages) return give();
        auto item = reader.reread ? reader.reread->take() : std::nullopt;
        if (!item) break;
        if (auto* message = std::get_if<Reread::Message>(&*item)) {
            bytes += message->payload.size();
            reply.parts.push_back(std::move(message->payload));
            if (message->commit_lsn != 0) reader.between_transactions = message->ends_transaction;
            if (message->ends_transaction) reader.cursor = std::max(reader.cursor, message->commit_lsn + 1);
        } else if (const auto* reached = std::get_if<Reread::Reached>(&*item)) {
            reader.cursor = std::max(reader.cursor, reached->position);
        } else {
            const Failure& failure = std::get<Failure>(*item);
            if (!failure.fatal) {
                // Postgres is away for a moment. Of a transaction of which a part was given the whole must be asked for.
                reader.reread.reset();
                reader.not_before = now + kRetry;
                if (reply.parts.empty() && reader.between_transactions) return std::nullopt;
                readers_.erase(nonce);
                return reply.parts.empty() ? refuse(wire::ErrorCode::AskByCursor, "reading the slot again was interrupted") : give();
            }
            spdlog::warn("a subscriber could not be served from the slot again: {}", failure.text());
            readers_.erase(nonce);
            holds_.release(attachment->hold);
            return too_old(failure.message + ": " + failure.detail);
        }
        holds_.hold(attachment->hold, reader.cursor, now);
    }
    if (reply.parts.empty()) return std::nullopt;
    return give();
}

std::vector<std::pair<Requester, Reply>> Replays::progress(const Standing& standing, Clock::time_point now) {
    eventfd_t count = 0;
    eventfd_read(event_, &count);
    std::vector<std::pair<Requester, Reply>> replies;
    int active = 0;
    for (const auto& [nonce, reader] : readers_) active += reader.reread ? 1 : 0;
    for (auto at = readers_.begin(); at != readers_.end();) {
        const auto next = std::next(at);
        const wire::Nonce nonce = at->first;
        Reader& reader = at->second;
        if (!reader.reread && active < settings_.reread_concurrency && now >= reader.not_before) {
            if (const auto attachment = accounts_.find(nonce)) {
                reader.reread = std::make_unique<Reread>(settings_, *attachment->account, reader.cursor, event_);
                ++rereads_;
                ++active;
            }
        }
        if (reader.waiting) {
            const auto [requester, credit] = *reader.waiting;
            if (auto reply = reread(nonce, reader, credit, standing, now)) {
                // The reader may be gone by now.
                if (const auto still = readers_.find(nonce); still != readers_.end()) still->second.waiting.reset();
                replies.emplace_back(requester, std::move(*reply));
            }
        }
        at = next;
    }
    return replies;
}

void Replays::tick() {
    std::erase_if(readers_, [&](const auto& entry) { return !accounts_.find(entry.first); });
    // Somebody's turn may have come.
    if (!readers_.empty()) eventfd_write(event_, 1);
}

void Replays::clear() { readers_.clear(); }

}  // namespace fatwal
