#include "accounts.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <system_error>

namespace fatwal {

namespace {

constexpr std::size_t kDescriptorsOfSocket = 3;
constexpr std::size_t kDescriptorsOfSubscriber = 1;
constexpr std::int64_t kMaxSubscriptionBytes = 256;
constexpr int kPeerHeartbeatMs = 2000;
constexpr int kPeerTimeoutMs = 4000;

zmq::message_t header_of(wire::Topic topic, std::uint64_t epoch, std::uint64_t sequence) {
    const auto header = wire::encode(wire::PublicationHeader{topic, epoch, sequence});
    return {header.data(), header.size()};
}

}  // namespace

Accounts::Accounts(zmq::context_t& context, const Settings& settings, const RunDir& run_dir, Descriptors& descriptors, std::uint64_t epoch)
    : context_(context),
      settings_(settings),
      run_dir_(run_dir),
      descriptors_(descriptors),
      epoch_(epoch),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Accounts::~Accounts() {
    for (auto& [key, account] : accounts_) {
        account->socket.close();
        RunDir::remove(account->endpoint);
    }
    ::close(epoll_);
}

Accounts::Account& Accounts::open(const wire::AccountKey& key) {
    auto account = std::make_unique<Account>();
    account->key = key;
    account->socket = zmq::socket_t(context_, zmq::socket_type::xpub);
    zmq::socket_t& socket = account->socket;
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndhwm, settings_.send_high_water_mark);
    socket.set(zmq::sockopt::maxmsgsize, kMaxSubscriptionBytes);
    socket.set(zmq::sockopt::xpub_verbose, true);
    // A peer that has stopped reading no longer answers these, and is cut off; its SUB connects again by itself.
    socket.set(zmq::sockopt::heartbeat_ivl, kPeerHeartbeatMs);
    socket.set(zmq::sockopt::heartbeat_timeout, kPeerTimeoutMs);
    socket.set(zmq::sockopt::zap_domain, "acct:" + key.to_text());
    account->endpoint = run_dir_.endpoint(epoch_, ++opened_);
    socket.bind(account->endpoint);
    descriptors_.opened(kDescriptorsOfSocket);

    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = account.get();
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.get(zmq::sockopt::fd), &event) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    Account& opened = *account;
    accounts_.emplace(key, std::move(account));
    touch(opened);
    return opened;
}

void Accounts::close(Account& account) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, account.socket.get(zmq::sockopt::fd), nullptr);
    std::erase(touched_, &account);
    account.socket.close();
    RunDir::remove(account.endpoint);
    accounts_.erase(accounts_.find(account.key));
}

void Accounts::touch(Account& account) {
    if (account.touched) return;
    account.touched = true;
    touched_.push_back(&account);
}

std::variant<wire::Attached, wire::ControlError> Accounts::attach(const wire::Attach& request, Clock::time_point now) {
    if (request.account.kind == wire::AccountKind::Everyone)
        return wire::ControlError{
            wire::ErrorCode::BadAccount, "everyone is not an account", {}, "Attach to one account, or to the operators' stream."};
    if (sessions_.contains(request.nonce))
        return wire::ControlError{wire::ErrorCode::Malformed, "the nonce is in use", {}, "Choose 16 random bytes for each attach."};
    auto found = accounts_.find(request.account);
    const std::size_t needed = kDescriptorsOfSubscriber + (found == accounts_.end() ? kDescriptorsOfSocket : 0);
    if (!descriptors_.has_room_for(needed))
        return wire::ControlError{wire::ErrorCode::TooManyAttachments, "no file descriptors left for another subscriber",
                                  std::to_string(descriptors_.used()) + " of " + std::to_string(descriptors_.limit()) + " are in use.",
                                  "Raise the limit of fatwald's open files (LimitNOFILE, ulimit -n)."};
    Account& account = found == accounts_.end() ? open(request.account) : *found->second;
    descriptors_.opened(kDescriptorsOfSubscriber);
    sessions_.emplace(request.nonce, Session{&account, false, now});
    ++account.sessions;
    return wire::Attached{epoch_, account.sequence, static_cast<std::uint32_t>(settings_.heartbeat_interval_ms), account.endpoint};
}

