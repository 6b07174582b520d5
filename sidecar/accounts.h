// The sockets of the accounts that somebody listens to: opened by the first attach, numbered, closed when the last subscriber has gone.
// All of it belongs to one thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include <zmq.hpp>

#include "descriptors.h"
#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "run_dir.h"
#include "schemas.h"
#include "settings.h"

namespace fatwal {

using Clock = std::chrono::steady_clock;

class Accounts {
public:
    // A subscriber whose connection is gone, or never came, has this long to come (again) before it must attach anew.
    static constexpr std::chrono::seconds kSessionGrace{10};

    Accounts(zmq::context_t& context, const Settings& settings, const RunDir& run_dir, Descriptors& descriptors, std::uint64_t epoch);
    ~Accounts();
    Accounts(const Accounts&) = delete;
    Accounts& operator=(const Accounts&) = delete;

    // Readable when a subscription came or went on some account's socket; then call hear().
    [[nodiscard]] int fd() const { return epoll_; }
    void hear(Clock::time_point now);

    std::variant<wire::Attached, wire::ControlError> attach(const wire::Attach& request, Clock::time_point now);
    void detach(const wire::Nonce& nonce);

    // Publishes the frame to its account, or for everyone to all, each behind the schemas that it needs and that were not published there.
    void publish(const wire::FrameView& frame, zmq::message_t payload, const Schemas& schemas);

    // Publishes the heartbeats, forgets subscribers whose time is over, and closes the sockets that nobody listens to.
    void tick(Clock::time_point now);

    [[nodiscard]] std::size_t size() const { return accounts_.size(); }
    [[nodiscard]] std::size_t subscribers() const { return sessions_.size(); }
    [[nodiscard]] std::uint64_t frames() const { return frames_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

private:
    struct Account {
        wire::AccountKey key;
        zmq::socket_t socket;
        std::string endpoint;
        std::uint64_t sequence = 0;
        std::set<wire::SchemaId> described;
        std::size_t sessions = 0;
        bool touched = false;  // used since hear(): libzmq may have swallowed the signal of a subscription
    };
    struct Session {
        Account* account = nullptr;
        bool connected = false;
        Clock::time_point since;
    };
    // Finds by a view without making a key.
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(wire::AccountView view) const noexcept {
            return std::hash<std::string_view>{}(wire::as_text(view.bytes)) * 31 + static_cast<std::size_t>(view.kind);
        }
        std::size_t operator()(const wire::AccountKey& key) const noexcept { return (*this)(key.view()); }
    };
    struct Equal {
        using is_transparent = void;
        bool operator()(const wire::AccountKey& a, const wire::AccountKey& b) const noexcept { return a == b; }
        bool operator()(wire::AccountView a, const wire::AccountKey& b) const noexcept { return a == b.view(); }
        bool operator()(const wire::AccountKey& a, wire::AccountView b) const noexcept { return a.view() == b; }
    };

    Account& open(const wire::AccountKey& key);
    void close(Account& account);
    void touch(Account& account);
    void hear(Account& account, Clock::time_point now);
    void publish(Account& account, const wire::FrameView& frame, zmq::message_t payload, const Schemas& schemas);
    void send_numbered(Account& account, zmq::message_t payload);
    void send_marker(Account& account, const wire::Nonce& nonce);
    void forget(std::map<wire::Nonce, Session>::iterator session);

    zmq::context_t& context_;
    const Settings& settings_;
    const RunDir& run_dir_;
    Descriptors& descriptors_;
    std::uint64_t epoch_;
    std::uint64_t opened_ = 0;
    int epoll_;
    std::unordered_map<wire::AccountKey, std::unique_ptr<Account>, Hash, Equal> accounts_;
    std::map<wire::Nonce, Session> sessions_;
    std::vector<Account*> touched_;
    std::uint64_t frames_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace fatwal
