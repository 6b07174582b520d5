#include "portal/access/flow_batch.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "fatwal/wire/invariant.h"

namespace fatwal::access {

FlowBatch::FlowBatch(Options options) : options_(options) {}

std::vector<FlowBatch::Notice> FlowBatch::notices(const std::vector<portal::Flows>& rows,
                                                  const Ids& lost) {
    std::map<std::pair<Uuid, Uuid>, FlowsDurable> durable;
    std::map<std::pair<Uuid, Uuid>, FlowsLost> gone;
    for (const portal::Flows& row : rows) {
        const std::pair key(row.account_id, row.gateway_id);
        if (lost.contains(row.id))
            gone[key].flow_ids.push_back(row.id);
        else
            durable[key].flow_ids.push_back(row.id);
    }
    std::vector<Notice> out;
    out.reserve(durable.size() + gone.size());
    for (auto& [key, message] : durable) out.push_back({key.first, key.second, std::move(message)});
    for (auto& [key, message] : gone) out.push_back({key.first, key.second, std::move(message)});
    return out;
}

std::vector<FlowBatch::Notice> FlowBatch::add(portal::Flows row, Tick now) {
    const auto own = of_account_.find(row.account_id);
    if (waiting() >= options_.max_waiting || waiting_deletions() >= options_.max_waiting ||
        (own != of_account_.end() && own->second >= options_.max_of_account)) {
        lose(row.id);
        const Ids lost{row.id};
        return notices({std::move(row)}, lost);
    }
    enqueue(std::move(row));
    wait_until(rows_.size() < options_.max_rows ? now + options_.after : now);
    return {};
}

void FlowBatch::enqueue(portal::Flows row) {
    known_.insert(row.id);
    ++of_account_[row.account_id];
    rows_.push_back(std::move(row));
}

void FlowBatch::wait_until(Tick time) {
    time = std::max(time, not_before_);
    due_ = due_ ? std::min(*due_, time) : time;
}

void FlowBatch::lose(const Uuid& flow_id) {
    if (!lost_.insert(flow_id).second) return;
    lost_in_order_.push_back(flow_id);
    if (lost_in_order_.size() <= options_.max_waiting) return;
    lost_.erase(lost_in_order_.front());
    lost_in_order_.pop_front();
}

void FlowBatch::remove(const Uuid& flow_id, Tick now) {
    if (known_.contains(flow_id)) {
        dropped_.insert(flow_id);
        return;
    }
    // It may be in the batch under way, so this goes after it.
    if (lost_.contains(flow_id) || !deleting_.insert(flow_id).second) return;
    deletions_.push_back(flow_id);
    wait_until(deletions_.size() < options_.max_rows ? now + options_.after : now);
}

std::optional<FlowBatch::Batch> FlowBatch::take(Tick now) {
    if (under_way_.number != 0) return std::nullopt;
    if (!due_ || now < *due_) return std::nullopt;
    FATWAL_INVARIANT(known_.size() <= rows_.size() && deleting_.size() == deletions_.size(),
                     "what waits and its index are the same");
    Batch batch;
    while (!rows_.empty() && batch.rows.size() < options_.max_rows) {
        portal::Flows row = std::move(rows_.front());
        rows_.pop_front();
        known_.erase(row.id);
        if (const auto own = of_account_.find(row.account_id); --own->second == 0)
            of_account_.erase(own);
        if (dropped_.erase(row.id) == 0) batch.rows.push_back(std::move(row));
    }
    const std::size_t count = std::min(deletions_.size(), options_.max_rows);
    const auto end = deletions_.begin() + static_cast<std::ptrdiff_t>(count);
    batch.deletions.assign(deletions_.begin(), end);
    deletions_.erase(deletions_.begin(), end);
    for (const Uuid& id : batch.deletions) deleting_.erase(id);
    // What is left has waited as long as what goes.
    due_ = rows_.empty() && deletions_.empty() ? std::nullopt : std::optional(now);
    if (batch.rows.empty() && batch.deletions.empty()) return std::nullopt;
    batch.number = ++last_number_;
    under_way_ = batch;
    return batch;
}

std::vector<FlowBatch::Notice> FlowBatch::written(std::uint64_t number, const Result& result,
                                                  Tick now) {
    if (number == 0 || number != under_way_.number) return {};
    Batch batch = std::exchange(under_way_, {});
    for (const Uuid& id : result.lost) lose(id);
    std::vector<portal::Flows> done;
    Ids never_written;
    done.reserve(batch.rows.size());
    for (portal::Flows& row : batch.rows) {
        if (!result.blocked.contains(row.id))
            done.push_back(std::move(row));
        else if (deleting_.erase(row.id) > 0)
            // Its deletion came while it was under way: of what was never written nothing is left.
            never_written.insert(row.id);
        else
            enqueue(std::move(row));
    }
    if (!never_written.empty())
        std::erase_if(deletions_, [&](const Uuid& id) { return never_written.contains(id); });
    for (const Uuid& id : batch.deletions)
        if (result.blocked.contains(id) && deleting_.insert(id).second) deletions_.push_back(id);
    if (!result.blocked.empty()) wait_until(now + options_.after);
    return notices(done, Ids(result.lost.begin(), result.lost.end()));
}

void FlowBatch::failed(std::uint64_t number, Tick now) {
    if (number == 0 || number != under_way_.number) return;
    for (const portal::Flows& row : under_way_.rows) {
        known_.insert(row.id);
        ++of_account_[row.account_id];
    }
    rows_.insert(rows_.begin(), std::make_move_iterator(under_way_.rows.begin()),
                 std::make_move_iterator(under_way_.rows.end()));
    for (auto id = under_way_.deletions.rbegin(); id != under_way_.deletions.rend(); ++id)
        if (deleting_.insert(*id).second) deletions_.push_front(*id);
    // A row whose deletion came while it was under way need not go at all; the deletion stays, as
    // the failure may be of the answer alone.
    for (const Uuid& id : deletions_)
        if (known_.contains(id)) dropped_.insert(id);
    under_way_ = {};
    due_ = not_before_ = now + options_.after;
}

std::optional<Tick> FlowBatch::next_deadline() const {
    if (under_way_.number != 0) return std::nullopt;
    return due_;
}

}  // namespace fatwal::access
