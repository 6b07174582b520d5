// The accounts: their logs, their sockets (opened by the first attach, closed when the last
// subscriber has gone), their subscribers. Each has a socket of its own, or all share one and each
// has a topic of its own there. All of it belongs to one thread.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <zmq.hpp>

#include "account_map.h"
#include "connection.h"
#include "descriptors.h"
#include "durables.h"
#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "ledger.h"
#include "ring.h"
#include "run_dir.h"
#include "schemas.h"
#include "settings.h"
#include "stuck_peers.h"

namespace fatwal {

using Clock = std::chrono::steady_clock;

class Accounts {
public:
    // A subscriber whose connection is gone, or never came, has this long to come (again) before it
    // must attach anew.
    static constexpr std::chrono::seconds kSessionGrace{10};

    Accounts(zmq::context_t& context, const Settings& settings, const RunDir& run_dir,
             Descriptors& descriptors, Holds& holds);
    ~Accounts();
    Accounts(const Accounts&) = delete;
    Accounts& operator=(const Accounts&) = delete;

    // A new run of the stream begins at `position`: all sockets are closed, all logs are empty.
    // `durable` are the subscribers to wait for.
    void begin(std::uint64_t epoch, const wire::History& history, wire::Lsn position,
               const std::vector<DurableSubscriber>& durable);
    // Closes all sockets, as the stream is interrupted; the logs stay.
    void close_sockets();

    // Readable when a subscription came or went on some account's socket; then call signalled().
    [[nodiscard]] int fd() const { return epoll_; }
    void signalled();
    // Takes the subscriptions of those accounts that were signalled or sent on.
    void hear(Clock::time_point now);

    // All before `settled` is confirmed to Postgres, or about to be.
    std::variant<wire::Attached, wire::ControlError> attach(const wire::Attach& request,
                                                            wire::Lsn settled,
                                                            Clock::time_point now);
    void detach(const wire::Detach& request);
    void acknowledge(const wire::Acknowledge& request);
    // Whether this subscriber is durable and not written down yet.
    [[nodiscard]] bool to_be_written(const wire::Attach& request) const;

    struct Attachment {
        const wire::AccountKey* account = nullptr;
        AccountLog* log = nullptr;
        std::string hold;  // the name of what this subscriber may hold while it catches up
        const Durables::Group* durables = nullptr;  // none if it is not durable
        std::string durable;

        // Where it goes on with this cursor, when all before `settled` is confirmed to Postgres or
        // about to be.
        [[nodiscard]] wire::Lsn resume(wire::Lsn cursor, wire::Lsn settled) const {
            return durables == nullptr ? cursor : durables->resume(durable, cursor, settled);
        }
    };
    // Nothing when the nonce is not attached.
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
    // Publishes the heartbeats, forgets subscribers whose time is over, and closes the sockets that
    // nobody listens to.
    void tick(Clock::time_point now);

    Durables durables;

    [[nodiscard]] std::size_t attached() const { return attached_; }
    [[nodiscard]] std::size_t subscribers() const { return sessions_.size(); }
    [[nodiscard]] std::size_t ring_bytes() const { return ring_.bytes(); }
    [[nodiscard]] std::uint64_t cuts() const { return stuck_peers_.cuts(); }
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
        bool touched =
            false;  // used since hear(): libzmq may have swallowed the signal of a subscription
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
        std::string durable;  // its name, if it is
        bool connected = false;
        Clock::time_point since;
    };
    using Sessions = std::map<wire::Nonce, Session>;

    Account& find_or_add(wire::AccountView key);
    [[nodiscard]] std::size_t bucket_of(wire::AccountView key) const {
        return HashOfAccount{}(key) % dropped_.size();
    }
    [[nodiscard]] wire::Lsn floor_of_new(wire::AccountView key) const;
    [[nodiscard]] std::shared_ptr<Publisher> make_publisher(const std::string& zap_domain,
                                                            std::string who);
    void open_socket(Account& account);
    void close_socket(Account& account);
    void touch(Publisher& publisher);
    void hear(Publisher& publisher, Clock::time_point now);
    void publish(Account& account, const wire::FrameView& frame, zmq::message_t payload,
                 const Schemas& schemas, Clock::time_point now);
    void send_numbered(Account& account, zmq::message_t payload, wire::Lsn commit_lsn);
    void send_marker(Account& account, const wire::Nonce& nonce);
    [[nodiscard]] zmq::message_t header(std::string_view before, wire::Topic topic,
                                        std::uint64_t sequence) const;
    void forget(Sessions::iterator session);

    zmq::context_t& context_;
    const Settings& settings_;
    const RunDir& run_dir_;
    Descriptors& descriptors_;
    Holds& holds_;
    std::uint64_t epoch_ = 0;
    wire::History history_;
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
    StuckPeers stuck_peers_;
    std::vector<Publisher*> touched_;
    std::uint64_t frames_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace fatwal
