// A device's request for a row of its own: POST /client or POST /gateway.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "portal/access/basics.h"
#include "portal/process/join_request.h"

namespace fatwal::process {

struct Registration {
    Role role = Role::Client;
    DeviceToken token;
    std::optional<access::IpAddress> remote_ip;
    // What it says of itself, as the columns of its table are named: external_id, name, public_key,
    // and of a client whichever of kHardwareIds it has. A JSON object.
    std::string device;
};

inline constexpr std::string_view kHardwareIds[] = {"device_serial", "device_uuid",
                                                    "identifier_for_vendor"};
inline constexpr std::size_t kMostRegistrationBytes = 8192;  // of the body
inline constexpr std::size_t kMostFieldBytes = 255;

// Who asks, without `device`: what the body says is read later, as reading it costs more.
[[nodiscard]] std::variant<Registration, BadRequest> read_registration(
    std::string_view target, const Header& header, const access::IpAddress& peer,
    const Proxies& proxies);

// The body. Fields that no column is made for are left out, so that a newer device can say more.
[[nodiscard]] std::variant<access::Json, BadRequest> read_device(Role role, std::string_view body);

}  // namespace fatwal::process
