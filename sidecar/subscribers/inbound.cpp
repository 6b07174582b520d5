#include "sidecar/subscribers/inbound.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

namespace fatwal::sidecar::inbound {

namespace {

// Tables larger than that are of no use: the memory of so many connections ends first.
constexpr std::size_t kMostDescriptors = std::size_t{1} << 20U;

struct Bounds {
    std::size_t bound = 0;
    // Bytes received since the last whole message, by descriptor. The I/O thread adds, the event
    // loop sets 0; a sum that is too small by one message is as good.
    std::unique_ptr<std::atomic<std::uint32_t>[]> unread;
    // Closed for a moment when not even one descriptor is free, to accept and close.
    int spare = -1;
    std::atomic<std::uint64_t> refused = 0;
    std::atomic<std::uint64_t> cut = 0;
    std::atomic<std::uint64_t> throttled = 0;
};
Bounds state;
std::atomic<bool> bounded = false;
thread_local bool accepts = false;  // this thread is libzmq's

// Addresses that share a place by their hash share its rate. One I/O thread has all keyed sockets,
// so nothing of it is shared between threads.
constexpr std::size_t kAddresses = 16'384;
std::unique_ptr<Bucket[]> by_address;
Bucket of_all;

// Whether it may come; what has no network address always may.
bool admit(const sockaddr* address) {
    std::uint64_t network = 0;
    if (address == nullptr) return true;
    if (address->sa_family == AF_INET) {
        network = reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr;
    } else if (address->sa_family == AF_INET6) {
        std::memcpy(&network, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr,
                    sizeof network);
    } else {
        return true;
    }
    if (!by_address) by_address = std::make_unique<Bucket[]>(kAddresses);
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                         std::chrono::steady_clock::now().time_since_epoch())
                         .count();
    // Spreads what differs in few bits (SplitMix64's multiplier).
    const std::size_t place = (network * 0xBF58476D1CE4E5B9ULL >> 32U) % kAddresses;
    return by_address[place].take(kOfAddress, now) && of_all.take(kOfAll, now);
}

// The C library's function of this name, or a sanitizer's around it.
template <class Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// `accept_one` is called again when a descriptor was made free for it.
template <class Accept>
int accept_bounded(const sockaddr* address, Accept&& accept_one) {
    int descriptor = accept_one();
    if (!bounded.load(std::memory_order_acquire)) return descriptor;
    accepts = true;
    if (descriptor < 0 && (errno == EMFILE || errno == ENFILE) && state.spare >= 0) {
        ::close(state.spare);
        descriptor = accept_one();
        if (descriptor >= 0) ::close(descriptor);
        state.spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ++state.refused;
        errno = ECONNABORTED;
        return -1;
    }
    if (descriptor < 0) return descriptor;
    if (static_cast<std::size_t>(descriptor) >= state.bound) {
        ::close(descriptor);
        ++state.refused;
        errno = ECONNABORTED;
        return -1;
    }
    if (!admit(address)) {
        ::close(descriptor);
        ++state.throttled;
        errno = ECONNABORTED;
        return -1;
    }
    state.unread[static_cast<std::size_t>(descriptor)].store(0, std::memory_order_relaxed);
    return descriptor;
}

}  // namespace

void set_bound(std::size_t descriptors) {
    state.bound = std::min(descriptors, kMostDescriptors);
    state.unread = std::make_unique<std::atomic<std::uint32_t>[]>(state.bound);
    state.spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    bounded.store(true, std::memory_order_release);
}

void read_from(int descriptor) {
    if (descriptor < 0 || static_cast<std::size_t>(descriptor) >= state.bound) return;
    state.unread[static_cast<std::size_t>(descriptor)].store(0, std::memory_order_relaxed);
}

std::uint64_t refused() { return state.refused; }
std::uint64_t cut() { return state.cut; }
std::uint64_t throttled() { return state.throttled; }

}  // namespace fatwal::sidecar::inbound

extern "C" {

__attribute__((visibility("default"))) int accept4(int socket, sockaddr* address, socklen_t* length,
                                                   int flags) {
    static const auto real =
        fatwal::sidecar::inbound::next<int(int, sockaddr*, socklen_t*, int)>("accept4");
    return fatwal::sidecar::inbound::accept_bounded(
        address, [&] { return real(socket, address, length, flags); });
}

__attribute__((visibility("default"))) int accept(int socket, sockaddr* address,
                                                  socklen_t* length) {
    static const auto real =
        fatwal::sidecar::inbound::next<int(int, sockaddr*, socklen_t*)>("accept");
    return fatwal::sidecar::inbound::accept_bounded(address,
                                                    [&] { return real(socket, address, length); });
}

__attribute__((visibility("default"))) ssize_t recv(int socket, void* buffer, std::size_t size,
                                                    int flags) {
    static const auto real =
        fatwal::sidecar::inbound::next<ssize_t(int, void*, std::size_t, int)>("recv");
    const ssize_t received = real(socket, buffer, size, flags);
    using namespace fatwal::sidecar::inbound;
    if (!accepts || received <= 0 || static_cast<std::size_t>(socket) >= state.bound)
        return received;
    auto& unread = state.unread[static_cast<std::size_t>(socket)];
    const auto more = static_cast<std::uint32_t>(received);
    if (unread.fetch_add(more, std::memory_order_relaxed) + more <= kUnreadBytes) return received;
    ++state.cut;
    return 0;
}

}  // extern "C"
