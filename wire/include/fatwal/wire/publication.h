// The header that numbers what is published on an account's socket ("Publication" in
// docs/wire-format.md).
//
//     const auto header = decode_publication(first_part);       // behind the topic, if there is
//     one if (header && header->topic == Topic::Event && header->sequence != last + 1) …   // a gap
//
// Values; nothing is allocated, and a header of another length, topic or version gives nothing.
#pragma once

#include <array>
#include <optional>

#include "fatwal/wire/bytes.h"
#include "fatwal/wire/join_barrier.h"
#include "fatwal/wire/types.h"

namespace fatwal::wire {

enum class Topic : std::uint8_t {
    Event = 'E',
    Heartbeat = 'H',
    Marker = static_cast<std::uint8_t>(kMarkerByte)
};

struct PublicationHeader {
    Topic topic = Topic::Event;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;
    Lsn position = 0;  // every transaction that commits before it was published before this message
    // When it was sent: seconds since 2000-01-01 by Postgres's clock, which also gives a frame its
    // commit time. So the age of a transaction needs no clock of the subscriber's. 0: not known.
    std::uint32_t time = 0;
};

using PublicationHeaderBytes = std::array<std::byte, kPublicationHeaderBytes>;
[[nodiscard]] PublicationHeaderBytes encode(const PublicationHeader& header) noexcept;
// Nothing when `bytes` has another length, topic or version.
[[nodiscard]] std::optional<PublicationHeader> decode_publication(Bytes bytes) noexcept;

}  // namespace fatwal::wire
