#include "sidecar/delivery/confirmation.h"

#include <algorithm>

#include "fatwal/wire/invariant.h"

namespace fatwal::sidecar {

void Confirmation::begin(wire::Lsn begin, wire::Lsn recorded) {
    confirmed_ = begin;
    recorded_ = recorded;
    recording_ = 0;
}

void Confirmation::disconnected() {
    urgent_ = false;
    goes_down_since_.reset();
}

void Confirmation::raise(const Facts& facts) {
    const wire::Lsn allowed =
        is_recorded_first(facts) ? std::min(facts.confirmable, recorded_) : facts.confirmable;
    confirmed_ = std::max(confirmed_, allowed);
    FATWAL_INVARIANT(confirmed_ <= facts.confirmable, "nothing is confirmed that somebody needs");
}

Confirmation::Step Confirmation::due(const Facts& facts) {
    Step step;
    if (!facts.streams) return step;
    step.heartbeat = facts.confirmable > confirmed_;
    if (is_recorded_first(facts) && facts.confirmable > recorded_ && recording_ == 0)
        step.record = recording_ = facts.confirmable;
    raise(facts);
    step.confirm = true;
    return step;
}

Confirmation::Step Confirmation::server_asks(const Facts& facts) {
    Step step = due(facts);
    urgent_ = confirmed_ < facts.received;
    if (urgent_ && !asking_) step.ask = asking_ = true;
    return step;
}

Confirmation::Step Confirmation::visible(const Facts& facts) {
    asking_ = false;
    return urgent_ ? due(facts) : Step{};
}

Confirmation::Step Confirmation::stored(const Facts& facts) {
    return urgent_ ? due(facts) : Step{};
}

Confirmation::Step Confirmation::recorded(wire::Lsn position, const Facts& facts) {
    recorded_ = std::max(recorded_, position);
    recording_ = 0;
    Step step;
    if (!facts.streams) return step;
    raise(facts);
    step.confirm = true;
    return step;
}

void Confirmation::keeper_failed() {
    asking_ = false;
    recording_ = 0;
}

Confirmation::Step Confirmation::server_goes_down(const Facts& facts, Time now) {
    if (!goes_down_since_) goes_down_since_ = now;
    return due(facts);
}

Confirmation::Step Confirmation::tick(const Facts& facts) {
    Step step;
    if (!asking_ && !facts.all_visible) step.ask = asking_ = true;
    return step;
}

}  // namespace fatwal::sidecar
