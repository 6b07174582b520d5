#include "accounts.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <system_error>

#include <spdlog/spdlog.h>

namespace fatwal {

namespace {

constexpr std::size_t kDescriptorsOfSocket = 3;
constexpr std::size_t kDescriptorsOfSubscriber = 1;
constexpr std::int64_t kMaxSubscriptionBytes = 256;
constexpr std::size_t kDroppedBuckets = 65'536;
constexpr std::size_t kTopicBytes = 8;

// Of one length, so that none begins another, and never with the first byte of a marker's.
std::string topic_of(std::uint64_t serial) {
    std::string topic(kTopicBytes, '\0');
    for (std::size_t i = kTopicBytes; i-- > 0; serial >>= 8U)
        topic[i] = static_cast<char>(serial & 0xFFU);
    return topic;
}

std::string hold_of_session(const wire::Nonce& nonce) {
    return "subscriber " + std::string(wire::as_text(nonce));
}

}  // namespace

Accounts::Accounts(zmq::context_t& context, const Settings& settings, const RunDir& run_dir,
                   Descriptors& descriptors, Holds& holds)
    : durables(holds),
      context_(context),
      settings_(settings),
      run_dir_(run_dir),
      descriptors_(descriptors),
      holds_(holds),
      dropped_(kDroppedBuckets),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      ring_(static_cast<std::size_t>(settings.replay_bytes),
            static_cast<std::size_t>(settings.replay_account_bytes)) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Accounts::~Accounts() {
    close_sockets();
    accounts_.clear();
    ::close(epoll_);
}

void Accounts::begin(std::uint64_t epoch, const wire::History& history, wire::Lsn position,
                     const std::vector<DurableSubscriber>& durable) {
    close_sockets();
    accounts_.clear();
    std::fill(dropped_.begin(), dropped_.end(), 0);
    newest_for_everyone_ = 0;
    epoch_ = epoch;
    history_ = history;
    begin_ = position_ = position;
    for (const DurableSubscriber& subscriber : durable)
        find_or_add(subscriber.account.view())
            .durable.add(subscriber.name, subscriber.acknowledged, true, Clock::now());
}

void Accounts::close_sockets() {
    while (!sessions_.empty()) forget(sessions_.begin());
    for (auto& [key, account] : accounts_) close_socket(*account);
}

Accounts::Account& Accounts::find_or_add(wire::AccountView key) {
    const auto found = accounts_.find(key);
    if (found != accounts_.end()) return *found->second;
    wire::AccountKey owned(key);
    auto account = std::make_unique<Account>(owned, ring_, floor_of_new(key), durables);
    return *accounts_.emplace(std::move(owned), std::move(account)).first->second;
}

wire::Lsn Accounts::floor_of_new(wire::AccountView key) const {
    // What came for everyone was not kept for accounts that had no log then.
    return std::max({begin_, dropped_[bucket_of(key)],
                     newest_for_everyone_ == 0 ? 0 : newest_for_everyone_ + 1});
}

wire::Lsn Accounts::floor_of(wire::AccountView account) const {
    const auto found = accounts_.find(account);
    return found == accounts_.end() ? floor_of_new(account) : found->second->log.floor();
}

std::shared_ptr<Accounts::Publisher> Accounts::make_publisher(const std::string& zap_domain,
                                                              std::string who) {
    auto publisher = std::make_shared<Publisher>();
    publisher->who = std::move(who);
    publisher->socket = zmq::socket_t(context_, zmq::socket_type::xpub);
    zmq::socket_t& socket = publisher->socket;
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndhwm, settings_.send_high_water_mark);
    socket.set(zmq::sockopt::maxmsgsize, kMaxSubscriptionBytes);
    socket.set(zmq::sockopt::xpub_verbose, true);
    // No heartbeats of libzmq's: answering one aborts a subscriber whose queue was full when its
    // connection broke (4.3.4).
    socket.set(zmq::sockopt::zap_domain, zap_domain);
    publisher->endpoint = run_dir_.endpoint(epoch_, opened_);
    socket.bind(publisher->endpoint);
    descriptors_.opened(kDescriptorsOfSocket);

    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = publisher.get();
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.get(zmq::sockopt::fd), &event) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    touch(*publisher);
    return publisher;
}

void Accounts::open_socket(Account& account) {
    if (account.publisher) return;
    ++opened_;
    if (settings_.shared()) {
        account.publisher = shared_.lock();
        if (!account.publisher)
            shared_ = account.publisher = make_publisher("accounts", "(shared socket)");
        account.topic = topic_of(opened_);
    } else {
        account.publisher = make_publisher("acct:" + account.key.to_text(), account.key.to_text());
    }
    ++attached_;
}

