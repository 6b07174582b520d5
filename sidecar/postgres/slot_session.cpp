#include "sidecar/postgres/slot_session.h"

#include <random>
#include <utility>

#include <spdlog/spdlog.h>

#include "fatwal/wire/invariant.h"
#include "sidecar/postgres/notices.h"

namespace fatwal::sidecar {

SlotSession::SlotSession(const Settings& settings, Notices& notices, Time now)
    : settings_(settings),
      connector_(settings, notices),
      backoff_(std::random_device{}()),
      state_(Waiting{now}),
      lost_at_(now) {}

void SlotSession::connect_if_due(Time now, bool streamed_before) {
    const auto* waiting = std::get_if<Waiting>(&state_);
    if (waiting == nullptr || now < waiting->until) return;
    state_ = Connecting{};
    connector_.start(streamed_before);
}

std::optional<SlotSession::Time> SlotSession::next_attempt() const {
    const auto* waiting = std::get_if<Waiting>(&state_);
    return waiting == nullptr ? std::nullopt : std::optional(waiting->until);
}

std::optional<Outcome> SlotSession::outcome() {
    if (!std::holds_alternative<Connecting>(state_)) return std::nullopt;
    return connector_.outcome();
}

void SlotSession::begin(Connection connection, std::chrono::milliseconds sender_timeout, Time now) {
    FATWAL_INVARIANT(std::holds_alternative<Connecting>(state_), "a stream follows an attempt");
    auto& streaming =
        state_.emplace<Streaming>(Streaming{Stream(std::move(connection), settings_)});
    streaming.silence.begin(now, sender_timeout);
    why_.clear();
}

void SlotSession::lose(const Failure& failure, Time now) {
    FATWAL_INVARIANT(!std::holds_alternative<Waiting>(state_), "what is lost was there");
    if (streams()) {
        if (!failure.decoding) backoff_.reset();
        lost_at_ = now;
        ++reconnects_;
    }
    const auto delay = backoff_.next();
    // `failure` may be the stream's own, so it is logged before the stream ends.
    why_ = one_line(failure.sentences());
    spdlog::warn("{}; trying again in {} ms", failure.text(), delay.count());
    state_ = Waiting{now + delay};
}

Stream* SlotSession::stream() {
    auto* streaming = std::get_if<Streaming>(&state_);
    return streaming == nullptr ? nullptr : &streaming->stream;
}

int SlotSession::stream_fd() const {
    const auto* streaming = std::get_if<Streaming>(&state_);
    return streaming == nullptr ? -1 : streaming->stream.fd();
}

bool SlotSession::is_live() const {
    const auto* streaming = std::get_if<Streaming>(&state_);
    return streaming != nullptr && !streaming->stalled;
}

void SlotSession::heard(Time now) {
    if (auto* streaming = std::get_if<Streaming>(&state_)) streaming->silence.heard(now);
}

bool SlotSession::confirm(wire::Lsn received, wire::Lsn confirmed, Time now) {
    auto& streaming = std::get<Streaming>(state_);
    streaming.silence.asked(now);
    return streaming.stream.confirm(received, confirmed, Stream::Reply::Wanted);
}

std::chrono::milliseconds SlotSession::most_interval() const {
    return std::get<Streaming>(state_).silence.interval();
}

std::optional<Failure> SlotSession::check_silence(Time now) {
    auto* streaming = std::get_if<Streaming>(&state_);
    if (streaming == nullptr) return std::nullopt;
    const Silence::Liveness liveness = streaming->silence.check(now);
    if (liveness == Silence::Liveness::Lost)
        return Failure{"the stream is lost",
                       "The server has sent nothing for its wal_sender_timeout, although it was "
                       "asked.",
                       {},
                       false};
    const bool stalled = liveness == Silence::Liveness::Stalled;
    if (stalled == std::exchange(streaming->stalled, stalled)) return std::nullopt;
    if (stalled)
        spdlog::warn(
            "the stream is stalled: the server does not answer. Subscribers get no heartbeats "
            "until it does");
    else
        spdlog::info("the server answers again");
    return std::nullopt;
}

std::optional<Failure> SlotSession::check(const SlotHealth& health) {
    if (!streams()) return std::nullopt;
    if (!health.slot || health.slot->wal_status == "lost")
        return Failure{"slot \"" + settings_.slot + "\" is " + (health.slot ? "lost" : "missing"),
                       {},
                       {},
                       false};
    if (health.slot->wal_status != health_.wal_status && health.slot->wal_status == "unreserved")
        spdlog::warn(
            "the server may take away WAL that slot {} needs: raise max_slot_wal_keep_size, or see "
            "who holds it (fatwal slot status)",
            settings_.slot);
    health_ = *health.slot;
    return std::nullopt;
}

const char* SlotSession::text() const {
    if (!streams()) return "connecting";
    return is_live() ? "streaming" : "stalled";
}

}  // namespace fatwal::sidecar
