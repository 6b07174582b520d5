#include "sidecar/subscribers/inbound.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <utility>

namespace fatwal::sidecar::inbound {

namespace {

// Tables larger than that are of no use: the memory of so many connections ends first.
constexpr std::size_t kMostDescriptors = std::size_t{1} << 20U;

struct Connection {
    // Bytes received since the last whole message. The I/O thread adds, the event loop sets 0; a
    // sum that is too small by one message is as good.
    std::atomic<std::uint32_t> unread = 0;
    std::atomic<std::uint32_t> counted = 0;  // what of it counts among all with keys
    std::atomic<std::uint32_t> handed = 0;   // bytes, to the kernel
    std::atomic<bool> open = false;
    std::atomic<bool> keyed = false;
    std::atomic<bool> heard = false;          // a whole message of it was read
    std::atomic<std::uint32_t> accepted = 0;  // in seconds, of now_ms()
};

struct Bounds {
    std::size_t bound = 0;
    std::unique_ptr<Connection[]> connections;  // by descriptor
    // Closed for a moment when not even one descriptor is free, to accept and close.
    int spare = -1;
    std::size_t most_keyed = 0;
    std::vector<std::string> keyed_paths;
    std::atomic<std::size_t> keyed = 0;          // connections with keys
    std::atomic<std::size_t> unheard = 0;        // of them, those of which nothing was read
    std::atomic<std::int64_t> keyed_unread = 0;  // of them, each beyond kFreeBytes
    std::size_t hand = 0;                        // where make_room() has looked last
    std::atomic<std::uint64_t> refused = 0;
    std::atomic<std::uint64_t> refused_keyed = 0;
    std::atomic<std::uint64_t> cut = 0;
    std::atomic<std::uint64_t> throttled = 0;
};
// Never destroyed: close() is called until the process has ended.
Bounds& state = *new Bounds;
std::atomic<bool> bounded = false;
thread_local bool accepts = false;  // this thread is libzmq's

// One I/O thread has all keyed sockets (io_threads.h), so nothing of these, nor of the rates below,
// is shared between threads.
enum class Listens : std::uint8_t { Unknown, Local, Keyed };
thread_local Listens listens = Listens::Unknown;

constexpr std::size_t kAddresses = 16'384;
std::unique_ptr<Bucket[]> by_address;
Bucket of_all;

std::int64_t now_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::uint32_t now_s() { return static_cast<std::uint32_t>(now_ms() / 1000); }

Connection* connection_of(int descriptor) {
    const bool is_known = descriptor >= 0 && bounded.load(std::memory_order_acquire) &&
                          static_cast<std::size_t>(descriptor) < state.bound;
    return is_known ? &state.connections[static_cast<std::size_t>(descriptor)] : nullptr;
}

bool is_keyed(int listener) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    if (getsockname(listener, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return false;
    if (storage.ss_family != AF_UNIX) return true;
    const auto& address = reinterpret_cast<const sockaddr_un&>(storage);
    return std::find(state.keyed_paths.begin(), state.keyed_paths.end(), address.sun_path) !=
           state.keyed_paths.end();
}

// What of a connection's unread bytes counts among all.
std::uint32_t beyond_free(std::uint32_t unread) {
    return unread > kFreeBytes ? unread - kFreeBytes : 0;
}

// The sum in all is that of `counted`, whoever of the two threads sets it 0.
void no_longer_unread(Connection& connection) {
    connection.unread.store(0, std::memory_order_relaxed);
    state.keyed_unread -= connection.counted.exchange(0);
}

void no_longer_unheard(Connection& connection) {
    if (!connection.heard.exchange(true) && connection.keyed) --state.unheard;
}

// When all places of peers with keys are taken: ends one that has said nothing for kSilent. It runs
// on the thread that closes them, so the descriptor is still that connection's.
void make_room() {
    constexpr std::size_t kLooks = 4096;
    for (std::size_t left = std::min(kLooks, state.bound); left > 0; --left) {
        state.hand = (state.hand + 1) % state.bound;
        const Connection& connection = state.connections[state.hand];
        if (!connection.open || !connection.keyed || connection.heard ||
            now_s() - connection.accepted < kSilent.count())
            continue;
        ::shutdown(static_cast<int>(state.hand), SHUT_RDWR);
        return;
    }
}

// The places of addresses differ from one process to the next, so that nobody can choose addresses
// that share the place of another's.
std::uint64_t salt() {
    static const std::uint64_t value = [] {
        std::random_device random;
        return std::uint64_t{random()} << 32U | random();
    }();
    return value;
}

// Of IPv4 the address, of IPv6 the network of 64 bits. An IPv4 address that is written as one of
// IPv6 (::ffff:a.b.c.d) is itself.
std::uint64_t network_of(const sockaddr& address) {
    if (address.sa_family == AF_INET)
        return reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr;
    const in6_addr& six = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    std::uint64_t network = 0;
    if (IN6_IS_ADDR_V4MAPPED(&six))
        std::memcpy(&network, &six.s6_addr[12], sizeof(std::uint32_t));
    else
        std::memcpy(&network, &six, sizeof network);
    return network;
}

// Whether it may come; what has no network address always may.
bool admit(const sockaddr* address) {
    if (address == nullptr || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
        return true;
    if (!by_address) by_address = std::make_unique<Bucket[]>(kAddresses);
    // Addresses that share a place share its rate. Each step spreads what differs in few bits
    // (SplitMix64's).
    std::uint64_t mixed = network_of(*address) + salt();
    mixed = (mixed ^ mixed >> 30U) * 0xBF58476D1CE4E5B9ULL;
    mixed = (mixed ^ mixed >> 27U) * 0x94D049BB133111EBULL;
    const std::size_t place = (mixed ^ mixed >> 31U) % kAddresses;
    const std::int64_t now = now_ms();
    return by_address[place].take(kOfAddress, now) && of_all.take(kOfAll, now);
}

// The C library's function of this name, or a sanitizer's around it.
template <class Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// libzmq takes it for a peer that gave up.
int refuse(int descriptor, std::atomic<std::uint64_t>& count) {
    if (descriptor >= 0) ::close(descriptor);
    ++count;
    errno = ECONNABORTED;
    return -1;
}

// `accept_one` is called again when a descriptor was made free for it.
template <class Accept>
int accept_bounded(int listener, const sockaddr* address, Accept&& accept_one) {
    int descriptor = accept_one();
    if (!bounded.load(std::memory_order_acquire)) return descriptor;
    accepts = true;
    if (listens == Listens::Unknown) listens = is_keyed(listener) ? Listens::Keyed : Listens::Local;
    if (descriptor < 0 && (errno == EMFILE || errno == ENFILE) && state.spare >= 0) {
        ::close(state.spare);
        descriptor = accept_one();
        if (descriptor >= 0) ::close(descriptor);
        state.spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        return refuse(-1, state.refused);
    }
    if (descriptor < 0) return descriptor;
    Connection* connection = connection_of(descriptor);
    if (connection == nullptr) return refuse(descriptor, state.refused);
    if (!admit(address)) return refuse(descriptor, state.throttled);
    const bool keyed = listens == Listens::Keyed;
    if (keyed && (state.keyed >= state.most_keyed || state.unheard >= (state.most_keyed + 1) / 2)) {
        make_room();
        return refuse(descriptor, state.refused_keyed);
    }
    connection->unread = 0;
    connection->handed = 0;
    connection->heard = false;
    connection->accepted = now_s();
    connection->keyed = keyed;
    if (keyed) {
        ++state.keyed;
        ++state.unheard;
    }
    connection->open = true;
    return descriptor;
}

// Before the descriptor is closed: from then on its number may be anybody's.
void closes(int descriptor) {
    Connection* connection = connection_of(descriptor);
    if (connection == nullptr || !connection->open.exchange(false)) return;
    no_longer_unread(*connection);
    no_longer_unheard(*connection);
    if (connection->keyed.exchange(false)) --state.keyed;
}

// Whether the connection is to be cut, when so many bytes more have come on it.
bool passes_bound(Connection& connection, std::uint32_t more) {
    const std::uint32_t before = connection.unread.fetch_add(more, std::memory_order_relaxed);
    const std::uint32_t unread = before + more;
    if (!connection.keyed.load(std::memory_order_relaxed)) return unread > kUnreadBytes;
    const std::uint32_t counts = beyond_free(unread) - beyond_free(before);
    connection.counted += counts;
    const std::int64_t total = state.keyed_unread += counts;
    return unread > kKeyedUnreadBytes || (unread > kFreeBytes && total > kKeyedUnreadTotal);
}

}  // namespace

void set_bound(std::size_t descriptors) {
    state.bound = std::min(descriptors, kMostDescriptors);
    state.connections = std::make_unique<Connection[]>(state.bound);
    state.spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    bounded.store(true, std::memory_order_release);
}

std::size_t set_keyed(std::size_t most, std::vector<std::string> paths) {
    state.most_keyed = std::min(most, state.bound / 2);
    state.keyed_paths = std::move(paths);
    return state.most_keyed;
}

void read_from(int descriptor) {
    Connection* connection = connection_of(descriptor);
    if (connection == nullptr) return;
    no_longer_unheard(*connection);
    no_longer_unread(*connection);
}

std::uint64_t inode_of_peer(int descriptor) {
    const Connection* connection = connection_of(descriptor);
    struct stat status {};
    return connection != nullptr && connection->open && fstat(descriptor, &status) == 0
               ? status.st_ino
               : 0;
}

std::uint32_t handed_over(int descriptor) {
    const Connection* connection = connection_of(descriptor);
    return connection == nullptr ? 0 : connection->handed.load(std::memory_order_acquire);
}

void shut_down(int descriptor, std::uint64_t inode) {
    if (inode != 0 && inode_of_peer(descriptor) == inode) ::shutdown(descriptor, SHUT_RDWR);
}

std::uint32_t unread(int descriptor, std::uint64_t inode) {
    int bytes = 0;
    if (inode == 0 || inode_of_peer(descriptor) != inode ||
        ioctl(descriptor, SIOCOUTQ, &bytes) != 0)
        return 0;
    return static_cast<std::uint32_t>(bytes);
}

std::uint64_t refused() { return state.refused; }
std::uint64_t refused_keyed() { return state.refused_keyed; }
std::uint64_t cut() { return state.cut; }
std::uint64_t throttled() { return state.throttled; }

}  // namespace fatwal::sidecar::inbound

extern "C" {

__attribute__((visibility("default"))) int accept4(int socket, sockaddr* address, socklen_t* length,
                                                   int flags) {
    static const auto real =
        fatwal::sidecar::inbound::next<int(int, sockaddr*, socklen_t*, int)>("accept4");
    return fatwal::sidecar::inbound::accept_bounded(
        socket, address, [&] { return real(socket, address, length, flags); });
}

__attribute__((visibility("default"))) int accept(int socket, sockaddr* address,
                                                  socklen_t* length) {
    static const auto real =
        fatwal::sidecar::inbound::next<int(int, sockaddr*, socklen_t*)>("accept");
    return fatwal::sidecar::inbound::accept_bounded(socket, address,
                                                    [&] { return real(socket, address, length); });
}

__attribute__((visibility("default"))) ssize_t recv(int socket, void* buffer, std::size_t size,
                                                    int flags) {
    static const auto real =
        fatwal::sidecar::inbound::next<ssize_t(int, void*, std::size_t, int)>("recv");
    const ssize_t received = real(socket, buffer, size, flags);
    using namespace fatwal::sidecar::inbound;
    if (!accepts || received <= 0) return received;
    Connection* connection = connection_of(socket);
    if (connection == nullptr || !passes_bound(*connection, static_cast<std::uint32_t>(received)))
        return received;
    ++state.cut;
    return 0;
}

__attribute__((visibility("default"))) ssize_t send(int socket, const void* buffer,
                                                    std::size_t size, int flags) {
    static const auto real =
        fatwal::sidecar::inbound::next<ssize_t(int, const void*, std::size_t, int)>("send");
    const ssize_t sent = real(socket, buffer, size, flags);
    using namespace fatwal::sidecar::inbound;
    if (!accepts || sent <= 0) return sent;
    if (Connection* connection = connection_of(socket))
        connection->handed.fetch_add(static_cast<std::uint32_t>(sent), std::memory_order_release);
    return sent;
}

__attribute__((visibility("default"))) int close(int descriptor) {
    static const auto real = fatwal::sidecar::inbound::next<int(int)>("close");
    fatwal::sidecar::inbound::closes(descriptor);
    return real(descriptor);
}

}  // extern "C"
