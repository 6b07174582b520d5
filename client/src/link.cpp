#include "client/src/link.h"

#include <sys/random.h>

#include <algorithm>
#include <system_error>
#include <utility>
#include <variant>

#include "client/src/credit.h"
#include "fatwal/wire/invariant.h"
#include "fatwal/wire/overloaded.h"

namespace fatwal::client {

namespace {

using std::chrono::milliseconds;

// One is late when fatwald is busy for a moment, two when a machine stalls; with three a fatwald
// that was killed is noticed within three seconds by default.
constexpr int kHeartbeatsMissed = 3;
// Of a replay or a snapshot; the sidecar may let it wait for its turn.
constexpr milliseconds kAnswerTimeout{10'000};
// An acknowledgement only lets WAL go, so it may be late; a worker that acknowledges each
// transaction would else send a message for each. Not by more than 64: what is not acknowledged
// comes again after a crash.
constexpr milliseconds kAckInterval{200};
constexpr int kAcksBetween = 64;
// The first retry finds a fatwald that was restarted; the last is how often thousands of
// subscribers may ask one that refuses them.
constexpr milliseconds kLeastRetry{100};
constexpr milliseconds kMostRetry{5000};
// With several endpoints, for so long after a loss: another fatwald takes over within a moment.
constexpr milliseconds kSoon{5000};
constexpr milliseconds kMostRetrySoon{200};
// What a sidecar may announce; an earlier one announced more than it kept.
constexpr milliseconds kLeastHeartbeat{100};
constexpr milliseconds kMostHeartbeat{10'000};
// For the last heartbeat of a fatwald that ends: it comes on another socket than error 7.
constexpr milliseconds kLastHeartbeat{50};
constexpr std::size_t kMostHeld = 16 << 20;  // bytes, by one that pauses
constexpr milliseconds kFarewell{100};       // for what was sent last
// As many accounts' queues are allowed for on a socket that accounts share, in messages and in
// bytes.
constexpr int kSharedBy = 20;
constexpr std::size_t kSharedBytes = 4;

wire::Nonce random_nonce() {
    wire::Nonce nonce{};
    if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
        throw std::system_error(errno, std::generic_category(), "getrandom");
    return nonce;
}

// The wall clock as it was when the process began, moved on by the steady clock: a wall clock that
// is set meanwhile changes nothing.
Follower::WallTime wall_now() {
    static const auto began = std::pair(std::chrono::system_clock::now(), Clock::now());
    return std::chrono::floor<std::chrono::microseconds>(began.first +
                                                         (Clock::now() - began.second));
}

}  // namespace

Link::Link(Sockets& sockets, Subscription& subscription, SubscriptionOptions options)
    : sockets_(sockets),
      subscription_(subscription),
      options_(std::move(options)),
      follower_({options_.account, options_.snapshots, options_.max_transaction_bytes,
                 options_.max_ahead_bytes, options_.credit, options_.resync_after,
                 options_.resync_interval, options_.resync_tables, options_.not_before},
                options_.cursor),
      handed_(options_.cursor),
      retry_(kLeastRetry) {
    if (options_.control.empty())
        throw std::invalid_argument("a subscription needs the endpoint of a control socket");
    if (options_.keys) options_.keys->check();
    begin(Clock::now());
    sockets_.add(*this);
}

Link::~Link() {
    detach(false);
    forget_requests();
    close_questions();
    leave();
    if (control_ != nullptr) sockets_.close_control(*control_, kFarewell);
    resume();
    sockets_.remove(*this);
}

// Events of its own, Lost among them, stand before those that the follower makes after them.
std::optional<Event> Link::take() {
    std::optional<Follower::Told> told;
    if (events_.empty()) {
        told = follower_.take();
    } else {
        told = std::move(events_.front());
        events_.pop_front();
    }
    if (!told) return std::nullopt;
    handed_ = std::move(told->second);
    return std::move(told->first);
}

void Link::resume() {
    if (!std::exchange(paused_, false)) return;
    if (std::exchange(held_, 0) > kMostHeld) sockets_.read_on();
    sockets_.resumed(*this);
}

void Link::hold(std::size_t bytes) {
    if (!paused_) return;
    const bool was_full = held_ > kMostHeld;
    held_ += bytes;
    if (!was_full && held_ > kMostHeld) sockets_.read_no_more();
}

void Link::ack(const Cursor& processed) {
    if (!options_.durable || processed.next <= acked_) return;
    to_ack_ = std::max(to_ack_, processed.next);
    sockets_.to_acknowledge(*this);
    if (++acks_waiting_ < kAcksBetween) return;
    (void)send_ack(ack_at_);
    sockets_.signal_if_touched();
}

std::optional<Clock::time_point> Link::send_ack(Clock::time_point now) {
    if (to_ack_ <= acked_ || state_ != State::Live) return std::nullopt;
    if (now < ack_at_) return ack_at_;
    sockets_.tell(*control_, wire::Acknowledge{nonce_, to_ack_}, attached_);
    acked_ = to_ack_;
    acks_waiting_ = 0;
    ack_at_ = now + kAckInterval;
    return std::nullopt;
}

void Link::detach(bool forget) {
    if (state_ != State::Live && state_ != State::Joining) return;
    if (!forget) (void)send_ack(ack_at_);
    sockets_.tell(*control_, wire::Detach{nonce_, forget});
}

Clock::time_point Link::wake_at() const {
    auto at = deadline_;
    if (asked_ + described_ != 0) at = std::min(at, answer_by_);
    if (snapshot_waits_) at = std::min(at, snapshot_at_);
    if (repeats_subscription()) at = std::min(at, repeat_at_);
    return at;
}

bool Link::repeats_subscription() const { return options_.keys && state_ == State::Live && !ends_; }

void Link::heard(Clock::time_point now) {
    if (ends_) return;
    deadline_ = now + heartbeat_ * kHeartbeatsMissed;
    repeat_at_ = now + heartbeat_ * 3 / 2;
}

void Link::adapt_credit(const std::vector<std::string>& parts, Clock::time_point now) {
    std::size_t bytes = 0;
    for (const std::string& part : parts) bytes += part.size();
    hold(bytes);
    follower_.set_credit(next_credit(follower_.credit(), bytes, now - asked_at_));
}

void Link::begin(Clock::time_point now) {
    close_questions();
    if (options_.control.size() == 1) return attach(now);
    if (control_ != nullptr)
        sockets_.close_control(*std::exchange(control_, nullptr), milliseconds(0));
    for (std::size_t i = 0; i < options_.control.size(); ++i) {
        Sockets::Control& control =
            sockets_.open_control(address(options_.control[i]), attached_at_);
        questions_.push_back({&control, sockets_.ask(control, *this, wire::Ping{}), i});
    }
    attached_at_ = now;
    state_ = State::Asking;
    deadline_ = now + options_.request_timeout;
}

// The first that streams is the one: two never stream the same slot.
void Link::answered(std::uint32_t request, bool streams, Clock::time_point now) {
    bool any_open = false;
    std::optional<std::size_t> chosen;
    for (Question& question : questions_) {
        if (question.request == request) {
            question.request = 0;
            if (streams) chosen = question.endpoint;
        }
        any_open = any_open || question.request != 0;
    }
    if (chosen) {
        for (Question& question : questions_) sockets_.forget(std::exchange(question.request, 0));
        endpoint_ = *chosen;
        return attach(now);
    }
    if (!any_open) return wait_for_retry(now);
    // Who does not answer at all keeps it waiting no longer than it waits to ask again.
    deadline_ = std::min(deadline_, now + kMostRetrySoon);
}

void Link::close_questions() {
    for (const Question& question : questions_) {
        sockets_.forget(question.request);
        sockets_.close_control(*question.control, milliseconds(0));
    }
    questions_.clear();
}

void Link::wait_for_retry(Clock::time_point now) {
    state_ = State::Waiting;
    const bool soon = options_.control.size() > 1 && now - lost_at_ < kSoon;
    deadline_ = now + (soon ? std::min(retry_, kMostRetrySoon) : retry_);
    retry_ = std::min(retry_ * 2, soon ? kMostRetrySoon : kMostRetry);
}

void Link::attach(Clock::time_point now) {
    // Alone on it there is a new one for each attempt: what waits in the old one is for a sidecar
    // that may be no more.
    if (control_ != nullptr) sockets_.close_control(*control_, milliseconds(0));
    control_ = &sockets_.open_control(address(options_.control[endpoint_]), attached_at_);
    attached_at_ = now;
    nonce_ = random_nonce();
    // Only what the worker has acknowledged is processed, unless a snapshot has taken its place; of
    // a cursor that it brought along it said so.
    const auto standing = follower_.cursor();
    wire::Attach request{nonce_,
                         options_.account,
                         options_.durable,
                         options_.name,
                         standing ? std::min(to_ack_, standing->next) : 0,
                         history_};
    if (to_ack_ == 0 && standing && options_.cursor) {
        request.cursor = options_.cursor->next;
        request.history = options_.cursor->history;
    }
    attaching_ = sockets_.ask(*control_, *this, std::move(request));
    state_ = State::Attaching;
    deadline_ = now + (options_.durable ? std::max(options_.request_timeout, kAnswerTimeout)
                                        : options_.request_timeout);
}

// ATTACHED names the socket; from here on the barrier stands before the account's messages.
void Link::join(const wire::Attached& attached) {
    heartbeat_ = std::clamp(milliseconds(attached.heartbeat_ms), kLeastHeartbeat, kMostHeartbeat);
    if (attached.history != history_) to_ack_ = 0;
    history_ = attached.history;
    follower_.attached(nonce_, attached.epoch, attached.history);
    const bool shared = !attached.topic.empty();
    barrier_.emplace(nonce_, attached.epoch, attached.topic,
                     options_.keys ? JoinBarrier::Kind::Dealer : JoinBarrier::Kind::Sub);
    data_ = &sockets_.join(*this, address(attached.endpoint), *barrier_,
                           {options_.max_queue_bytes * (shared ? kSharedBytes : 1),
                            options_.receive_high_water_mark * (shared ? kSharedBy : 1)},
                           data_unheard_);
    data_unheard_ = Clock::now();
    state_ = State::Joining;
    deadline_ = data_unheard_ + options_.request_timeout;
}

void Link::leave() {
    if (data_ != nullptr) sockets_.leave(*std::exchange(data_, nullptr), *this, *barrier_);
    barrier_.reset();
}

// Who refuses keys gives no answer at all.
std::string Link::no_answer() const {
    std::string reason = "no answer from the control endpoint";
    if (state_ == State::Asking) {
        for (const std::string& endpoint : options_.control)
            reason += (&endpoint == &options_.control.front() ? "s " : ", ") + endpoint;
    } else {
        reason += ' ' + options_.control[endpoint_];
    }
    if (!options_.keys) return reason;
    return reason + ": nobody is there, or its public key is not " +
           options_.keys->server_public_key + ", or no credential has ours, " +
           options_.keys->public_key;
}

void Link::forget_requests() {
    for (std::uint32_t* request : {&attaching_, &attached_, &asked_, &described_})
        sockets_.forget(std::exchange(*request, 0));
}

void Link::lose(std::string reason, std::optional<wire::ControlError> error) {
    leave();
    forget_requests();
    ends_.reset();
    follower_.detached();
    const auto now = Clock::now();
    const bool was_live = std::exchange(state_, State::Waiting) == State::Live;
    if (was_live) lost_at_ = now;
    wait_for_retry(now);
    // Another one may stream already.
    if (was_live && options_.control.size() > 1) deadline_ = now;
    acked_ = 0;  // what was under way may not have come
    // Behind what came before it.
    while (auto told = follower_.take()) events_.push_back(std::move(*told));
    events_.emplace_back(Lost{std::move(reason), std::move(error)}, follower_.cursor());
}

// Sends what the follower wants next; called after whatever may have changed that.
void Link::request(Clock::time_point now) {
    if (state_ != State::Live) return;
    // Only who reads the stream has no reason to be slow with the next attempt.
    if (follower_.live()) retry_ = kLeastRetry;
    if (follower_.snapshots_begun() != snapshots_) {
        snapshots_ = follower_.snapshots_begun();
        snapshot_at_ = now + follower_.snapshot_pause();
    }
    snapshot_waits_ = now < snapshot_at_;
    while (auto body = follower_.take_request(!snapshot_waits_)) {
        const bool describes = std::holds_alternative<wire::Describe>(*body);
        (describes ? described_ : asked_) = sockets_.ask(*control_, *this, std::move(*body));
        if (!describes) asked_at_ = now;
        answer_by_ = now + kAnswerTimeout;
    }
}

void Link::reply(std::uint32_t request, const wire::ControlBody& body,
                 std::vector<std::string> parts) {
    if (state_ == State::Asking) {
        const auto* pong = std::get_if<wire::Pong>(&body);
        return answered(request, pong != nullptr && pong->epoch != 0, Clock::now());
    }
    const bool attaches = request == attaching_;
    const bool of_attachment = request == attached_ && attached_ != 0;
    if (attaches) attaching_ = 0;
    if (request == asked_) asked_ = 0;
    if (request == described_) described_ = 0;
    // A reply that is added has to be named here; requests are for fatwald to answer.
    wire::Overloaded handle{
        [&](const wire::Attached& attached) {
            if (!attaches) return;
            attached_ = request;
            sockets_.listen(attached_, *this);
            join(attached);
        },
        [&](const wire::Described& described) {
            follower_.described(described.schemas, wall_now());
        },
        [&](const wire::Replayed& replayed) {
            adapt_credit(parts, Clock::now());
            follower_.replayed(replayed, std::move(parts), wall_now());
        },
        [&](const wire::SnapshotPart& part) {
            adapt_credit(parts, Clock::now());
            follower_.snapshot_part(part, std::move(parts));
        },
        [&](const wire::ControlError& error) {
            if (attaches || of_attachment || !follower_.refused(error))
                lose("fatwald refused: " + error.message, error);
        },
        [](const wire::Detached&) {},  // the subscription is over
        [](const wire::Pong&) {},      // answered() had it
        // Nobody asks for these here.
        [](const wire::StatusReply&) {},
        [](const wire::Confirmed&) {},
        [](const wire::DurableList&) {},
        [](const wire::Forgotten&) {},
        [](const wire::HoldList&) {},
        [](const wire::SubscriberList&) {},
        [](const wire::AccountList&) {},
        [](const wire::EventList&) {},
        []<wire::ControlRequest Request>(const Request&) {},
    };
    std::visit(handle, body);
    this->request(Clock::now());
}

void Link::published(const wire::PublicationHeader& header, wire::Bytes body,
                     Clock::time_point now) {
    if (!barrier_ || !barrier_->is_open()) return;
    FATWAL_INVARIANT(state_ == State::Live, "behind an open barrier the subscription is live");
    hold(body.size());
    heard(now);
    if (header.topic == wire::Topic::Heartbeat)
        follower_.heartbeat(header, wall_now());
    else
        follower_.message(header, std::string(wire::as_text(body)), wall_now());
    request(now);
}

// The first marker opens the barrier. A later one says that the socket has connected again, and is
// a heartbeat to the follower.
void Link::marker(const wire::PublicationHeader& header, Clock::time_point now) {
    if (!barrier_) return;
    barrier_->marker(header);
    if (!barrier_->is_open()) return;
    follower_.marker(header, wall_now());
    heard(now);
    state_ = State::Live;
    if (to_ack_ > acked_) sockets_.to_acknowledge(*this);
    request(now);
}

void Link::ends(const Sockets::Control& control, const wire::ControlError& error) {
    if (control_ != &control || state_ == State::Waiting || state_ == State::Asking) return;
    // The last heartbeat comes on another socket: with it the cursor is not behind what is kept.
    ends_ = error;
    deadline_ = Clock::now() + kLastHeartbeat;
}

void Link::expire(Clock::time_point now) {
    if (state_ != State::Asking) close_questions();
    // Only what is not there when all is read did not come: it may be we who are late.
    if (asked_ + described_ != 0 && now >= answer_by_ && sockets_.has_read(*control_, answer_by_)) {
        for (std::uint32_t* asked : {&asked_, &described_})
            sockets_.forget(std::exchange(*asked, 0));
        follower_.ask_again();
        request(now);
    }
    if (snapshot_waits_ && now >= snapshot_at_) request(now);
    if (repeats_subscription() && now >= repeat_at_ && sockets_.has_read(*data_, repeat_at_)) {
        sockets_.subscribe_again(*data_, *barrier_);
        repeat_at_ = now + heartbeat_;
    }
    if (now < deadline_) return;
    if (ends_) {
        if (data_ != nullptr && !sockets_.has_read(*data_, deadline_)) return;
        const wire::ControlError error = *std::exchange(ends_, std::nullopt);
        return lose("fatwald ends: " + error.message, error);
    }
    switch (state_) {
        case State::Waiting: return begin(now);
        case State::Asking: {
            // What came before the deadline may still be unread, and counts.
            for (const Question& question : questions_)
                if (!sockets_.has_read(*question.control, deadline_)) return;
            // Where one has answered, a fatwald waits to stream: that is no loss.
            const bool silent =
                std::all_of(questions_.begin(), questions_.end(),
                            [](const Question& question) { return question.request != 0; });
            close_questions();
            return silent ? lose(no_answer()) : wait_for_retry(now);
        }
        case State::Attaching:
            if (sockets_.has_read(*control_, deadline_)) lose(no_answer());
            return;
        case State::Joining:
            if (sockets_.has_read(*data_, deadline_))
                lose("no marker came on the account's socket");
            return;
        case State::Live:
            if (!sockets_.has_read(*data_, deadline_)) return;
            // Whoever else uses a socket that works has received a heartbeat since.
            data_unheard_ = now - heartbeat_ * 3 / 2;
            lose("no heartbeat came on the account's socket");
            return;
    }
}

}  // namespace fatwal::client
