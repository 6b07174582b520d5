#include "fatwal/wire/publication.h"

namespace fatwal::wire {

PublicationHeaderBytes encode(const PublicationHeader& header) noexcept {
    PublicationHeaderBytes bytes{};
    store(bytes.data() + publication_at::kTopic, static_cast<std::uint8_t>(header.topic));
    store(bytes.data() + publication_at::kVersion, kVersion);
    store(bytes.data() + publication_at::kTime, header.time);
    store(bytes.data() + publication_at::kEpoch, header.epoch);
    store(bytes.data() + publication_at::kSequence, header.sequence);
    store(bytes.data() + publication_at::kPosition, header.position);
    return bytes;
}

std::optional<PublicationHeader> decode_publication(Bytes bytes) noexcept {
    if (bytes.size() != kPublicationHeaderBytes ||
        load<std::uint8_t>(bytes.data() + publication_at::kVersion) != kVersion)
        return std::nullopt;
    const auto topic =
        static_cast<Topic>(load<std::uint8_t>(bytes.data() + publication_at::kTopic));
    if (topic != Topic::Event && topic != Topic::Heartbeat && topic != Topic::Marker)
        return std::nullopt;
    return PublicationHeader{topic, load<std::uint64_t>(bytes.data() + publication_at::kEpoch),
                             load<std::uint64_t>(bytes.data() + publication_at::kSequence),
                             load<Lsn>(bytes.data() + publication_at::kPosition),
                             load<std::uint32_t>(bytes.data() + publication_at::kTime)};
}

}  // namespace fatwal::wire
