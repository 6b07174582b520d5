#include "sidecar/delivery/snapshots.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include <spdlog/spdlog.h>

#include "fatwal/wire/invariant.h"
#include "sidecar/log_text.h"

namespace fatwal::sidecar {

namespace {

constexpr std::chrono::seconds kLeastKept{5};
// How long a failure stands: doubled by each that follows, until one succeeds.
constexpr std::chrono::milliseconds kFirstCooldown{1000};
constexpr std::chrono::milliseconds kMostCooldown{30'000};
// A reader that has not come for so long loses its snapshot to those that wait for room.
constexpr std::chrono::seconds kIdleSnapshotReader{60};
constexpr std::chrono::milliseconds kMostPause{5000};
// Tries after the first, with a pause before each that doubles, 3 s in all. A try waits for the
// lock of a rewrite that is under way, so only rewrites that end one after the other use the tries
// up; then the subscriber gets the error, and asks again by itself. A session that is lost (the
// server restarts, somebody ends its backends) is tried again in the same way.
constexpr int kTries = 5;
constexpr std::chrono::milliseconds kFirstPause{100};

}  // namespace

struct Snapshots::Snapshot {
    wire::AccountKey account;
    std::shared_ptr<SnapshotJob> job;  // none before its turn
    bool known = false;                // progress() has given it
    bool ended = false;
    bool sent = false;       // somebody has some of its rows
    bool abandoned = false;  // it was not read to its end: whoever has some of its rows begins
                             // again, with another snapshot
    int tries = 0;           // that came to nothing
    std::optional<Failure> failure;
    wire::SnapshotPart head;  // its cursor 0: not known yet
    bool standby_first = false;
    std::string asked_by;    // its credential
    wire::Lsn asked_at = 0;  // every transaction before was published when it was first asked for
    Time taken;              // when its turn came
    Time touched;            // when somebody read of it, or it ended
    std::set<wire::Nonce> readers;  // that have not read it to its end
};

Snapshots::Snapshots(const Settings& settings, SpoolBudget& budget)
    : settings_(settings), budget_(budget), sessions_(settings) {}

Snapshots::~Snapshots() {
    clear();
    sessions_.finish();
}

Snapshots::Snapshot* Snapshots::find(Id id) const {
    const auto found = snapshots_.find(id);
    return found == snapshots_.end() ? nullptr : found->second.get();
}

Snapshots::Snapshot& Snapshots::add(const wire::AccountKey& account, Time now) {
    auto snapshot = std::make_unique<Snapshot>();
    snapshot->account = account;
    snapshot->head.snapshot = ++last_id_;
    snapshot->touched = now;
    newest_[account] = last_id_;
    return *snapshots_.emplace(last_id_, std::move(snapshot)).first->second;
}

bool Snapshots::serves(const Snapshot& snapshot, const Needs& needs, Age age, Time now) const {
    if (snapshot.abandoned) return false;
    if (snapshot.failure) {
        const auto standing = cooldowns_.find(snapshot.account);
        return standing != cooldowns_.end() && now < standing->second.until;
    }
    const wire::Lsn cursor = snapshot.head.cursor;
    if (cursor != 0 && cursor < needs.floor) return false;
    // Nothing that commits before the cursor is missing in it. One that is not taken yet, and was
    // asked for after the resync was published, sees it too, unless its commit is not visible yet:
    // then the resync is replayed, and asks for another one, which this must not be.
    const wire::Lsn sees = cursor != 0 ? cursor : snapshot.asked_at;
    if (snapshot.job && sees <= needs.resync) return false;
    return !snapshot.ended || age == Age::Any ||
           now - snapshot.taken <= std::chrono::milliseconds(settings_.snapshot_reuse_ms);
}

bool Snapshots::has_many(const wire::AccountKey& account) const {
    std::size_t count = 0;
    std::uint64_t bytes = 0;
    for (const auto& [id, snapshot] : snapshots_) {
        if (snapshot->abandoned || snapshot->failure || snapshot->account != account) continue;
        ++count;
        if (snapshot->job) bytes += snapshot->job->spool().size();
    }
    return count >= kMostKept ||
           (count > 1 && bytes > static_cast<std::uint64_t>(settings_.spool_bytes) / 4);
}

void Snapshots::leave(const wire::Nonce& reader) {
    const auto reads = reads_.find(reader);
    if (reads == reads_.end()) return;
    if (Snapshot* snapshot = find(reads->second)) snapshot->readers.erase(reader);
    reads_.erase(reads);
}

std::optional<Snapshots::Id> Snapshots::find_or_begin(const wire::AccountKey& account,
                                                      const Needs& needs,
                                                      const std::string& credential, Time now) {
    if (const auto newest = newest_.find(account); newest != newest_.end()) {
        const Snapshot& snapshot = *find(newest->second);
        if (serves(snapshot, needs, Age::Fresh, now)) return newest->second;
        if (has_many(account))
            return serves(snapshot, needs, Age::Any, now) ? std::optional(newest->second)
                                                          : std::nullopt;
    }
    Snapshot& snapshot = add(account, now);
    snapshot.asked_at = needs.published;
    snapshot.asked_by = credential;
    const Id id = last_id_;
    turns_[snapshot.asked_by].push_back(id);
    begin_waiting(now);
    return id;
}

// Whether one more may begin. What nobody reads goes first, then what no reader has come for in
// long.
bool Snapshots::make_room(Time now) {
    for (const bool read : {false, true})
        for (auto& [id, snapshot] : snapshots_) {
            if (!budget_.nearly_full()) return true;
            if (!snapshot->ended || !snapshot->job || !snapshot->readers.empty() != read) continue;
            if (read && now - snapshot->touched < kIdleSnapshotReader) continue;
            snapshot->abandoned = true;
            drop_job(*snapshot);
        }
    return !budget_.nearly_full();
}

void Snapshots::drop_job(Snapshot& snapshot) {
    if (!snapshot.job) return;
    if (!snapshot.ended) sessions_.stop(*snapshot.job);
    snapshot.job.reset();
    running_.erase(snapshot.head.snapshot);
}

// Takes out the next one: the credentials take turns, and while several wait one of them leaves a
// session to the others.
std::optional<Snapshots::Id> Snapshots::next_in_turn() {
    const auto most = static_cast<std::size_t>(settings_.snapshot_concurrency);
    const auto may_have_another = [&](const std::string& credential) {
        const auto run = std::count_if(running_.begin(), running_.end(),
                                       [&](Id id) { return find(id)->asked_by == credential; });
        return static_cast<std::size_t>(run) + 1 < most;
    };
    for (std::size_t tried = 0; !turns_.empty();) {
        auto turn = turns_.upper_bound(served_);
        if (turn == turns_.end()) turn = turns_.begin();
        served_ = turn->first;
        if (turns_.size() > 1 && tried < turns_.size() && !may_have_another(turn->first)) {
            ++tried;
            continue;
        }
        const Id id = turn->second.front();
        turn->second.pop_front();
        if (turn->second.empty()) turns_.erase(turn);
        const Snapshot* snapshot = find(id);
        if (snapshot != nullptr && !snapshot->job && !snapshot->abandoned) return id;
    }
    return std::nullopt;
}

std::size_t Snapshots::waiting() const {
    std::size_t count = 0;
    for (const auto& [credential, ids] : turns_) count += ids.size();
    return count;
}

void Snapshots::begin_waiting(Time now) {
    while (!turns_.empty() &&
           running_.size() < static_cast<std::size_t>(settings_.snapshot_concurrency) &&
           make_room(now)) {
        const auto next = next_in_turn();
        if (!next) return;
        const Id id = *next;
        Snapshot* snapshot = find(id);
        const auto pause =
            snapshot->tries == 0
                ? std::chrono::milliseconds(0)
                : std::min(kFirstPause * (1 << std::min(snapshot->tries - 1, 10)), kMostPause);
        snapshot->job =
            std::make_shared<SnapshotJob>(settings_, plans_, snapshot->account, event_, budget_);
        snapshot->taken = snapshot->touched = now;
        running_.insert(id);
        newest_begun_ = std::max(newest_begun_, id);
        ++queries_;
        sessions_.post(snapshot->job, now + pause);
    }
}

void Snapshots::set_cursor(Id id, wire::Lsn cursor) {
    if (Snapshot* snapshot = find(id)) snapshot->head.cursor = cursor;
}

Snapshots::Readiness Snapshots::readiness(Id id, std::uint64_t offset) const {
    const Snapshot* snapshot = find(id);
    if (snapshot == nullptr || snapshot->abandoned) return Readiness::Unknown;
    if (snapshot->failure) return Readiness::Failed;
    if (!snapshot->job || snapshot->head.cursor == 0) return Readiness::Waiting;
    return snapshot->ended || snapshot->job->spool().size() > offset ? Readiness::Readable
                                                                     : Readiness::Waiting;
}

Failure Snapshots::failure(Id id) const {
    const Snapshot* snapshot = find(id);
    return snapshot != nullptr && snapshot->failure ? *snapshot->failure : Failure{};
}

wire::AccountKey Snapshots::account(Id id) const {
    const Snapshot* snapshot = find(id);
    return snapshot == nullptr ? wire::AccountKey{} : snapshot->account;
}

wire::SnapshotPart Snapshots::head(Id id) const {
    const Snapshot* snapshot = find(id);
    return snapshot == nullptr ? wire::SnapshotPart{} : snapshot->head;
}

bool Snapshots::standby_first(Id id) const {
    const Snapshot* snapshot = find(id);
    return snapshot != nullptr && snapshot->standby_first;
}

std::optional<Snapshots::Part> Snapshots::read(Id id, const wire::Nonce& reader,
                                               std::uint64_t offset, std::size_t credit, Time now) {
    Snapshot* snapshot = find(id);
    if (snapshot == nullptr || !snapshot->job) return std::nullopt;
    snapshot->touched = now;
    auto read = snapshot->job->spool().read(offset, credit);
    if (!read) return std::nullopt;
    snapshot->sent = true;
    // It reads one at a time.
    leave(reader);
    const bool end = snapshot->ended && read->next_offset == snapshot->job->spool().size();
    if (!end) {
        snapshot->readers.insert(reader);
        reads_[reader] = id;
    }
    return Part{std::move(read->messages), read->next_offset, end};
}

void Snapshots::keep(Id id, Time now) {
    if (Snapshot* snapshot = find(id)) snapshot->touched = now;
}

void Snapshots::take_again(Id id, Time now) {
    Snapshot* snapshot = find(id);
    if (snapshot == nullptr) return;
    drop_job(*snapshot);
    snapshot->known = snapshot->ended = false;
    ++snapshot->tries;
    turns_[snapshot->asked_by].push_front(id);
    begin_waiting(now);
}

// A table was rewritten behind the snapshot's back, or its session was lost: what was read of it is
// void, and its rows are read in another snapshot. Whoever waits for it waits on. Whoever has rows
// of it already cannot keep them, and offsets into it mean nothing in another one: it is gone for
// them, and they find a new one, with the tries that are left.
void Snapshots::try_again(Snapshot& snapshot, const Failure& why, Time now) {
    spdlog::info("the snapshot of account {} is taken again: {}",
                 log_text(snapshot.account.to_text()), why.text());
    if (!snapshot.sent) {
        ++snapshot.tries;
        drop_job(snapshot);
        snapshot.known = snapshot.ended = false;
        snapshot.head.cursor = 0;
        turns_[snapshot.asked_by].push_front(snapshot.head.snapshot);
        return;
    }
    snapshot.ended = snapshot.abandoned = true;
    snapshot.touched = now;
    Snapshot& next = add(snapshot.account, now);
    next.tries = snapshot.tries + 1;
    next.asked_at = snapshot.asked_at;
    next.asked_by = snapshot.asked_by;
    turns_[next.asked_by].push_front(last_id_);
}

void Snapshots::failed(Snapshot& snapshot, const Failure& why, Time now) {
    snapshot.failure = why;
    ++failures_;
    last_failure_ = one_line(why.sentences());
    log_.add(why.text());
    const auto found = cooldowns_.find(snapshot.account);
    const auto pause = found == cooldowns_.end() ? kFirstCooldown
                                                 : std::min(found->second.pause * 2, kMostCooldown);
    cooldowns_[snapshot.account] = {pause, now + pause};
}

Snapshots::Progress Snapshots::progress() {
    event_.clear();
    Progress progress;
    const auto now = std::chrono::steady_clock::now();
    FATWAL_INVARIANT(running_.size() <= static_cast<std::size_t>(settings_.snapshot_concurrency),
                     "no more snapshots are read at a time than there are sessions");
    for (const Id id : std::set(running_)) {
        Snapshot& snapshot = *snapshots_.at(id);
        FATWAL_INVARIANT(snapshot.job != nullptr, "a running snapshot has a job");
        const SnapshotJob::View view = snapshot.job->view();
        progress.changed.push_back(id);
        if (view.ended) running_.erase(id);
        if (view.ended && view.failure && view.again && snapshot.tries < kTries) {
            try_again(snapshot, *view.failure, now);
            continue;
        }
        if (view.taken && !snapshot.known) {
            snapshot.known = true;
            snapshot.head.until = view.until;
            snapshot.standby_first = view.standby_first;
            snapshot.head.sees = view.sees;
            progress.taken.push_back({id, view.sees, view.until});
        }
        if (!view.ended) continue;
        snapshot.ended = true;
        snapshot.touched = now;
        if (view.failure) {
            failed(snapshot, *view.failure, now);
        } else {
            durations_.observe(now - snapshot.taken);
            rows_ += view.rows;
            cooldowns_.erase(snapshot.account);
            if (cooldowns_.empty()) last_failure_.clear();
        }
    }
    begin_waiting(now);
    return progress;
}

std::vector<Snapshots::Id> Snapshots::tick(Time now, const Attached& attached) {
    const auto kept = std::max<std::chrono::steady_clock::duration>(
        std::chrono::milliseconds(settings_.snapshot_reuse_ms), kLeastKept);
    std::vector<Id> forgotten;
    std::erase_if(reads_, [&](const auto& entry) { return !attached(entry.first); });
    std::erase_if(snapshots_, [&](const auto& entry) {
        Snapshot& snapshot = *entry.second;
        std::erase_if(snapshot.readers, [&](const auto& reader) { return !attached(reader); });
        const auto idle = now - snapshot.touched;
        const bool stands = snapshot.failure && idle <= kMostCooldown;
        const bool read = !snapshot.readers.empty() && !snapshot.abandoned &&
                          idle <= std::chrono::seconds(settings_.retention_s);
        if (!snapshot.ended || idle <= kept || stands || read) return false;
        drop_job(snapshot);
        if (const auto newest = newest_.find(snapshot.account);
            newest != newest_.end() && newest->second == entry.first)
            newest_.erase(newest);
        forgotten.push_back(entry.first);
        return true;
    });
    // Who does not fail again for long begins with the first pause again.
    std::erase_if(cooldowns_,
                  [&](const auto& entry) { return now - entry.second.until > kMostCooldown * 2; });
    begin_waiting(now);
    return forgotten;
}

void Snapshots::clear() {
    for (auto& [id, snapshot] : snapshots_) drop_job(*snapshot);
    snapshots_.clear();
    newest_.clear();
    turns_.clear();
    running_.clear();
    reads_.clear();
    cooldowns_.clear();
}

Snapshots::Id Snapshots::oldest_unknown() const {
    for (const Id id : running_)
        if (!snapshots_.at(id)->known) return id;
    return newest_begun_ + 1;
}

}  // namespace fatwal::sidecar
