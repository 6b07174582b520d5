#include "fatwal/wire/publication.h"

#include <algorithm>

namespace fatwal::wire {

PublicationHeaderBytes encode(const PublicationHeader& header) noexcept {
    PublicationHeaderBytes bytes{};
    store(bytes.data(), static_cast<std::uint8_t>(header.topic));
    store(bytes.data() + 1, kVersion);
    store(bytes.data() + 4, header.time);
    store(bytes.data() + 8, header.epoch);
    store(bytes.data() + 16, header.sequence);
    store(bytes.data() + 24, header.position);
    return bytes;
}

std::optional<PublicationHeader> decode_publication(Bytes bytes) noexcept {
    if (bytes.size() != kPublicationHeaderBytes || load<std::uint8_t>(bytes.data() + 1) != kVersion)
        return std::nullopt;
    const auto topic = static_cast<Topic>(load<std::uint8_t>(bytes.data()));
    if (topic != Topic::Event && topic != Topic::Heartbeat && topic != Topic::Marker)
        return std::nullopt;
    return PublicationHeader{topic, load<std::uint64_t>(bytes.data() + 8),
                             load<std::uint64_t>(bytes.data() + 16), load<Lsn>(bytes.data() + 24),
                             load<std::uint32_t>(bytes.data() + 4)};
}

MarkerTopic marker_topic(const Nonce& nonce) noexcept {
    MarkerTopic topic{};
    topic[0] = static_cast<std::byte>(Topic::Marker);
    std::copy(nonce.begin(), nonce.end(), topic.begin() + 1);
    return topic;
}

std::optional<Nonce> decode_marker_topic(Bytes topic) noexcept {
    if (topic.size() != 1 + kNonceBytes || topic[0] != static_cast<std::byte>(Topic::Marker))
        return std::nullopt;
    Nonce nonce{};
    std::copy(topic.begin() + 1, topic.end(), nonce.begin());
    return nonce;
}

}  // namespace fatwal::wire
