#include "portal/access/signer.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fatwal::access {
namespace {

constexpr char kStandard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kUrl[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string encode(std::string_view bytes, const char* alphabet, bool padded) {
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = group << 8 | (j < count ? static_cast<std::uint8_t>(bytes[i + j]) : 0U);
        for (std::size_t j = 0; j < 4; ++j) {
            if (j <= count)
                out += alphabet[group >> (18 - 6 * j) & 63U];
            else if (padded)
                out += '=';
        }
    }
    return out;
}

[[noreturn]] void broken(const char* what) {
    std::fprintf(stderr, "fatwal: %s\n", what);
    std::abort();
}

void append(std::string& out, const Uuid& id) {
    out.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
}
void append(std::string& out, std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(value >> shift & 0xFFU);
}
void append(std::string& out, std::string_view text) {
    append(out, static_cast<std::uint64_t>(text.size()));
    out += text;
}

constexpr std::size_t kRefBytes = 5 * 16 + 2 * 8;

}  // namespace

struct Signer::Context {
    EVP_MAC* algorithm = nullptr;
    EVP_MAC_CTX* keyed = nullptr;

    ~Context() {
        EVP_MAC_CTX_free(keyed);
        EVP_MAC_free(algorithm);
    }
};

Signer::Signer(std::string_view key) : context_(std::make_unique<Context>()) {
    if (key.size() < 32) broken("the signing key has less than 32 bytes");
    context_->algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    context_->keyed = EVP_MAC_CTX_new(context_->algorithm);
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    if (context_->keyed == nullptr ||
        EVP_MAC_init(context_->keyed, reinterpret_cast<const unsigned char*>(key.data()),
                     key.size(), parameters) != 1)
        broken("HMAC-SHA-256 is not available");
}

Signer::~Signer() = default;
Signer::Signer(Signer&&) noexcept = default;
Signer& Signer::operator=(Signer&&) noexcept = default;

Signer::Mac Signer::mac(std::string_view message) const {
    Mac out{};
    std::size_t length = 0;
    // Without a key the one of before is used again.
    if (EVP_MAC_init(context_->keyed, nullptr, 0, nullptr) != 1 ||
        EVP_MAC_update(context_->keyed, reinterpret_cast<const unsigned char*>(message.data()),
                       message.size()) != 1 ||
        EVP_MAC_final(context_->keyed, out.data(), &length, out.size()) != 1 ||
        length != out.size())
        broken("HMAC-SHA-256 failed");
    return out;
}

std::string base64(std::string_view bytes) { return encode(bytes, kStandard, true); }
std::string base64url(std::string_view bytes) { return encode(bytes, kUrl, false); }

std::optional<std::string> from_base64url(std::string_view text) {
    if (text.size() % 4 == 1) return std::nullopt;
    std::string out;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        const char* found = c == '\0' ? nullptr : std::strchr(kUrl, c);
        if (found == nullptr) return std::nullopt;
        bits = (bits << 6 | static_cast<std::uint32_t>(found - kUrl)) & 0xFFFFFFU;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        out += static_cast<char>(bits >> count & 0xFFU);
    }
    // One text for one value: the bits left over are zero.
    if ((bits & ((1U << count) - 1)) != 0) return std::nullopt;
    return out;
}

std::string FlowRef::sign(const Signer& signer) const {
    std::string bytes;
    bytes.reserve(kRefBytes + 32);
    for (const Uuid* id : {&account_id, &flow_id, &resource_id, &gateway_id, &client_id})
        append(bytes, *id);
    append(bytes, client_generation);
    append(bytes, client_process);
    const auto mac = signer.mac(bytes);
    bytes.append(reinterpret_cast<const char*>(mac.data()), mac.size());
    return base64url(bytes);
}

std::optional<FlowRef> FlowRef::verify(const Signer& signer, std::string_view text) {
    if (text.size() > 256) return std::nullopt;
    const auto bytes = from_base64url(text);
    if (!bytes || bytes->size() != kRefBytes + 32) return std::nullopt;
    const auto mac = signer.mac(std::string_view(*bytes).substr(0, kRefBytes));
    // In constant time, so that a guess learns nothing of how far it is right.
    unsigned difference = 0;
    for (std::size_t i = 0; i < mac.size(); ++i)
        difference |=
            static_cast<unsigned>(mac[i] ^ static_cast<std::uint8_t>((*bytes)[kRefBytes + i]));
    if (difference != 0) return std::nullopt;
    FlowRef out;
    const char* at = bytes->data();
    for (Uuid* id :
         {&out.account_id, &out.flow_id, &out.resource_id, &out.gateway_id, &out.client_id}) {
        std::memcpy(id->bytes.data(), at, 16);
        at += 16;
    }
    for (std::uint64_t* value : {&out.client_generation, &out.client_process})
        for (int shift = 0; shift < 64; shift += 8)
            *value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(*at++)) << shift;
    return out;
}

PairCredentials PairCredentials::derive(const Signer& signer, const Uuid& client_id,
                                        std::string_view client_public_key, const Uuid& gateway_id,
                                        std::string_view gateway_public_key) {
    std::string pair;
    append(pair, client_id);
    append(pair, client_public_key);
    append(pair, gateway_id);
    append(pair, gateway_public_key);
    const auto derived = [&](std::string_view purpose) {
        const auto mac = signer.mac(std::string(purpose) + '\0' + pair);
        return std::string(reinterpret_cast<const char*>(mac.data()), mac.size());
    };
    PairCredentials out;
    out.preshared_key = base64(derived("preshared key"));
    // RFC 8445: a fragment has at least 4 characters, a password 22. 3 and 18 bytes make 4 and 24
    // without padding.
    const std::string ice = derived("ice client");
    const std::string other = derived("ice gateway");
    out.client_ice = {base64(std::string_view(ice).substr(0, 3)),
                      base64(std::string_view(ice).substr(3, 18))};
    out.gateway_ice = {base64(std::string_view(other).substr(0, 3)),
                       base64(std::string_view(other).substr(3, 18))};
    return out;
}

}  // namespace fatwal::access
