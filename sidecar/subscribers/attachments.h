// Who is attached to which account, and fatwald's half of the join barrier. The subscriber's half
// is libfatwal's; docs/control-protocol.md ("The marker") is what both keep to.
//
// The join barrier is why a subscriber that joins in the midst of the stream misses nothing. A PUB
// socket sends nothing to a peer whose subscription it has not read yet, so a subscriber cannot
// know by itself from which message on it receives:
//
//     subscriber                          the account's XPUB          fatwald's loop
//     subscribes to events, marker ───────► applies them ────────────► reads the marker's
//                                              ◄────────── marker, s = the newest number ──┘
//     marker(s) ◄──────────────────────────────┘
//     s+1, s+2, … ◄──────────────────────────── publishes s+1, s+2, …
//
// Claim: after marker(s) the subscriber receives every message s+1, s+2, …, or sees a gap. Proof:
// 1. A connection's subscriptions arrive in the order of its topics or of its calls; by either the
//    marker's is last, as its first byte (0xFF) is the greatest and libfatwal adds it last.
// 2. XPUB applies a subscription before it hands it out. So when the loop reads the marker's, each
//    message that it sends from then on goes to that connection.
// 3. The loop is one thread: between reading s and sending the marker nothing is published. So s+1
//    is sent after the marker, on the same socket.
// 4. A socket is one FIFO to each peer: the marker comes first, then s+1, s+2, … in this order.
// 5. What XPUB drops for a slow peer shows: numbers are dense, so the next message has a number
//    that is too great, or the next heartbeat, which names the newest, has.
// What was published up to s the subscriber replays by its cursor. So nothing is missed unnoticed.
//
// A peer with a key has a DEALER, to which fatwald sends by name (keyed_data.h). The claim holds by
// the same steps, and more simply: nothing goes to it before fatwald has read the subscription of
// its marker; the loop then sends the marker first, and what it publishes after it.
//
// A nonce names one attachment for ever: a subscription that comes late cannot be taken for
// another's. A request counts only on the connection that attached. An attachment ends by DETACH,
// when its marker's subscription is away for kGrace, when its socket fails, or with the epoch.
//
// Invariants: an account's `attached` is the number of its attachments, and its outlet is open
// while that is not 0. All of it belongs to fatwald's loop.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "fatwal/wire/control.h"
#include "sidecar/delivery/credentials.h"
#include "sidecar/delivery/epoch.h"
#include "sidecar/settings.h"
#include "sidecar/subscribers/accounts.h"
#include "sidecar/subscribers/control_request.h"
#include "sidecar/subscribers/descriptors.h"
#include "sidecar/subscribers/publishers.h"

namespace fatwal::sidecar {

// One subscriber at one account.
struct Attachment {
    Account* account = nullptr;
    Requester requester;       // of the ATTACH
    std::uint64_t number = 0;  // rises from attach to attach
    std::string name;
    std::string durable;        // the same, if it is a durable subscriber
    wire::Lsn processed = 0;    // as it said when it attached
    std::string receiver;       // with a key, and joined: its connection on the keyed data socket
    bool joined = false;        // its marker is subscribed to
    PeerConnection connection;  // by which it receives, while it is joined
    Clock::time_point since;    // when `joined` changed last
    Clock::time_point attached;

    // Where it resumes with this cursor, when all before `confirmable` is confirmed to Postgres or
    // about to be.
    [[nodiscard]] wire::Lsn resume(wire::Lsn cursor, wire::Lsn confirmable) const {
        return durable.empty() ? cursor : account->durable.resume(durable, cursor, confirmable);
    }
};

class Attachments : private Publishers::MarkerListener, private KeyedData::Listener {
public:
    // A subscriber that is not joined has this long to subscribe (again) before it must attach
    // again. libfatwal waits 2 s for its marker; a connection that is made again takes less.
    static constexpr std::chrono::seconds kGrace{10};
    // Of one credential: some 600 bytes each, and a process that follows more accounts can have
    // more credentials.
    static constexpr std::size_t kMostOfCredential = 20'000;

    Attachments(const Settings& settings, Accounts& accounts, Publishers& publishers,
                Descriptors& descriptors, Holds& holds);

