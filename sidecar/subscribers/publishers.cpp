#include "sidecar/subscribers/publishers.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>
#include <utility>

#include <spdlog/spdlog.h>

#include "sidecar/subscribers/inbound.h"
#include "sidecar/subscribers/io_threads.h"
#include "sidecar/subscribers/run_dir.h"

namespace fatwal::sidecar {

namespace {

// libzmq's own handshake has to pass too.
constexpr std::int64_t kMaxSubscriptionBytes = 256;
// Subscriptions of one socket that libzmq reads ahead of us: it takes no more from its peers before
// we have taken these.
constexpr int kSubscriptionsAhead = 128;
constexpr int kSubscriptionsPerTurn = 512;  // of one socket
constexpr std::size_t kTopicBytes = 8;

// Of one length, so that none begins another, and never with the first byte of a marker's.
std::string topic_of(std::uint64_t serial) {
    std::string topic(kTopicBytes, '\0');
    for (std::size_t i = kTopicBytes; i-- > 0; serial >>= 8U)
        topic[i] = static_cast<char>(serial & 0xFFU);
    return topic;
}

}  // namespace

void Outlet::add(const std::string& receiver) {
    const auto found = std::find_if(receivers.begin(), receivers.end(),
                                    [&](const Receiver& each) { return each.name == receiver; });
    if (found != receivers.end())
        ++found->attachments;
    else
        receivers.push_back({receiver, 1});
}

void Outlet::remove(const std::string& receiver) {
    const auto found = std::find_if(receivers.begin(), receivers.end(),
                                    [&](const Receiver& each) { return each.name == receiver; });
    if (found == receivers.end() || --found->attachments > 0) return;
    *found = std::move(receivers.back());
    receivers.pop_back();
}

Publishers::Publishers(zmq::context_t& context, const Settings& settings, Descriptors& descriptors,
                       NameEndpoint name_endpoint, KeyedData* keyed)
    : context_(context),
      settings_(settings),
      descriptors_(descriptors),
      name_endpoint_(std::move(name_endpoint)),
      keyed_(keyed),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Publishers::~Publishers() { ::close(epoll_); }

std::shared_ptr<Publisher> Publishers::bind(std::string who) {
    auto publisher = std::make_shared<Publisher>();
    publisher->who = std::move(who);
    publisher->socket = zmq::socket_t(context_, zmq::socket_type::xpub);
    zmq::socket_t& socket = publisher->socket;
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::affinity, kLocalThread);
    socket.set(zmq::sockopt::sndhwm, settings_.send_high_water_mark);
    socket.set(zmq::sockopt::rcvhwm, kSubscriptionsAhead);
    socket.set(zmq::sockopt::maxmsgsize, kMaxSubscriptionBytes);
    socket.set(zmq::sockopt::xpub_verbose, true);
    // No heartbeats of libzmq's: answering one aborts a subscriber whose queue was full when its
    // connection broke (4.3.4).
    publisher->endpoint = name_endpoint_(epoch_, opened_);
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

Outlet Publishers::open(const wire::AccountKey& account) {
    ++opened_;
    if (!settings_.shared()) return {bind(account.to_text()), {}, {}};
    auto publisher = shared_.lock();
    if (!publisher) shared_ = publisher = bind("(shared socket)");
    return {std::move(publisher), topic_of(opened_), {}};
}

void Publishers::close(Outlet& outlet) {
    const auto publisher = std::move(outlet.publisher);
    outlet = {};
    if (!publisher || publisher.use_count() > 1) return;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, publisher->socket.get(zmq::sockopt::fd), nullptr);
    std::erase(touched_, publisher.get());
    publisher->socket.close();
    RunDir::remove(publisher->endpoint);
}

void Publishers::touch(Publisher& publisher) {
    if (publisher.touched) return;
    publisher.touched = true;
    touched_.push_back(&publisher);
}

void Publishers::signalled() {
    std::array<epoll_event, 64> events{};
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i)
        touch(*static_cast<Publisher*>(events[static_cast<std::size_t>(i)].data.ptr));
}

bool Publishers::read_subscriptions(MarkerListener& listener, Time now) {
    // Reading sends markers, which may swallow a signal again: those sockets are read until nothing
    // is left, now or in the next turns.
    std::vector<Publisher*> left;
    for (std::size_t i = 0; i < touched_.size(); ++i) {
        try {
            if (read_some(*touched_[i], listener, now)) left.push_back(touched_[i]);
        } catch (const zmq::error_t& error) {
            fail(*touched_[i], error);
        }
    }
    for (Publisher* publisher : touched_) publisher->touched = false;
    touched_.clear();
    for (Publisher* publisher : left) touch(*publisher);
    return !touched_.empty();
}

