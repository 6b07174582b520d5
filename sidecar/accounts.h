// The accounts: their logs, their sockets (opened by the first attach, closed when the last
// subscriber has gone), their subscribers. Each has a socket of its own, or all share one and each
// has a topic of its own there. All of it belongs to one thread.
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "sidecar/account_map.h"
#include "sidecar/connection.h"
#include "sidecar/control_request.h"
#include "sidecar/descriptors.h"
#include "sidecar/durables.h"
#include "sidecar/ledger.h"
#include "sidecar/log_text.h"
#include "sidecar/ring.h"
#include "sidecar/run_dir.h"
#include "sidecar/schemas.h"
#include "sidecar/settings.h"
#include "sidecar/stuck_peers.h"
#include "sidecar/subscription_guard.h"

namespace fatwal::sidecar {

using Clock = std::chrono::steady_clock;

class Accounts {
public:
    // A subscriber whose connection is gone, or never came, has this long to come (again) before it
    // must attach again.
    static constexpr std::chrono::seconds kSessionGrace{10};

    Accounts(zmq::context_t& context, const Settings& settings, const RunDir& run_dir,
             Descriptors& descriptors, Holds& holds);
    ~Accounts();
    Accounts(const Accounts&) = delete;
    Accounts& operator=(const Accounts&) = delete;

    // A new run of the stream begins at `position`: all sockets are closed, all logs are empty.
    // `durable` are the subscribers to wait for.
    void begin(std::uint64_t epoch, const Timelines& timelines, wire::Lsn position,
               const std::vector<DurableSubscriber>& durable);
    // Closes all sockets, as the stream is interrupted; the logs stay.
    void close_sockets();

    // Readable when a subscription came or went on some account's socket; then call signalled().
    [[nodiscard]] int fd() const { return epoll_; }
    void signalled();
    // Reads the subscriptions of those accounts that were signalled or sent on: some of each, so
    // that no peer keeps the others waiting. True when more may be there.
    bool hear(Clock::time_point now);

    // All before `settled` is confirmed to Postgres, or about to be; no position beyond `end` can
    // be of this history. The session is the requester's: nobody else's requests count for it.
    std::variant<wire::Attached, wire::ControlError> attach(const wire::Attach& request,
                                                            const Requester& requester,
                                                            wire::Lsn settled, wire::Lsn end,
                                                            Clock::time_point now);
    // Of the connections that have sessions.
    [[nodiscard]] std::vector<std::string> identities() const;
    void detach(const wire::Detach& request, const std::string& identity);
    // Why it is refused, if it is.
    std::optional<wire::ControlError> acknowledge(const wire::Acknowledge& request,
                                                  const std::string& identity);
    // Takes out a durable subscriber: for good, or since its time is over. Gives whoever is
    // attached by its name, who are attached no more.
    std::vector<Requester> drop_durable(const HoldKey& key);
    // The table refuses the row of this one. If it was new it is dropped, and those attached by its
    // name are given as above.
    std::vector<Requester> refused_durable(const DurableKey& key);
    [[nodiscard]] wire::DurableList list_durables(const wire::ListDurables& request) const;

    // Whether this connection has a session; of the operators' stream.
    [[nodiscard]] bool attached_by(const std::string& identity) const {
        return sessions_of_.contains(identity);
    }
    [[nodiscard]] bool operates(const std::string& identity) const;

    // Whether the log is held for it, as far back as the table says. If not, another fatwald has
    // promised it.
    [[nodiscard]] bool holds_for(const DurableSubscriber& subscriber) const;
    // Whether this subscriber is durable and not written down yet.
    [[nodiscard]] bool to_be_written(const wire::Attach& request) const;

    struct Attachment {
        const wire::AccountKey* account = nullptr;
        AccountLog* log = nullptr;
        SessionHold hold;  // what this subscriber may hold while it catches up
        const Durables::Group* durables = nullptr;  // none if it is not durable
        std::string durable;

        // Where it goes on with this cursor, when all before `settled` is confirmed to Postgres or
        // about to be.
        [[nodiscard]] wire::Lsn resume(wire::Lsn cursor, wire::Lsn settled) const {
            return durables == nullptr ? cursor : durables->resume(durable, cursor, settled);
        }
    };
    // Nothing when the nonce is not attached, or by another connection than this one.
    [[nodiscard]] std::optional<Attachment> find(const wire::Nonce& nonce,
                                                 const std::string& identity) const;
    // Of whichever connection: for what an earlier request of its own has begun.
    [[nodiscard]] std::optional<Attachment> find(const wire::Nonce& nonce) const;

    // The log of this account holds every transaction that commits at this position or later.
    [[nodiscard]] wire::Lsn floor_of(wire::AccountView account) const;

    // Publishes the frame to its account, or for everyone to all, each behind the schemas that it
    // needs and that were not published there.
    void publish(const wire::FrameView& frame, zmq::message_t payload, const Schemas& schemas,
                 Clock::time_point now);
    // Every transaction that commits before `position` is published.
    void advance(wire::Lsn position) { position_ = position; }

