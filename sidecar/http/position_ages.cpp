#include "sidecar/http/position_ages.h"

#include <algorithm>

namespace fatwal::sidecar {

void PositionAges::note(wire::Lsn position, Time now) {
    if (!notes_.empty() && position < notes_.back().position) notes_.clear();
    if (!notes_.empty() && position == notes_.back().position) return;
    notes_.push_back({position, now});
    if (notes_.size() < kMost) return;
    // The first stays: it says since when anything is known.
    std::deque<Note> kept = {notes_.front()};
    for (std::size_t i = 1; i + 1 < notes_.size(); ++i)
        if (notes_[i + 1].at - kept.back().at > (now - notes_[i].at) / kPart)
            kept.push_back(notes_[i]);
    kept.push_back(notes_.back());
    notes_ = std::move(kept);
}

std::chrono::nanoseconds PositionAges::behind(wire::Lsn position, Time now) const {
    const auto first =
        std::upper_bound(notes_.begin(), notes_.end(), position,
                         [](wire::Lsn lsn, const Note& note) { return lsn < note.position; });
    return first == notes_.end() ? std::chrono::nanoseconds{0} : now - first->at;
}

}  // namespace fatwal::sidecar