    // The reply to ATTACH. No position beyond `standing.end` can be of this history.
    [[nodiscard]] std::variant<wire::Attached, wire::ControlError> attach(
        const wire::Attach& request, const Requester& requester, const Standing& standing,
        Clock::time_point now);
    // False when this connection has no such attachment.
    bool detach(const wire::Detach& request, const std::string& identity);
    void detach_all();
    // Why it is refused, if it is.
    [[nodiscard]] std::optional<wire::ControlError> acknowledge(const wire::Acknowledge& request,
                                                                const std::string& identity,
                                                                wire::Lsn published);
    // Ends the attachments of this durable subscriber; gives their requesters.
    std::vector<Requester> detach_durable(const DurableKey& key);
    // Ends those whose callers may not follow their accounts any more; gives them.
    std::vector<std::pair<wire::Nonce, Attachment>> detach_forbidden(const Credentials& credentials,
                                                                     wire::Microseconds now);
    [[nodiscard]] wire::DurableList list_durables(const wire::ListDurables& request) const;

    // Nothing when the nonce is not attached, or by another connection than this one.
    [[nodiscard]] const Attachment* find(const wire::Nonce& nonce,
                                         const std::string& identity) const;
    // Of whichever connection: for what an earlier request of its own has begun.
    [[nodiscard]] const Attachment* find(const wire::Nonce& nonce) const;
    // Whether this connection has an attachment; one to the operators' stream.
    [[nodiscard]] bool attached_by(const std::string& identity) const {
        return by_identity_.contains(identity);
    }
    [[nodiscard]] bool operates(const std::string& identity) const;
    // Of the connections that have attachments.
    [[nodiscard]] std::vector<std::string> identities() const;

    // The join barrier: answers each subscription to an attachment's marker. True when more may be
    // there.
    bool answer_markers(Clock::time_point now) {
        return publishers_.read_subscriptions(*this, now);
    }
    // The same for peers with keys.
    bool answer_markers(KeyedData& keyed, Clock::time_point now) { return keyed.read(*this, now); }
    // Ends the attachments whose time is over.
    void tick(Clock::time_point now);

    [[nodiscard]] std::size_t size() const { return attachments_.size(); }
    // At most `most` of those with greater numbers than `after`, in the order of their numbers.
    [[nodiscard]] std::vector<std::pair<wire::Nonce, const Attachment*>> behind(
        std::uint64_t after, std::size_t most) const;
    // The durable subscribers that are attached.
    [[nodiscard]] std::set<DurableKey> attached_durables() const;
    // How many have subscribed to their markers, and are durable.
    struct Counts {
        std::size_t joined = 0;
        std::size_t durable = 0;
    };
    [[nodiscard]] Counts counts() const;

private:
    using ByNonce = std::map<wire::Nonce, Attachment>;

    [[nodiscard]] std::size_t subscribers() const override { return attachments_.size(); }
    [[nodiscard]] bool expects(const wire::Nonce& nonce) const override {
        return attachments_.contains(nonce);
    }
    void marker_subscribed(const Publisher& on, const PeerConnection& by, const wire::Nonce& nonce,
                           bool subscribed, Clock::time_point now) override;
    bool keyed_subscribed(const std::string& receiver, const PeerConnection& by,
                          const Caller& caller, const wire::Nonce& nonce, bool subscribed,
                          Clock::time_point now) override;
    void receiver_gone(const std::string& receiver, Clock::time_point now) override;
    // Where it receives from now on; empty: nowhere.
    void set_receiver(const wire::Nonce& nonce, Attachment& attachment, const std::string& name);

    [[nodiscard]] std::optional<wire::ControlError> refusal(const wire::Attach& request,
                                                            const Caller& caller) const;
    [[nodiscard]] std::optional<wire::ControlError> refusal_of_durable(const wire::Attach& request,
                                                                       const Caller& caller) const;
    ByNonce::iterator end(ByNonce::iterator attachment);
    void remember(const wire::Nonce& nonce);

    const Settings& settings_;
    Accounts& accounts_;
    Publishers& publishers_;
    Descriptors& descriptors_;
    Holds& holds_;
    ByNonce attachments_;
    std::map<std::uint64_t, wire::Nonce> by_number_;
    std::uint64_t last_number_ = 0;
    std::map<std::string, std::set<wire::Nonce>> by_identity_;
    std::map<std::string, std::set<wire::Nonce>> by_receiver_;
    std::map<std::string, std::size_t> of_credential_;  // how many each has
    // Nonces of attachments that ended, the newest, in the order of their ends; and the same as a
    // set.
    std::deque<wire::Nonce> ended_;
    std::set<wire::Nonce> ended_nonces_;
};

}  // namespace fatwal::sidecar
