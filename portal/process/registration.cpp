#include "portal/process/registration.h"

#include <algorithm>

#include "fatwal/wire/text.h"
#include "portal/access/json_text.h"

namespace fatwal::process {
namespace {

using access::Json;

BadRequest bad_field(std::string_view field, std::string hint) {
    return {400, "invalid_field", std::string(field), std::move(hint)};
}

bool has_controls(std::string_view text) {
    unsigned code = 0;
    for (std::size_t at = 0; at < text.size(); at += wire::utf8_length(text, at))
        if (wire::control_length(text, at, code) > 0) return true;
    return false;
}

// The base64 of 32 bytes in its one form: 43 digits, of which the last carries four bits, and `=`.
bool is_wireguard_key(std::string_view text) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return text.size() == 44 && text.back() == '=' &&
           text.find_first_not_of(kDigits) == text.size() - 1 && kDigits.find(text[42]) % 4 == 0;
}

}  // namespace

std::variant<Registration, BadRequest> read_registration(std::string_view target,
                                                         const Header& header,
                                                         const access::IpAddress& peer,
                                                         const Proxies& proxies) {
    // Relays are the operators' own: they have no rows.
    const auto role = role_of(target.substr(0, target.find('?')));
    if (!role || *role == Role::Relay) return BadRequest{404, "not_found"};
    auto token = token_of(header, *role);
    if (!token) return BadRequest{401, "invalid_token"};
    return Registration{*role, std::move(*token), address_of(header, peer, proxies), {}};
}

std::variant<Json, BadRequest> read_device(Role role, std::string_view body) {
    const auto said = access::parse_json(body);
    if (!said || !said->is_object())
        return BadRequest{400, "invalid_json", {}, "a JSON object in UTF-8"};
    Json out = Json::object();
    const auto take = [&](std::string_view name, bool needed) -> std::optional<BadRequest> {
        const auto found = said->find(name);
        if (found == said->end() || found->is_null()) {
            if (needed) return BadRequest{400, "missing_field", std::string(name), {}};
            return std::nullopt;
        }
        const auto* text = found->get_ptr<const std::string*>();
        if (text == nullptr || text->empty() || text->size() > kMostFieldBytes ||
            has_controls(*text))
            return bad_field(name, "a text of 1 to 255 bytes without control characters");
        out[std::string(name)] = *text;
        return std::nullopt;
    };
    for (const std::string_view name : {"external_id", "name", "public_key"})
        if (auto bad = take(name, true)) return *bad;
    if (!is_wireguard_key(out["public_key"].get_ref<const std::string&>()))
        return bad_field("public_key", "a WireGuard key: the base64 of its 32 bytes");
    if (role == Role::Client)
        for (const std::string_view name : kHardwareIds)
            if (auto bad = take(name, false)) return *bad;
    return out;
}

}  // namespace fatwal::process
