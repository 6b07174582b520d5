#include "sidecar/subscribers/handshakes.h"

#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <string_view>

namespace fatwal::sidecar::handshakes {

namespace {

// RFC 26: the nonce of INITIATE begins so. Of its plaintext: 32 zeros of NaCl's; the client's
// transient key, the vouch's nonce and the vouch; then the properties.
constexpr std::string_view kInitiateNonce = "CurveZMQINITIATE";
constexpr std::size_t kPadding = 32;
constexpr std::size_t kBeforeProperties = 32 + 16 + 80;
constexpr std::string_view kRoutingId = "Identity";

std::atomic<std::uint64_t> inspected_count = 0;
std::atomic<std::uint64_t> refused_count = 0;

// Of properties, as ZMTP writes them: u8 and a name, u32 (big-endian) and a value. What is
// malformed libzmq refuses itself, by the same reading.
bool chooses_a_routing_id(std::string_view properties) {
    while (!properties.empty()) {
        const auto name_size = static_cast<unsigned char>(properties[0]);
        constexpr std::size_t kSizes = 1 + 4;
        if (properties.size() < name_size + kSizes) return false;
        const std::string_view name = properties.substr(1, name_size);
        properties.remove_prefix(1U + name_size);
        std::uint32_t value_size = 0;
        for (const char byte : properties.substr(0, 4))
            value_size = value_size << 8U | static_cast<unsigned char>(byte);
        properties.remove_prefix(4);
        if (properties.size() < value_size) return false;
        if (name == kRoutingId && value_size > 0) return true;
        properties.remove_prefix(value_size);
    }
    return false;
}

bool is_to_be_refused(const unsigned char* plain, unsigned long long size,
                      const unsigned char* nonce) {
    if (std::memcmp(nonce, kInitiateNonce.data(), kInitiateNonce.size()) != 0) return false;
    ++inspected_count;
    constexpr std::size_t kBefore = kPadding + kBeforeProperties;
    if (size <= kBefore || !chooses_a_routing_id({reinterpret_cast<const char*>(plain) + kBefore,
                                                  static_cast<std::size_t>(size) - kBefore}))
        return false;
    ++refused_count;
    return true;
}

}  // namespace

std::uint64_t inspected() { return inspected_count; }
std::uint64_t refused() { return refused_count; }

}  // namespace fatwal::sidecar::handshakes

extern "C" __attribute__((visibility("default"))) int crypto_box_open(
    unsigned char* plain, const unsigned char* box, unsigned long long size,
    const unsigned char* nonce, const unsigned char* public_key, const unsigned char* secret_key) {
    using Function = int(unsigned char*, const unsigned char*, unsigned long long,
                         const unsigned char*, const unsigned char*, const unsigned char*);
    static auto* const real = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, "crypto_box_open"));
    if (real == nullptr || real(plain, box, size, nonce, public_key, secret_key) != 0) return -1;
    return fatwal::sidecar::handshakes::is_to_be_refused(plain, size, nonce) ? -1 : 0;
}
