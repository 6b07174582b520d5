// Replay: answers what subscribers have missed, from the log in memory or from the slot again.
//
// A subscriber asks by sequence (a gap in what it receives), by cursor (it joins, or was away), or
// for what follows the last reply. By cursor choose_source() decides (replay_source.h has the
// number line). From memory the reply is at once. From the slot a Job reads the accounts' WAL by a
// copy of the slot into files (reread.h), and each Reader reads of that at its own pace:
//
//     cursor                       reader.cursor              floor          job's until
//   ----|-----------------------------|-------------------------|-----------------|----> LSN
//       `- job's from, for the first  `- it has all before      `- memory has the rest
//
// When a reader has come to `floor` it changes over to the log in memory. If the job ends before
// that (memory has moved on), the reader joins another job from its cursor on. So a reader is
// always between `from` and `until` of its job, and nothing that it needs is skipped.
//
// Decoding costs the same for however many accounts, so a job that waits for its turn takes up to
// kMostAccounts of them in. `reread_concurrency` jobs run at a time.
//
// A hold (ledger.h) keeps the slot at the reader's cursor until it has caught up, so what it still
// needs is not confirmed away beneath it.
//
// Invariants: a reader's cursor never falls; a reader's job reads its account; a running job begins
// at or before the cursor of each of its readers. One thread: fatwald's loop.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "service/event.h"
#include "sidecar/delivery/epoch.h"
#include "sidecar/delivery/reread.h"
#include "sidecar/subscribers/attachments.h"
#include "sidecar/subscribers/control_request.h"
#include "sidecar/subscribers/peer_log.h"

namespace fatwal::sidecar {

class Replays {
public:
    Replays(const Settings& settings, Attachments& attachments, Holds& holds, SpoolBudget& budget,
            PeerLog& log);
    Replays(const Replays&) = delete;
    Replays& operator=(const Replays&) = delete;

    // The reply; nothing when it comes later, by progress().
    std::optional<Reply> answer(const wire::Replay& request, const Requester& requester,
                                const Standing& standing, Clock::time_point now);

    // Readable when progress() may have something.
    [[nodiscard]] int fd() const { return event_.fd(); }
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
        // Who waits for a reply, and its credit.
        std::optional<std::pair<Requester, std::uint32_t>> waiting;
    };
    using Readers = std::map<wire::Nonce, Reader>;

    std::shared_ptr<Job> find_or_add(const wire::AccountKey& account, wire::Lsn cursor,
                                     Clock::time_point not_before);
    void begin_waiting(const Standing& standing, Clock::time_point now);
    Reply from_log(AccountLog& log, std::uint64_t sequence, std::uint32_t credit,
                   std::uint64_t epoch);
    Reply by_sequence(const wire::Replay& request, const Attachment& attachment,
                      std::uint32_t credit, const Standing& standing);
    // From memory.
    Reply by_cursor(const wire::Nonce& nonce, const Attachment& attachment, wire::Lsn cursor,
                    std::uint32_t credit, const Standing& standing);
    void begin_reader(const wire::Nonce& nonce, const Attachment& attachment, wire::Lsn from,
                      const Requester& requester, std::uint32_t credit, Clock::time_point now);
    std::optional<Reply> reread(const wire::Nonce& nonce, Reader& reader, std::uint32_t credit,
                                const Standing& standing, Clock::time_point now);
    Reply next_part(const wire::Nonce& nonce, Reader& reader, const Spool& spool,
                    std::uint32_t credit, const Standing& standing, Clock::time_point now);
    void join_another_job(const wire::Nonce& nonce, Reader& reader, const wire::AccountKey& account,
                          bool failed, Clock::time_point now);
    Reply lose(const wire::Nonce& nonce, const Failure& failure);

    const Settings& settings_;
    Attachments& attachments_;
    Holds& holds_;
    SpoolBudget& budget_;
    PeerLog& log_;
    service::Event event_;
    Readers readers_;
    std::list<std::shared_ptr<Job>> jobs_;  // that somebody reads
    std::uint64_t replayed_ = 0;
    std::uint64_t rereads_ = 0;
};

}  // namespace fatwal::sidecar