void Accounts::forget(std::map<wire::Nonce, Session>::iterator session) {
    --session->second.account->sessions;
    sessions_.erase(session);
}

void Accounts::detach(const wire::Nonce& nonce) {
    const auto session = sessions_.find(nonce);
    if (session != sessions_.end()) forget(session);
}

void Accounts::hear(Clock::time_point now) {
    std::array<epoll_event, 64> events{};
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) touch(*static_cast<Account*>(events[static_cast<std::size_t>(i)].data.ptr));
    // hear() sends markers, which may swallow a signal again: those accounts are looked at until nothing is left.
    for (std::size_t i = 0; i < touched_.size(); ++i) hear(*touched_[i], now);
    for (Account* account : touched_) account->touched = false;
    touched_.clear();
}

void Accounts::hear(Account& account, Clock::time_point now) {
    zmq::message_t message;
    while (account.socket.recv(message, zmq::recv_flags::dontwait)) {
        const wire::Bytes bytes(static_cast<const std::byte*>(message.data()), message.size());
        if (bytes.empty()) continue;
        const auto nonce = wire::decode_marker_topic(bytes.subspan(1));
        if (!nonce) continue;
        const auto session = sessions_.find(*nonce);
        if (session == sessions_.end() || session->second.account != &account) continue;
        const bool subscribed = bytes[0] == std::byte{1};
        session->second.connected = subscribed;
        session->second.since = now;
        if (subscribed) send_marker(account, *nonce);
    }
}

void Accounts::send_marker(Account& account, const wire::Nonce& nonce) {
    const auto topic = wire::marker_topic(nonce);
    account.socket.send(zmq::message_t(topic.data(), topic.size()), zmq::send_flags::sndmore | zmq::send_flags::dontwait);
    account.socket.send(header_of(wire::Topic::Marker, epoch_, account.sequence), zmq::send_flags::dontwait);
}

void Accounts::send_numbered(Account& account, zmq::message_t payload) {
    bytes_ += payload.size();
    account.socket.send(header_of(wire::Topic::Event, epoch_, ++account.sequence), zmq::send_flags::sndmore | zmq::send_flags::dontwait);
    account.socket.send(std::move(payload), zmq::send_flags::dontwait);
    touch(account);
}

void Accounts::publish(Account& account, const wire::FrameView& frame, zmq::message_t payload, const Schemas& schemas) {
    for (std::uint16_t i = 0; i < frame.relation_count(); ++i) {
        const wire::SchemaId id = frame.relation(i);
        if (!account.described.insert(id).second) continue;
        if (const std::string* schema = schemas.find(id)) send_numbered(account, zmq::message_t(schema->data(), schema->size()));
    }
    ++frames_;
    send_numbered(account, std::move(payload));
}

void Accounts::publish(const wire::FrameView& frame, zmq::message_t payload, const Schemas& schemas) {
    if (frame.account().kind == wire::AccountKind::Everyone) {
        for (auto& [key, account] : accounts_) {
            zmq::message_t shared;
            shared.copy(payload);
            publish(*account, frame, std::move(shared), schemas);
        }
        return;
    }
    const auto found = accounts_.find(frame.account());
    if (found != accounts_.end()) publish(*found->second, frame, std::move(payload), schemas);
}

void Accounts::tick(Clock::time_point now) {
    descriptors_.recount();
    for (auto session = sessions_.begin(); session != sessions_.end();) {
        const auto next = std::next(session);
        if (!session->second.connected && now - session->second.since >= kSessionGrace) forget(session);
        session = next;
    }
    std::vector<Account*> idle;
    for (auto& [key, account] : accounts_) {
        account->socket.send(header_of(wire::Topic::Heartbeat, epoch_, account->sequence), zmq::send_flags::dontwait);
        touch(*account);
        if (account->sessions == 0) idle.push_back(account.get());
    }
    for (Account* account : idle) close(*account);
}

}  // namespace fatwal
