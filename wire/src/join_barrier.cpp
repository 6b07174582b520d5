#include "fatwal/wire/join_barrier.h"

#include <algorithm>

namespace fatwal::wire {

MarkerTopic marker_topic(const Nonce& nonce) noexcept {
    MarkerTopic topic{};
    topic[0] = kMarkerByte;
    std::copy(nonce.begin(), nonce.end(), topic.begin() + 1);
    return topic;
}

std::optional<Nonce> decode_marker_topic(Bytes topic) noexcept {
    if (topic.size() != 1 + kNonceBytes || topic[0] != kMarkerByte) return std::nullopt;
    Nonce nonce{};
    std::copy(topic.begin() + 1, topic.end(), nonce.begin());
    return nonce;
}

}  // namespace fatwal::wire
