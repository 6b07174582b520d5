// libzmq's threads, as the option ZMQ_AFFINITY names them. Where peers with keys are taken there
// are two, so that the handshakes of a crowd of those keep no local subscriber waiting.
#pragma once

#include <cstdint>

namespace fatwal::sidecar {

inline constexpr std::uint64_t kLocalThread = 0b01;
inline constexpr std::uint64_t kKeyedThread = 0b10;

}  // namespace fatwal::sidecar