void Accounts::close_socket(Account& account) {
    if (!account.publisher) return;
    --attached_;
    const auto publisher = std::move(account.publisher);
    if (publisher.use_count() > 1) return;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, publisher->socket.get(zmq::sockopt::fd), nullptr);
    std::erase(touched_, publisher.get());
    publisher->socket.close();
    RunDir::remove(publisher->endpoint);
}

void Accounts::touch(Publisher& publisher) {
    if (publisher.touched) return;
    publisher.touched = true;
    touched_.push_back(&publisher);
}

std::variant<wire::Attached, wire::ControlError> Accounts::attach(const wire::Attach& request,
                                                                  wire::Lsn settled,
                                                                  Clock::time_point now) {
    if (request.account.kind == wire::AccountKind::Everyone)
        return wire::ControlError{wire::ErrorCode::BadAccount,
                                  "everyone is not an account",
                                  {},
                                  "Attach to one account, or to the operators' stream."};
    if (sessions_.contains(request.nonce))
        return wire::ControlError{wire::ErrorCode::Malformed,
                                  "the nonce is in use",
                                  {},
                                  "Choose 16 random bytes for each attach."};
    const auto found = accounts_.find(request.account);
    const bool is_open = settings_.shared() ? !shared_.expired()
                                            : found != accounts_.end() && found->second->publisher;
    descriptors_.recount();
    if (!descriptors_.has_room_for(kDescriptorsOfSubscriber + (is_open ? 0 : kDescriptorsOfSocket)))
        return wire::ControlError{
            wire::ErrorCode::TooManyAttachments, "no file descriptors left for another subscriber",
            std::to_string(descriptors_.used()) + " of " + std::to_string(descriptors_.limit()) +
                " are in use.",
            "Raise the limit of fatwald's open files (LimitNOFILE, ulimit -n)."};
    Account& account = find_or_add(request.account.view());
    open_socket(account);
    descriptors_.opened(kDescriptorsOfSubscriber);
    Session& session = sessions_[request.nonce];
    session.account = &account;
    session.since = now;
    if (request.durable) session.durable = request.subscriber;
    ++account.sessions;
    if (request.durable) {
        const wire::Lsn processed = request.history == history_ ? request.cursor : 0;
        // Without a cursor it may have seen what a snapshot holds: what is not settled is kept
        // until it says so.
        account.durable.add(request.subscriber, std::max(processed, settled), false, now);
        account.durable.acknowledge(request.subscriber, processed);
    }
    return wire::Attached{epoch_,
                          account.log.sequence(),
                          static_cast<std::uint32_t>(settings_.heartbeat_interval_ms),
                          history_,
                          account.publisher->endpoint,
                          account.topic};
}

void Accounts::forget(Sessions::iterator session) {
    holds_.release(hold_of_session(session->first));
    --session->second.account->sessions;
    sessions_.erase(session);
}

void Accounts::detach(const wire::Detach& request) {
    const auto session = sessions_.find(request.nonce);
    if (session == sessions_.end()) return;
    Account& account = *session->second.account;
    const std::string durable = session->second.durable;
    forget(session);
    if (request.forget && !durable.empty()) account.durable.leave(durable);
}

void Accounts::acknowledge(const wire::Acknowledge& request) {
    const auto session = sessions_.find(request.nonce);
    if (session == sessions_.end() || session->second.durable.empty()) return;
    session->second.account->durable.acknowledge(session->second.durable, request.cursor);
}

bool Accounts::to_be_written(const wire::Attach& request) const {
    const auto account = accounts_.find(request.account);
    return request.durable && account != accounts_.end() &&
           !account->second->durable.written(request.subscriber);
}

std::optional<Accounts::Attachment> Accounts::find(const wire::Nonce& nonce) const {
    const auto session = sessions_.find(nonce);
    if (session == sessions_.end()) return std::nullopt;
    Account& account = *session->second.account;
    Attachment attachment{&account.key, &account.log, hold_of_session(nonce), nullptr,
                          session->second.durable};
    if (!attachment.durable.empty()) attachment.durables = &account.durable;
    return attachment;
}

void Accounts::signalled() {
    std::array<epoll_event, 64> events{};
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i)
        touch(*static_cast<Publisher*>(events[static_cast<std::size_t>(i)].data.ptr));
}

void Accounts::hear(Clock::time_point now) {
    // hear() sends markers, which may swallow a signal again: those sockets are looked at until
    // nothing is left.
    for (std::size_t i = 0; i < touched_.size(); ++i) hear(*touched_[i], now);
    for (Publisher* publisher : touched_) publisher->touched = false;
    touched_.clear();
}

