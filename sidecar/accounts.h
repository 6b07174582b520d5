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

namespace fatwal {

using Clock = std::chrono::steady_clock;

class Accounts {
public:
    // A connection on which nothing moves for so long, although something waits to be read, is cut:
    // what waits costs us memory. The subscriber connects again by itself when it reads again, and
    // has replayed what it missed.
    static constexpr std::chrono::seconds kStuck{4};
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
    void begin(std::uint64_t epoch, const Timelines& timelines, wire::Lsn position,
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
    // The identity of the control connection that an attachment came by.
    void attached_by(const wire::Nonce& nonce, const std::string& identity);
    // Each once, of all attachments.
    [[nodiscard]] std::vector<std::string> identities() const;
    void detach(const wire::Detach& request);
    void acknowledge(const wire::Acknowledge& request);
    // Whether the log is held for it, as far back as the table says. If not, another fatwald has
    // promised it.
    [[nodiscard]] bool holds_for(const DurableSubscriber& subscriber) const;
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

    // Publishes the heartbeats: how far each account's stream is.
    void heartbeat();
    // Forgets subscribers whose time is over, and closes the sockets that nobody listens to.
    void tick(Clock::time_point now);

    Durables durables;

    [[nodiscard]] std::size_t attached() const { return attached_; }
    [[nodiscard]] std::size_t subscribers() const { return sessions_.size(); }
    [[nodiscard]] std::size_t ring_bytes() const { return ring_.bytes(); }
    [[nodiscard]] std::uint64_t cuts() const { return cuts_; }
    [[nodiscard]] std::uint64_t frames() const { return frames_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

private:
    struct Publisher {
        zmq::socket_t socket;
        std::string endpoint;
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
        std::string durable;   // its name, if it is
        std::string identity;  // of the control connection that it came by
        bool connected = false;
        Clock::time_point since;
    };
    // A subscriber's, as far as libzmq tells: by descriptor and inode, as the number may be
    // another's by now.
    struct Connection {
        std::uint64_t inode = 0;
        std::string account;  // the first that was joined on it
        int unread = 0;       // bytes in the kernel's queue
        Clock::time_point moved;
    };
    using Sessions = std::map<wire::Nonce, Session>;

    Account& find_or_add(wire::AccountView key);
    [[nodiscard]] std::size_t bucket_of(wire::AccountView key) const {
        return HashOfAccount{}(key) % dropped_.size();
    }
    [[nodiscard]] wire::Lsn floor_of_new(wire::AccountView key) const;
    [[nodiscard]] std::shared_ptr<Publisher> make_publisher(const std::string& zap_domain);
    void open_socket(Account& account);
    void close_socket(Account& account);
    void touch(Publisher& publisher);
    void hear(Publisher& publisher, Clock::time_point now);
    void heard_of(int descriptor, const Account& account, Clock::time_point now);
    void publish(Account& account, const wire::FrameView& frame, zmq::message_t payload,
                 const Schemas& schemas, Clock::time_point now);
    void send_numbered(Account& account, zmq::message_t payload, wire::Lsn commit_lsn);
    void send_marker(Account& account, const wire::Nonce& nonce);
    [[nodiscard]] zmq::message_t header(std::string_view before, wire::Topic topic,
                                        std::uint64_t sequence) const;
    void forget(Sessions::iterator session);
    void cut_those_stuck(Clock::time_point now);

    zmq::context_t& context_;
    const Settings& settings_;
    const RunDir& run_dir_;
    Descriptors& descriptors_;
    Holds& holds_;
    std::uint64_t epoch_ = 0;
    Timelines timelines_;
    wire::Lsn position_ = 0;
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
    std::map<int, Connection> connections_;
    std::vector<Publisher*> touched_;
    std::uint64_t cuts_ = 0;
    std::uint64_t frames_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace fatwal
