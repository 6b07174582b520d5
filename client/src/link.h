// One subscription's part of the protocol with the sidecar: where its join stands, what it has
// asked for, how long it waits. Follower decides what to ask for; this asks, with a deadline.
//
//     Waiting ─► Asking (several endpoints: PING) ─► Attaching ─ATTACHED─► Joining ─marker─► Live
//        ▲                                                                                   │
//        └───────── lose(): an error, no answer, no marker, no heartbeat ◄───────────────────┘
//
// Each state has one deadline_, and a request that is under way has answer_by_. expire() compares
// them with the time, after all that had come by then is read (Sockets::has_read). A retry waits
// retry_, which doubles up to 5 s and is 100 ms again once the follower is live: a fatwald that
// refuses everybody is not asked in a loop. After a loss with several endpoints it waits 200 ms at
// most for 5 s, since another fatwald takes over within that.
//
// With keys the account's messages come by a DEALER, which does not subscribe again by itself when
// it has connected again. So in Live a subscription without a heartbeat for 1.5 intervals sends its
// subscription again, and then once an interval (repeat_at_): the marker that answers it, or
// anything else, ends that. After three intervals it is lost as any other.
//
// Invariants: barrier_ and data_ are there from ATTACHED until leave(), and the barrier is open
// exactly in Live. At most one request of each kind (attach; replay or snapshot; describe) is under
// way; its number is 0 when none is, and an answer with another number belongs to an earlier try
// and changes nothing. What comes while the worker pauses is counted (held_), and beyond 16 MiB the
// sockets of its group are not read.
//
// Thread: that of Sockets.
//
// With several control endpoints one fatwald streams and the others wait to take over, and which
// one changes. So it asks all of them at once who streams (PING), and attaches to the first that
// does. A fatwald that ends in order says so (error 7, unasked); it then asks at once. One that
// dies shows by its heartbeats.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "client/src/join_barrier.h"
#include "client/src/sockets.h"
#include "fatwal/client/follower.h"
#include "fatwal/client/subscription.h"

namespace fatwal::client {

class Link final : public SocketUser {
public:
    // Attaches at once. `subscription` is whose it is.
    Link(Sockets& sockets, Subscription& subscription, SubscriptionOptions options);
    ~Link();

    [[nodiscard]] Subscription& subscription() const override { return subscription_; }
    [[nodiscard]] bool has_events() const override {
        return !events_.empty() || follower_.has_events();
    }
    [[nodiscard]] bool is_ready() const override { return !paused_ && has_events(); }
    std::optional<Event> take();
    void pause() { paused_ = true; }
    void resume();
    [[nodiscard]] std::optional<Cursor> cursor() const {
        return has_events() ? handed_ : follower_.cursor();
    }
    void ack(const Cursor& processed);
    // Detaches; with `forget` for good.
    void detach(bool forget);

    // For Sockets.
    void reply(std::uint32_t request, const wire::ControlBody& body,
               std::vector<std::string> parts) override;
    void published(const wire::PublicationHeader& header, wire::Bytes body,
                   Clock::time_point now) override;
    void marker(const wire::PublicationHeader& header, Clock::time_point now) override;
    void ends(const Sockets::Control& control, const wire::ControlError& error) override;
    void expire(Clock::time_point now) override;
    [[nodiscard]] Clock::time_point wake_at() const override;
    std::optional<Clock::time_point> send_ack(Clock::time_point now) override;

private:
    enum class State : std::uint8_t { Asking, Attaching, Joining, Live, Waiting };

    // Asks who streams, where there are several; attaches.
    void begin(Clock::time_point now);
    void answered(std::uint32_t request, bool streams, Clock::time_point now);
    void close_questions();
    void attach(Clock::time_point now);
    void wait_for_retry(Clock::time_point now);
    void join(const wire::Attached& attached);
    void leave();
    void lose(std::string reason, std::optional<wire::ControlError> error = {});
    // So many bytes have come, maybe while it pauses.
    void hold(std::size_t bytes);
    // Something has come by the data socket.
    void heard(Clock::time_point now);
    [[nodiscard]] bool repeats_subscription() const;
    // A reply with so many bytes has come to the request asked_.
    void adapt_credit(const std::vector<std::string>& parts, Clock::time_point now);
    [[nodiscard]] Sockets::Address address(const std::string& endpoint) const {
        return {endpoint, options_.keys};
    }
    void forget_requests();
    // Why it is lost when nobody has answered.
    [[nodiscard]] std::string no_answer() const;
    void request(Clock::time_point now);

    Sockets& sockets_;
    Subscription& subscription_;
    SubscriptionOptions options_;
    Follower follower_;
    std::deque<Follower::Told> events_;  // that come before the follower's
    std::optional<Cursor> handed_;       // with the last event that was handed out
    Sockets::Control* control_ = nullptr;
    Sockets::Data* data_ = nullptr;
    std::optional<JoinBarrier> barrier_;  // of the join that is under way, or done
    std::size_t endpoint_ = 0;            // of options_.control
    struct Question {
        Sockets::Control* control = nullptr;
        std::uint32_t request = 0;  // 0: answered
        std::size_t endpoint = 0;
    };
    // An answer comes while its socket is read, so the sockets stay open until the next expire().
    std::vector<Question> questions_;
    Clock::time_point lost_at_;
    // The fatwald that it is attached to ends: it leaves at the deadline.
    std::optional<wire::ControlError> ends_;
    State state_ = State::Attaching;
    Clock::time_point deadline_;   // of the state
    Clock::time_point repeat_at_;  // when the subscription is sent again, see above
    // A data socket with keys on which nothing has come since then is refused, or cut off.
    Clock::time_point data_unheard_;
    std::chrono::milliseconds heartbeat_{1000};
    std::chrono::milliseconds retry_;
    wire::Nonce nonce_{};
    Clock::time_point attached_at_;  // when the last attach was sent
    std::uint32_t attaching_ = 0;    // the request to attach that is under way; 0 none
    // That of the attach that is answered: errors about the whole attachment have its id. 0 none.
    std::uint32_t attached_ = 0;
    std::uint32_t asked_ = 0;      // the one for a replay or a part of a snapshot
    std::uint32_t described_ = 0;  // the one for schemas
    Clock::time_point asked_at_;
    Clock::time_point answer_by_;
    std::uint64_t snapshots_ = 0;    // of the follower's that were begun, as far as known here
    Clock::time_point snapshot_at_;  // the newest is not asked for earlier
    bool snapshot_waits_ = false;    // for that time
    wire::History history_;          // of the last sidecar that we were attached to
    wire::Lsn to_ack_ = 0;
    wire::Lsn acked_ = 0;  // of that, sent on this attachment
    int acks_waiting_ = 0;
    bool paused_ = false;
    std::size_t held_ = 0;  // bytes that have come since it paused
    Clock::time_point ack_at_;
};

}  // namespace fatwal::client
