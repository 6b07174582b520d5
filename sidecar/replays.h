// Answers what subscribers have missed: from the log that is in memory, or, as far as Postgres
// still holds it, from the slot again.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "sidecar/accounts.h"
#include "sidecar/control.h"
#include "sidecar/reread.h"

namespace fatwal::sidecar {

class Replays {
public:
    Replays(const Settings& settings, Accounts& accounts, Holds& holds, SpoolBudget& budget);
    ~Replays();
    Replays(const Replays&) = delete;
    Replays& operator=(const Replays&) = delete;

    // What the stream knows of itself at the moment.
    struct Standing {
        std::uint64_t epoch = 0;
        Timelines timelines;
        wire::Lsn settled = 0;    // Postgres holds the log from here on; it may be told any moment
                                  // that the rest is not needed
        wire::Lsn published = 0;  // every transaction that commits before is published
        wire::Lsn end = 0;        // no position beyond it can be of this history
    };

    // The reply; nothing when it comes later, by progress().
    std::optional<Reply> answer(const wire::Replay& request, const Requester& requester,
                                const Standing& standing, Clock::time_point now);

    // Readable when progress() may have something.
    [[nodiscard]] int fd() const { return event_; }
    std::vector<std::pair<Requester, Reply>> progress(const Standing& standing,
                                                      Clock::time_point now);

    // Forgets what this subscriber has begun.
    void forget(const wire::Nonce& nonce) { readers_.erase(nonce); }
    // Forgets those whose subscribers have gone, and, when the spools are nearly full, those who
    // have not come for long: they ask by their cursor again.
    void tick(Clock::time_point now);
    void clear();

    [[nodiscard]] std::uint64_t replayed() const { return replayed_; }
    [[nodiscard]] std::uint64_t rereads() const { return rereads_; }

private:
    // A reading of some accounts' log, and when its turn comes.
    struct Job {
        std::set<wire::AccountKey> accounts;
        wire::Lsn from = 0;              // once it is begun
        std::unique_ptr<Reread> reread;  // none while it waits for its turn
        Clock::time_point not_before;    // after a failure that passes
        bool ended = false;
    };
    // A subscriber that is served from the slot.
    struct Reader {
        std::shared_ptr<Job> job;
        std::uint64_t offset = 0;  // in what is read again
        wire::Lsn cursor = 0;      // it has all that commits before
        bool between_transactions = true;
        Clock::time_point asked;  // when it asked last
        std::optional<std::pair<Requester, std::uint32_t>>
            waiting;  // who waits for a reply, and its credit
    };
    using Readers = std::map<wire::Nonce, Reader>;

    std::shared_ptr<Job> find_or_add(const wire::AccountKey& account, wire::Lsn cursor,
                                     Clock::time_point not_before);
    void begin_waiting(const Standing& standing, Clock::time_point now);
    Reply from_log(AccountLog& log, std::uint64_t sequence, std::uint32_t credit,
                   std::uint64_t epoch);
    Reply by_cursor(const Accounts::Attachment& attachment, wire::Lsn cursor, std::uint32_t credit,
                    const Standing& standing);
    std::optional<Reply> reread(const wire::Nonce& nonce, Reader& reader, std::uint32_t credit,
                                const Standing& standing, Clock::time_point now);
    Reply too_old(const std::string& why);
    Reply lose(const wire::Nonce& nonce, const Failure& failure);

    const Settings& settings_;
    Accounts& accounts_;
    Holds& holds_;
    SpoolBudget& budget_;
    int event_;
    Readers readers_;
    std::list<std::shared_ptr<Job>> jobs_;  // that somebody reads
    std::uint64_t replayed_ = 0;
    std::uint64_t rereads_ = 0;
};

}  // namespace fatwal::sidecar