void Accounts::hear(Publisher& publisher, Clock::time_point now) {
    zmq::message_t message;
    while (publisher.socket.recv(message, zmq::recv_flags::dontwait)) {
        const wire::Bytes bytes(static_cast<const std::byte*>(message.data()), message.size());
        if (bytes.empty()) continue;
        // Also one that never joins costs what it does not read. Only what came from a peer has a
        // descriptor: libzmq itself takes the subscriptions of one that has gone back.
        if (bytes[0] == std::byte{1})
            stuck_peers_.heard_of(zmq_msg_get(message.handle(), ZMQ_SRCFD), publisher.who, now);
        const auto nonce = wire::decode_marker_topic(bytes.subspan(1));
        if (!nonce) continue;
        const auto session = sessions_.find(*nonce);
        if (session == sessions_.end() || session->second.account->publisher.get() != &publisher)
            continue;
        const bool subscribed = bytes[0] == std::byte{1};
        session->second.connected = subscribed;
        session->second.since = now;
        if (!subscribed) continue;
        send_marker(*session->second.account, *nonce);
    }
}

zmq::message_t Accounts::header(std::string_view before, wire::Topic topic,
                                std::uint64_t sequence) const {
    const auto bytes =
        wire::encode(wire::PublicationHeader{topic, epoch_, sequence, position_, time_});
    zmq::message_t message(before.size() + bytes.size());
    const auto out = std::copy(before.begin(), before.end(), message.data<char>());
    std::memcpy(out, bytes.data(), bytes.size());
    return message;
}

void Accounts::send_marker(Account& account, const wire::Nonce& nonce) {
    const auto topic = wire::marker_topic(nonce);
    zmq::socket_t& socket = account.publisher->socket;
    socket.send(zmq::message_t(topic.data(), topic.size()),
                zmq::send_flags::sndmore | zmq::send_flags::dontwait);
    socket.send(header({}, wire::Topic::Marker, account.log.sequence()), zmq::send_flags::dontwait);
}

void Accounts::send_numbered(Account& account, zmq::message_t payload, wire::Lsn commit_lsn) {
    zmq::message_t kept;
    kept.copy(payload);
    const std::uint64_t sequence = account.log.append(std::move(kept), commit_lsn);
    if (!account.publisher) return;
    bytes_ += payload.size();
    zmq::socket_t& socket = account.publisher->socket;
    socket.send(header(account.topic, wire::Topic::Event, sequence),
                zmq::send_flags::sndmore | zmq::send_flags::dontwait);
    socket.send(std::move(payload), zmq::send_flags::dontwait);
    touch(*account.publisher);
}

void Accounts::publish(Account& account, const wire::FrameView& frame, zmq::message_t payload,
                       const Schemas& schemas, Clock::time_point now) {
    account.durable.published(frame.commit_lsn(), now);
    // Who comes later asks for the schemas that it lacks.
    for (std::uint16_t i = 0; account.publisher && i < frame.relation_count(); ++i) {
        const wire::SchemaId id = frame.relation(i);
        if (!account.described.insert(id).second) continue;
        if (const std::string* schema = schemas.find(id))
            send_numbered(account, zmq::message_t(schema->data(), schema->size()),
                          frame.commit_lsn());
    }
    ++frames_;
    send_numbered(account, std::move(payload), frame.commit_lsn());
}

void Accounts::publish(const wire::FrameView& frame, zmq::message_t payload, const Schemas& schemas,
                       Clock::time_point now) {
    if (frame.account().kind != wire::AccountKind::Everyone) {
        publish(find_or_add(frame.account()), frame, std::move(payload), schemas, now);
        return;
    }
    newest_for_everyone_ = frame.commit_lsn();
    for (auto& [key, account] : accounts_) {
        zmq::message_t shared;
        shared.copy(payload);
        publish(*account, frame, std::move(shared), schemas, now);
    }
}

void Accounts::heartbeat() {
    for (auto& [key, account] : accounts_) {
        if (!account->publisher) continue;
        account->publisher->socket.send(
            header(account->topic, wire::Topic::Heartbeat, account->log.sequence()),
            zmq::send_flags::dontwait);
        touch(*account->publisher);
    }
}

void Accounts::tick(Clock::time_point now) {
    descriptors_.recount();
    heartbeat();
    stuck_peers_.tick(now);
    for (auto session = sessions_.begin(); session != sessions_.end();) {
        const auto next = std::next(session);
        if (!session->second.connected && now - session->second.since >= kSessionGrace)
            forget(session);
        session = next;
    }
    for (auto at = accounts_.begin(); at != accounts_.end();) {
        Account& account = *at->second;
        if (account.sessions == 0) close_socket(account);
        if (account.publisher || !account.log.empty() || !account.durable.empty()) {
            ++at;
            continue;
        }
        wire::Lsn& dropped = dropped_[bucket_of(account.key.view())];
        dropped = std::max(dropped, account.log.floor());
        at = accounts_.erase(at);
    }
}

}  // namespace fatwal