    // Postgres's clock now, in seconds: what the headers say.
    void set_time(std::uint32_t seconds) { time_ = seconds; }

    // Publishes the heartbeats: how far each account's stream is.
    void heartbeat();
    // Forgets subscribers whose time is over, and closes the sockets that nobody listens to.
    void tick(Clock::time_point now);

    // Lines about peers.
    LogBudget log_budget;

    Durables durables;

    [[nodiscard]] std::size_t attached() const { return attached_; }
    [[nodiscard]] std::size_t subscribers() const { return sessions_.size(); }
    [[nodiscard]] std::size_t ring_bytes() const { return ring_.bytes(); }
    [[nodiscard]] std::uint64_t cuts() const { return cuts_ + stuck_peers_.cuts(); }
    // Checks those subscribers again that may be stuck, and when it has to be called at the
    // latest.
    void look_at_suspects(Clock::time_point now) { stuck_peers_.look(now); }
    [[nodiscard]] std::optional<Clock::time_point> next_look() const {
        return stuck_peers_.next_look();
    }
    [[nodiscard]] std::uint64_t frames() const { return frames_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

private:
    struct Publisher {
        zmq::socket_t socket;
        std::string endpoint;
        std::string who;  // for the log
        // Used since hear(): libzmq may have swallowed the signal of a subscription.
        bool touched = false;
        bool broken = false;  // libzmq refused to send: the subscribers are to come again
    };
    struct Account {
        Account(wire::AccountKey name, Ring& ring, wire::Lsn floor, Durables& all)
            : key(std::move(name)), log(ring, floor), durable(all, key) {}
        wire::AccountKey key;
        AccountLog log;
        std::set<wire::SchemaId> described;
        Durables::Group durable;
        std::shared_ptr<Publisher> publisher;  // none: nobody is attached
        std::string topic;                     // before each header on a socket that accounts share
        std::size_t sessions = 0;
    };
    struct Session {
        Account* account = nullptr;
        Requester requester;      // of the attach
        std::string durable;      // its name, if it is
        wire::Lsn processed = 0;  // as it said when it attached
        bool connected = false;
        Clock::time_point since;
    };
    using Sessions = std::map<wire::Nonce, Session>;

    Account& find_or_add(wire::AccountView key);
    [[nodiscard]] std::size_t bucket_of(wire::AccountView key) const {
        return HashOfAccount{}(key) % dropped_.size();
    }
    [[nodiscard]] wire::Lsn floor_of_new(wire::AccountView key) const;
    [[nodiscard]] std::optional<wire::ControlError> refusal(const wire::Attach& request) const;
    [[nodiscard]] std::shared_ptr<Publisher> make_publisher(std::string who);
    void open_socket(Account& account);
    void close_socket(Account& account);
    void touch(Publisher& publisher);
    bool hear(Publisher& publisher, Clock::time_point now);
    bool hear_some(Publisher& publisher, Clock::time_point now);
    static void fail(Publisher& publisher, const zmq::error_t& error);
    [[nodiscard]] bool useful(wire::Bytes message) const;
    void send(Publisher& publisher, zmq::message_t message, zmq::send_flags flags);
    void publish(Account& account, const wire::FrameView& frame, zmq::message_t payload,
                 const Schemas& schemas, Clock::time_point now);
    void send_numbered(Account& account, zmq::message_t payload, wire::Lsn commit_lsn);
    void send_marker(Account& account, const wire::Nonce& nonce);
    [[nodiscard]] zmq::message_t header(std::string_view before, wire::Topic topic,
                                        std::uint64_t sequence) const;
    Sessions::iterator forget(Sessions::iterator session);
    std::vector<Requester> forget_those_of(const DurableKey& key);
    void remember(const wire::Nonce& nonce);

    zmq::context_t& context_;
    const Settings& settings_;
    const RunDir& run_dir_;
    Descriptors& descriptors_;
    Holds& holds_;
    std::uint64_t epoch_ = 0;
    Timelines timelines_;
    wire::Lsn position_ = 0;
    std::uint32_t time_ = 0;
    wire::Lsn begin_ = 0;
    wire::Lsn newest_for_everyone_ = 0;
    // Of accounts whose logs were forgotten when they were empty, by hash: the greatest floor of
    // those logs.
    std::vector<wire::Lsn> dropped_;
    std::uint64_t opened_ = 0;
    std::size_t attached_ = 0;
    std::weak_ptr<Publisher> shared_;
    int epoll_;
    Ring ring_;
    AccountMap<std::unique_ptr<Account>> accounts_;
    Sessions sessions_;
    std::map<std::string, std::set<wire::Nonce>> sessions_of_;  // by the connection's identity
    // Of sessions that ended, the newest: a nonce names one session only.
    std::deque<wire::Nonce> ended_;
    std::set<wire::Nonce> ended_nonces_;  // the same
    StuckPeers stuck_peers_;
    std::uint64_t cuts_ = 0;  // for the subscriptions that they sent
    SubscriptionGuard guard_;
    std::vector<Publisher*> touched_;
    std::uint64_t frames_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace fatwal::sidecar
