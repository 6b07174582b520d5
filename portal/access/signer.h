// What channels sign and derive from the fleet's secret.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "portal/access/basics.h"
#include "portal/access/peer_message.h"

namespace fatwal::access {

// HMAC-SHA-256 (RFC 2104) with one key, the same in every process. Not for several threads at once.
class Signer {
public:
    using Mac = std::array<std::uint8_t, 32>;

    // Aborts on a key of less than 32 bytes.
    explicit Signer(std::string_view key);
    ~Signer();
    Signer(Signer&&) noexcept;
    Signer& operator=(Signer&&) noexcept;

    [[nodiscard]] Mac mac(std::string_view message) const;

private:
    struct Context;
    std::unique_ptr<Context> context_;
};

[[nodiscard]] std::string base64(std::string_view bytes);     // RFC 4648, padded
[[nodiscard]] std::string base64url(std::string_view bytes);  // RFC 4648, not padded
[[nodiscard]] std::optional<std::string> from_base64url(std::string_view text);

// All that is to be known of an authorization when its gateway answers, so that no process keeps a
// table of what is under way.
struct FlowRef {
    Uuid account_id;
    Uuid flow_id;
    Uuid resource_id;
    Uuid gateway_id;
    Uuid client_id;
    Generation client_generation = 0;
    ProcessId client_process = 0;

    [[nodiscard]] std::string sign(const Signer& signer) const;
    // Nothing unless it was signed with this key.
    [[nodiscard]] static std::optional<FlowRef> verify(const Signer& signer, std::string_view text);
    friend bool operator==(const FlowRef&, const FlowRef&) = default;
};

// Of one client at one gateway, always the same for the same keys, so that a second flow does not
// break the first.
struct PairCredentials {
    std::string preshared_key;  // 32 bytes as base64
    IceCredentials client_ice;
    IceCredentials gateway_ice;

    [[nodiscard]] static PairCredentials derive(const Signer& signer, const Uuid& client_id,
                                                std::string_view client_public_key,
                                                const Uuid& gateway_id,
                                                std::string_view gateway_public_key);
};

}  // namespace fatwal::access