// What the protocol needs of a peer: the account's topics, and the markers of those that are
// attached.
bool Publishers::is_useful(wire::Bytes message, const MarkerListener& listener) const {
    if (message.empty() || message.size() > 1 + 1 + wire::kNonceBytes) return false;
    if (message[0] == std::byte{0}) return true;  // the end of one; the other budget bounds it
    if (message[0] != std::byte{1}) return false;
    const wire::Bytes topic = message.subspan(1);
    if (topic.size() <= 1) return true;  // events, heartbeats, or all of something
    if (const auto nonce = wire::decode_marker_topic(topic)) return listener.expects(*nonce);
    std::uint64_t serial = 0;
    for (const std::byte byte : topic) serial = serial << 8U | std::to_integer<std::uint64_t>(byte);
    return settings_.shared() && topic.size() == kTopicBytes && serial <= opened_;
}

bool Publishers::read_some(Publisher& publisher, MarkerListener& listener, Time now) {
    zmq::message_t message;
    for (int left = kSubscriptionsPerTurn; left > 0; --left) {
        if (!publisher.socket.recv(message, zmq::recv_flags::dontwait)) return false;
        const wire::Bytes bytes(static_cast<const std::byte*>(message.data()), message.size());
        // The end of a connection ends its subscriptions: that comes from no descriptor.
        const int descriptor = descriptor_of(message);
        const std::uint64_t inode = inbound::inode_of_peer(descriptor);
        inbound::read_from(descriptor);
        if (inode != 0 && !guard_.admit(descriptor, inode, is_useful(bytes, listener),
                                        listener.subscribers(), now)) {
            inbound::shut_down(descriptor, inode);
            ++cuts_;
            continue;
        }
        if (bytes.empty()) continue;
        const bool subscribed = bytes[0] == std::byte{1};
        // Also one that never joins costs what it does not read. Only what came from a peer has a
        // descriptor: libzmq itself takes the subscriptions of one that has disconnected.
        if (subscribed) stuck_peers_.watch(descriptor, inode, publisher.who, now);
        if (const auto nonce = wire::decode_marker_topic(bytes.subspan(1)))
            listener.marker_subscribed(publisher, {descriptor, inode}, *nonce, subscribed, now);
    }
    return true;
}

void Publishers::fail(Publisher& publisher, const zmq::error_t& error) {
    publisher.broken = true;
    spdlog::error("the socket {} failed: {}", publisher.endpoint, error.what());
}

void Publishers::send(Publisher& publisher, zmq::message_t message, zmq::send_flags flags) {
    if (publisher.broken) return;
    try {
        (void)publisher.socket.send(std::move(message), flags | zmq::send_flags::dontwait);
    } catch (const zmq::error_t& error) {
        fail(publisher, error);
    }
}

zmq::message_t Publishers::header(std::string_view before, wire::Topic topic,
                                  std::uint64_t sequence) const {
    const auto bytes =
        wire::encode(wire::PublicationHeader{topic, epoch_, sequence, position_, time_});
    zmq::message_t message(before.size() + bytes.size());
    const auto out = std::copy(before.begin(), before.end(), message.data<char>());
    std::memcpy(out, bytes.data(), bytes.size());
    return message;
}

void Publishers::send_event(const Outlet& outlet, std::uint64_t sequence, zmq::message_t payload) {
    bytes_ += payload.size();
    Publisher& publisher = *outlet.publisher;
    zmq::message_t head = header(outlet.topic, wire::Topic::Event, sequence);
    for (const Outlet::Receiver& receiver : outlet.receivers)
        keyed_->send(receiver.name, head, &payload);
    send(publisher, std::move(head), zmq::send_flags::sndmore);
    send(publisher, std::move(payload), zmq::send_flags::none);
    touch(publisher);
}

void Publishers::send_heartbeat(const Outlet& outlet, std::uint64_t sequence) {
    zmq::message_t head = header(outlet.topic, wire::Topic::Heartbeat, sequence);
    for (const Outlet::Receiver& receiver : outlet.receivers)
        keyed_->send(receiver.name, head, nullptr);
    send(*outlet.publisher, std::move(head), zmq::send_flags::none);
    touch(*outlet.publisher);
}

// Not touched: it is sent while its socket is read.
void Publishers::send_marker(const Outlet& outlet, const wire::Nonce& nonce,
                             std::uint64_t sequence) {
    const auto topic = wire::marker_topic(nonce);
    send(*outlet.publisher, zmq::message_t(topic.data(), topic.size()), zmq::send_flags::sndmore);
    send(*outlet.publisher, header({}, wire::Topic::Marker, sequence), zmq::send_flags::none);
}

void Publishers::send_marker(const std::string& receiver, const wire::Nonce& nonce,
                             std::uint64_t sequence) {
    const auto topic = wire::marker_topic(nonce);
    const zmq::message_t body = header({}, wire::Topic::Marker, sequence);
    keyed_->send(receiver, zmq::message_t(topic.data(), topic.size()), &body);
}

void Publishers::tick(Time now) {
    stuck_peers_.tick(now);
    guard_.tick(now);
}

}  // namespace fatwal::sidecar
