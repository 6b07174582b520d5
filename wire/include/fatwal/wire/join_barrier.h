// The join barrier: why a subscriber that joins a running stream misses nothing.
//
// A publisher's socket sends a message to whoever it knows to be subscribed, so a subscriber that
// joins late misses an unknown number of messages. The barrier makes the number known:
//
//     subscriber (SUB)                                  fatwald (XPUB)
//     subscribe to E and H, or its topic  ──────────►
//     subscribe to 0xFF + nonce           ──────────►   reads the one, then the other
//                                         ◄──────────   marker: 0xFF + nonce, sequence n
//                                         ◄──────────   n+1, n+2, …
//
// Proof that each message from n+1 on arrives, or shows as a gap:
//  1. A connection carries subscriptions in their order. When fatwald reads that to the marker, its
//     socket already passes on what the subscriber's topics name.
//  2. One thread publishes. It reads that subscription, then sends the marker with the number of
//     the last message that it has sent: n. So n+1 is sent when 1. holds.
//  3. A socket delivers in the order of sending. So n+1 comes behind the marker, unless a full
//     queue dropped it; then a later message or heartbeat has a greater number: a gap.
//  4. Of 1 to n any may be missing without a sign. So nothing counts that comes before the marker,
//     and the subscriber asks for what it lacks of those by cursor (REPLAY): whole transactions.
//  5. A nonce is 16 random bytes, new for each join: no marker of another join has it.
//
// A subscriber with keys has a DEALER and fatwald a ROUTER, as only a ROUTER knows to whom it
// sends. The subscriber sends one message for its subscription, the byte 1 and the marker's topic:
//
//     subscriber (DEALER)                               fatwald (ROUTER)
//     01 FF nonce                         ──────────►   notes that this peer has joined
//                                         ◄──────────   marker: 0xFF + nonce, sequence n
//                                         ◄──────────   n+1, n+2, …
//
// The proof is shorter. fatwald's one thread sends an account's messages to this peer only when it
// has read the subscription, and the marker before any of them: that stands for 1. and 2. The
// connection delivers in the order of sending (3.), and 4. and 5. hold as they are. When the
// connection breaks, fatwald sends to a peer that is no more, and the subscriber receives nothing:
// it sends its subscription again on the new connection, and fatwald notes the new peer and answers
// with a marker. What was lost between is a gap, which that marker's number shows. On a connection
// that did not break, the repetition changes nothing: its marker stands in the order of sending
// like a heartbeat.
//
// Here is what both halves write and read. The subscriber's half is client/src/join_barrier.h,
// fatwald's sidecar/subscribers/attachments.h.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "fatwal/wire/bytes.h"

namespace fatwal::wire {

// Names one join of one subscriber.
inline constexpr std::size_t kNonceBytes = 16;
using Nonce = std::array<std::byte, kNonceBytes>;

// No event and no account's topic begins with it. It is the greatest byte, as libzmq sends the
// subscriptions that a socket has when it connects, or connects again, in the order of their bytes:
// so the marker's is the last of them (step 1).
inline constexpr std::byte kMarkerByte{0xFF};

// The topic of the marker of a subscriber: kMarkerByte and its nonce.
using MarkerTopic = std::array<std::byte, 1 + kNonceBytes>;
[[nodiscard]] MarkerTopic marker_topic(const Nonce& nonce) noexcept;
// Nothing when it is another topic.
[[nodiscard]] std::optional<Nonce> decode_marker_topic(Bytes topic) noexcept;

}  // namespace fatwal::wire
