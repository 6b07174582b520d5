#include "portal/process/token_row.h"

#include <spdlog/spdlog.h>

#include <charconv>
#include <span>

#include "fatwal/wire/publication_names.h"
#include "portal/access/access.h"
#include "portal/process/by_halves.h"
#include "portal/process/connection.h"

namespace fatwal::process {
namespace {

// trunc() takes an infinity as it is; a numeric of a declared precision refuses it, and with it the
// look-ups of all who wait.
constexpr char kQuery[] =
    "SELECT id, account_id, type, encode(secret_hash, 'hex'), trunc(extract(epoch FROM expires_at) "
    "* 1000000), device_id FROM tokens WHERE id = ANY ($1::uuid[])";

std::string bytes_of_hex(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        unsigned byte = 0;
        std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
        out += static_cast<char>(byte);
    }
    return out;
}

void read_part(Connection& connection, std::span<const Uuid> ids, std::map<Uuid, TokenRow>& out) {
    std::vector<std::string> texts;
    texts.reserve(ids.size());
    for (const Uuid& id : ids) texts.push_back(id.to_text());
    const auto rows = connection.run(kQuery, {wire::text_array(texts)});
    for (int row = 0; row < PQntuples(rows.get()); ++row) {
        const auto text = [&](int column) {
            return PQgetisnull(rows.get(), row, column) != 0
                       ? std::optional<std::string>()
                       : std::optional<std::string>(PQgetvalue(rows.get(), row, column));
        };
        const auto uuid = [&](int column) {
            const auto value = text(column);
            return value ? Uuid::from_text(*value) : std::nullopt;
        };
        TokenRow token;
        token.account_id = uuid(1);
        token.type = text(2).value_or("");
        token.secret_hash = bytes_of_hex(text(3).value_or(""));
        if (const auto micros = text(4)) token.expires_at = end_of_token(*micros);
        token.device_id = uuid(5);
        if (const auto id = uuid(0)) out.emplace(*id, std::move(token));
    }
}

}  // namespace

TokenRows read_tokens(Connection& connection, const std::vector<Uuid>& ids) {
    TokenRows out;
    by_halves(
        std::span<const Uuid>(ids),
        [&](std::span<const Uuid> part) { read_part(connection, part, out.found); },
        [&](const Uuid& id, const SqlError& error) {
            spdlog::error("cannot look the token {} up: {}", id.to_text(), error.what());
            out.unreadable.insert(id);
        });
    return out;
}

std::optional<access::Instant> end_of_token(std::string_view microseconds) {
    const char* const last = microseconds.data() + microseconds.size();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(microseconds.data(), last, value);
    if (error == std::errc{} && end == last)
        return access::Instant(std::chrono::microseconds(value));
    const bool is_number = error == std::errc::result_out_of_range && end == last;
    if (microseconds == "Infinity" || (is_number && !microseconds.starts_with('-')))
        return std::nullopt;
    // -infinity; and what is not understood must not let anybody in.
    return access::Instant::min();
}

TokenRow token_row(const portal::Tokens& row) {
    TokenRow out;
    out.account_id = row.account_id;
    out.type = portal::to_text(row.type);
    out.secret_hash = row.secret_hash;
    out.expires_at = row.expires_at;
    out.device_id = row.device_id;
    return out;
}

std::optional<std::string> token_refusal(const DeviceToken& token, Role role,
                                         const std::optional<Uuid>& device, const TokenRow* row,
                                         access::Instant now) {
    if (row == nullptr || row->account_id != token.account_id || !token.matches(row->secret_hash))
        return "invalid_token";
    return access::token_refusal({row->type == name_of(role), row->device_id, row->expires_at},
                                 role == Role::Gateway ? std::nullopt : device, now);
}

}  // namespace fatwal::process
