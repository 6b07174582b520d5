#include "sidecar/accounts.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <system_error>

#include <spdlog/spdlog.h>

#include "fatwal/wire/text_sink.h"
#include "sidecar/inbound.h"

namespace fatwal::sidecar {

namespace {

constexpr std::size_t kDescriptorsOfSocket = 3;
constexpr std::size_t kDescriptorsOfSubscriber = 1;
// libzmq's own handshake has to pass too.
constexpr std::int64_t kMaxSubscriptionBytes = 256;
// Subscriptions of one socket that libzmq reads ahead of us: it takes no more from its peers before
// we have taken these.
constexpr int kSubscriptionsAhead = 128;
constexpr int kSubscriptionsPerTurn = 512;  // of one socket
constexpr std::size_t kEndedRemembered = 16'384;
constexpr std::size_t kDurablesPerReply = 256;
constexpr std::size_t kDroppedBuckets = 65'536;
constexpr std::size_t kTopicBytes = 8;

// Of one length, so that none begins another, and never with the first byte of a marker's.
std::string topic_of(std::uint64_t serial) {
    std::string topic(kTopicBytes, '\0');
    for (std::size_t i = kTopicBytes; i-- > 0; serial >>= 8U)
        topic[i] = static_cast<char>(serial & 0xFFU);
    return topic;
}

wire::ControlError too_many_durables(std::size_t most, const char* of, const char* setting) {
    return {wire::ErrorCode::TooManyDurables, "no more durable subscribers are taken",
            std::to_string(most) + of,
            std::string("Forget those that do not come back (fatwal durable list, fatwal durable "
                        "forget), or raise ") +
                setting + "."};
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

void Accounts::begin(std::uint64_t epoch, const Timelines& timelines, wire::Lsn position,
                     const std::vector<DurableSubscriber>& durable) {
    close_sockets();
    accounts_.clear();
    std::fill(dropped_.begin(), dropped_.end(), 0);
    newest_for_everyone_ = 0;
    epoch_ = epoch;
    timelines_ = timelines;
    begin_ = position_ = position;
    for (const DurableSubscriber& subscriber : durable)
        find_or_add(subscriber.account.view())
            .durable.add(subscriber.name, subscriber.acknowledged, true, Clock::now());
}

void Accounts::close_sockets() {
    while (!sessions_.empty()) (void)forget(sessions_.begin());
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

std::shared_ptr<Accounts::Publisher> Accounts::make_publisher(std::string who) {
    auto publisher = std::make_shared<Publisher>();
    publisher->who = std::move(who);
    publisher->socket = zmq::socket_t(context_, zmq::socket_type::xpub);
    zmq::socket_t& socket = publisher->socket;
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndhwm, settings_.send_high_water_mark);
    socket.set(zmq::sockopt::rcvhwm, kSubscriptionsAhead);
    socket.set(zmq::sockopt::maxmsgsize, kMaxSubscriptionBytes);
    socket.set(zmq::sockopt::xpub_verbose, true);
    // No heartbeats of libzmq's: answering one aborts a subscriber whose queue was full when its
    // connection broke (4.3.4).
    run_dir_.ensure();
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
        if (!account.publisher) shared_ = account.publisher = make_publisher("(shared socket)");
        account.topic = topic_of(opened_);
    } else {
        account.publisher = make_publisher(account.key.to_text());
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

std::optional<wire::ControlError> Accounts::refusal(const wire::Attach& request) const {
    if (request.account.kind == wire::AccountKind::Everyone)
        return wire::ControlError{wire::ErrorCode::BadAccount,
                                  "everyone is not an account",
                                  {},
                                  "Attach to one account, or to the operators' stream."};
    if (sessions_.contains(request.nonce) || ended_nonces_.contains(request.nonce))
        return wire::ControlError{wire::ErrorCode::Malformed,
                                  "the nonce is in use, or was",
                                  {},
                                  "Choose 16 random bytes for each attach."};
    const auto found = accounts_.find(request.account);
    if (request.durable &&
        (found == accounts_.end() || !found->second->durable.contains(request.subscriber))) {
        const auto most = static_cast<std::size_t>(settings_.max_durables);
        const auto most_of_account = static_cast<std::size_t>(settings_.max_account_durables);
        if (durables.size() >= most) return too_many_durables(most, " in all.", "max_durables");
        if (found != accounts_.end() && found->second->durable.size() >= most_of_account)
            return too_many_durables(most_of_account, " of this account.", "max_account_durables");
    }
    const bool is_open = settings_.shared() ? !shared_.expired()
                                            : found != accounts_.end() && found->second->publisher;
    if (!descriptors_.has_room_for(kDescriptorsOfSubscriber + (is_open ? 0 : kDescriptorsOfSocket)))
        return wire::ControlError{
            wire::ErrorCode::TooManyAttachments, "no file descriptors left for another subscriber",
            std::to_string(descriptors_.used()) + " of " + std::to_string(descriptors_.limit()) +
                " are in use.",
            "Raise the limit of fatwald's open files (LimitNOFILE, ulimit -n)."};
    return std::nullopt;
}

std::variant<wire::Attached, wire::ControlError> Accounts::attach(const wire::Attach& request,
                                                                  const Requester& requester,
                                                                  wire::Lsn settled, wire::Lsn end,
                                                                  Clock::time_point now) {
    descriptors_.recount();
    if (auto refused = refusal(request)) return std::move(*refused);
    Account& account = find_or_add(request.account.view());
    try {
        open_socket(account);
    } catch (const std::exception& error) {
        // Of this account alone: the folder is away, a name is too long, no descriptor is free.
        return wire::ControlError{wire::ErrorCode::Internal,
                                  "the account's socket cannot be opened", error.what(),
                                  "Check the run folder of fatwald (--run-dir)."};
    }
    descriptors_.opened(kDescriptorsOfSubscriber);
    Session& session = sessions_[request.nonce];
    session.account = &account;
    session.requester = requester;
    session.since = now;
    sessions_of_[requester.identity].insert(request.nonce);
    // A cursor beyond the end of the log is of another history, as one that says so.
    if (timelines_.holds(request.history, request.cursor) && request.cursor <= end)
        session.processed = request.cursor;
    if (request.durable) session.durable = request.subscriber;
    ++account.sessions;
    if (request.durable) {
        // Without a cursor it may have seen what a snapshot holds: what is not settled is kept
        // until it says so.
        account.durable.add(request.subscriber, std::max(session.processed, settled), false, now);
        account.durable.acknowledge(request.subscriber, session.processed);
    }
    return wire::Attached{epoch_,
                          account.log.sequence(),
                          static_cast<std::uint32_t>(settings_.heartbeat_interval_ms),
                          timelines_.now,
                          account.publisher->endpoint,
                          account.topic};
}

// Gives the one behind it.
Accounts::Sessions::iterator Accounts::forget(Sessions::iterator session) {
    holds_.release(SessionHold{session->first});
    --session->second.account->sessions;
    const auto owned = sessions_of_.find(session->second.requester.identity);
    owned->second.erase(session->first);
    if (owned->second.empty()) sessions_of_.erase(owned);
    remember(session->first);
    return sessions_.erase(session);
}

std::vector<std::string> Accounts::identities() const {
    std::vector<std::string> each;
    for (const auto& [identity, nonces] : sessions_of_) each.push_back(identity);
    return each;
}

void Accounts::remember(const wire::Nonce& nonce) {
    if (!ended_nonces_.insert(nonce).second) return;
    ended_.push_back(nonce);
    if (ended_.size() <= kEndedRemembered) return;
    ended_nonces_.erase(ended_.front());
    ended_.pop_front();
}

void Accounts::detach(const wire::Detach& request, const std::string& identity) {
    const auto session = sessions_.find(request.nonce);
    if (session == sessions_.end() || session->second.requester.identity != identity) return;
    Account& account = *session->second.account;
    const std::string durable = session->second.durable;
    (void)forget(session);
    if (request.forget && !durable.empty()) account.durable.leave(durable);
}

std::optional<wire::ControlError> Accounts::acknowledge(const wire::Acknowledge& request,
                                                        const std::string& identity) {
    const auto found = sessions_.find(request.nonce);
    if (found == sessions_.end() || found->second.requester.identity != identity)
        return wire::ControlError{
            wire::ErrorCode::NotAttached, "this subscriber is not attached", {}, "Attach again."};
    const Session& session = found->second;
    if (session.durable.empty()) return std::nullopt;
    // All that it can have processed: what it said when it attached, and what was published since.
    // Of a transaction that is published in part its own account's part may be whole.
    const wire::Lsn newest = session.account->log.newest();
    const wire::Lsn most =
        std::max({session.processed, position_, newest == 0 ? newest : newest + 1});
    if (request.cursor > most)
        return wire::ControlError{
            wire::ErrorCode::BadPosition, "an acknowledgement beyond what was sent",
            wire::lsn_text(request.cursor) + " lies beyond " + wire::lsn_text(most) + ".",
            "Acknowledge the cursor of a transaction or of a heartbeat."};
    session.account->durable.acknowledge(session.durable, request.cursor);
    return std::nullopt;
}

std::vector<Requester> Accounts::forget_those_of(const DurableKey& key) {
    std::vector<Requester> attached;
    for (auto session = sessions_.begin(); session != sessions_.end();) {
        const bool is_it =
            session->second.durable == key.name && session->second.account->key == key.account;
        if (is_it) attached.push_back(session->second.requester);
        session = is_it ? forget(session) : std::next(session);
    }
    return attached;
}

std::vector<Requester> Accounts::drop_durable(const HoldKey& key) {
    if (!durables.forget(key)) return {};
    return forget_those_of(std::get<DurableKey>(key));
}

std::vector<Requester> Accounts::refused_durable(const DurableKey& key) {
    if (!durables.refused(key)) return {};
    return forget_those_of(key);
}

wire::DurableList Accounts::list_durables(const wire::ListDurables& request) const {
    wire::DurableList list;
    list.durables = durables.list({request.account, request.after}, kDurablesPerReply + 1);
    list.end = list.durables.size() <= kDurablesPerReply;
    if (!list.end) list.durables.pop_back();
    std::set<DurableKey> attached;
    for (const auto& [nonce, session] : sessions_)
        if (!session.durable.empty()) attached.insert({session.account->key, session.durable});
    for (wire::DurableEntry& entry : list.durables)
        entry.attached = attached.contains({entry.account, entry.name});
    return list;
}

bool Accounts::operates(const std::string& identity) const {
    const auto owned = sessions_of_.find(identity);
    if (owned == sessions_of_.end()) return false;
    return std::any_of(owned->second.begin(), owned->second.end(), [&](const wire::Nonce& nonce) {
        return sessions_.at(nonce).account->key.kind == wire::AccountKind::Operators;
    });
}

bool Accounts::holds_for(const DurableSubscriber& subscriber) const {
    const auto account = accounts_.find(subscriber.account);
    return account != accounts_.end() &&
           account->second->durable.written_within(subscriber.name, subscriber.acknowledged);
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
    Attachment attachment{&account.key, &account.log, SessionHold{nonce}, nullptr,
                          session->second.durable};
    if (!attachment.durable.empty()) attachment.durables = &account.durable;
    return attachment;
}

std::optional<Accounts::Attachment> Accounts::find(const wire::Nonce& nonce,
                                                   const std::string& identity) const {
    const auto session = sessions_.find(nonce);
    if (session == sessions_.end() || session->second.requester.identity != identity)
        return std::nullopt;
    return find(nonce);
}

void Accounts::signalled() {
    std::array<epoll_event, 64> events{};
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i)
        touch(*static_cast<Publisher*>(events[static_cast<std::size_t>(i)].data.ptr));
}

bool Accounts::hear(Clock::time_point now) {
    // hear() sends markers, which may swallow a signal again: those sockets are read until nothing
    // is left, now or in the next turns.
    std::vector<Publisher*> left;
    for (std::size_t i = 0; i < touched_.size(); ++i)
        if (hear(*touched_[i], now)) left.push_back(touched_[i]);
    for (Publisher* publisher : touched_) publisher->touched = false;
    touched_.clear();
    for (Publisher* publisher : left) touch(*publisher);
    return !touched_.empty();
}

bool Accounts::useful(wire::Bytes message) const {
    if (message.empty() || message.size() > 1 + 1 + wire::kNonceBytes) return false;
    if (message[0] == std::byte{0}) return true;  // the end of one; the other budget bounds it
    if (message[0] != std::byte{1}) return false;
    const wire::Bytes topic = message.subspan(1);
    if (topic.size() <= 1) return true;  // events, heartbeats, or all of something
    if (const auto nonce = wire::decode_marker_topic(topic)) return sessions_.contains(*nonce);
    std::uint64_t serial = 0;
    for (const std::byte byte : topic) serial = serial << 8U | std::to_integer<std::uint64_t>(byte);
    return settings_.shared() && topic.size() == kTopicBytes && serial <= opened_;
}

bool Accounts::hear(Publisher& publisher, Clock::time_point now) {
    try {
        return hear_some(publisher, now);
    } catch (const zmq::error_t& error) {
        fail(publisher, error);
        return false;
    }
}

bool Accounts::hear_some(Publisher& publisher, Clock::time_point now) {
    zmq::message_t message;
    for (int left = kSubscriptionsPerTurn; left > 0; --left) {
        if (!publisher.socket.recv(message, zmq::recv_flags::dontwait)) return false;
        const wire::Bytes bytes(static_cast<const std::byte*>(message.data()), message.size());
        // The end of a connection ends its subscriptions: that comes from no descriptor.
        const int descriptor = descriptor_of(message);
        const std::uint64_t inode = inode_of(descriptor);
        inbound::read_from(descriptor);
        if (inode != 0 && !guard_.admit(descriptor, inode, useful(bytes), sessions_.size(), now)) {
            shutdown(descriptor, SHUT_RDWR);
            ++cuts_;
            continue;
        }
        if (bytes.empty()) continue;
        // Also one that never joins costs what it does not read. Only what came from a peer has a
        // descriptor: libzmq itself takes the subscriptions of one that has gone back.
        if (bytes[0] == std::byte{1}) stuck_peers_.heard_of(descriptor, inode, publisher.who, now);
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
    return true;
}

// An error is the socket's alone: its subscribers are sent away, to attach again, and other
// accounts notice nothing.
void Accounts::fail(Publisher& publisher, const zmq::error_t& error) {
    publisher.broken = true;
    spdlog::error("the socket {} failed: {}", publisher.endpoint, error.what());
}

// What a slow subscriber cannot take libzmq drops without an error.
void Accounts::send(Publisher& publisher, zmq::message_t message, zmq::send_flags flags) {
    if (publisher.broken) return;
    try {
        (void)publisher.socket.send(std::move(message), flags | zmq::send_flags::dontwait);
    } catch (const zmq::error_t& error) {
        fail(publisher, error);
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
    Publisher& publisher = *account.publisher;
    send(publisher, zmq::message_t(topic.data(), topic.size()), zmq::send_flags::sndmore);
    send(publisher, header({}, wire::Topic::Marker, account.log.sequence()), zmq::send_flags::none);
}

void Accounts::send_numbered(Account& account, zmq::message_t payload, wire::Lsn commit_lsn) {
    zmq::message_t kept;
    kept.copy(payload);
    const std::uint64_t sequence = account.log.append(std::move(kept), commit_lsn);
    if (!account.publisher) return;
    bytes_ += payload.size();
    Publisher& publisher = *account.publisher;
    send(publisher, header(account.topic, wire::Topic::Event, sequence), zmq::send_flags::sndmore);
    send(publisher, std::move(payload), zmq::send_flags::none);
    touch(publisher);
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
        send(*account->publisher,
             header(account->topic, wire::Topic::Heartbeat, account->log.sequence()),
             zmq::send_flags::none);
        touch(*account->publisher);
    }
}

void Accounts::tick(Clock::time_point now) {
    descriptors_.recount();
    stuck_peers_.tick(now);
    guard_.tick(now);
    for (auto session = sessions_.begin(); session != sessions_.end();) {
        const bool over =
            (!session->second.connected && now - session->second.since >= kSessionGrace) ||
            session->second.account->publisher->broken;
        session = over ? forget(session) : std::next(session);
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

}  // namespace fatwal::sidecar
