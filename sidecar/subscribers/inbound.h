// What libzmq accepts and reads from its peers, bounded where libzmq has no bound.
//
// How: libzmq.so calls accept4(), accept() and recv() by name, so the definitions in inbound.cpp,
// in the executable, are the ones that it finds; they pass on to the C library's. Why so:
// - At the end of the file descriptors libzmq's accept ends the process (an assertion). No count of
//   ours is in time: peers can connect faster than any loop counts. The number of a new descriptor
//   is the lowest that is free, so a number beyond a bound says, exactly and at once, that nearly
//   all below it are in use. That connection is closed again, which libzmq takes for a peer that
//   gave up.
// - libzmq bounds the size of each part of a message, and the number of whole messages that wait,
//   but not the parts of one message: a peer that never ends one fills the memory. So bytes are
//   counted between two whole messages of a connection; beyond the bound it reads as closed.
//
// Only the I/O thread of libzmq accepts, and what that thread receives is from connections that it
// accepted: recv() by any other thread (libpq's) is passed on unseen.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fatwal::sidecar::inbound {

// More than 1,000 requests (libzmq's own bound of those that wait), of the size that requests have.
inline constexpr std::uint32_t kUnreadBytes = 8 * 1024 * 1024;

// Connections whose descriptors would have this number or a greater one are closed as they come.
// Before the first socket is bound, once. Until then nothing is bounded.
void set_bound(std::size_t descriptors);

// A whole message of this connection was read (its ZMQ_SRCFD).
void read_from(int descriptor);

// Connections that were closed because of set_bound(), or because of kUnreadBytes.
[[nodiscard]] std::uint64_t refused();
[[nodiscard]] std::uint64_t cut();

}  // namespace fatwal::sidecar::inbound
