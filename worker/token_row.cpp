#include "worker/token_row.h"

#include <charconv>

#include "fatwal/channel/access.h"
#include "fatwal/wire/publication_names.h"
#include "worker/connection.h"

namespace fatwal::worker {
namespace {

constexpr char kQuery[] =
    "SELECT id, account_id, type, encode(secret_hash, 'hex'), (extract(epoch FROM expires_at) * "
    "1000000)::numeric(20), device_id FROM tokens WHERE id = ANY ($1::uuid[])";

std::string bytes_of_hex(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        unsigned byte = 0;
        std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
        out += static_cast<char>(byte);
    }
    return out;
}

}  // namespace

std::map<Uuid, TokenRow> read_tokens(Connection& connection, const std::vector<Uuid>& ids) {
    std::map<Uuid, TokenRow> out;
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
        if (const auto micros = text(4)) {
            std::int64_t value = 0;
            const auto [end, error] =
                std::from_chars(micros->data(), micros->data() + micros->size(), value);
            // "infinity" is no end; what else is no number has come long ago.
            if (error == std::errc{} && end == micros->data() + micros->size())
                token.expires_at = channel::Time(std::chrono::microseconds(value));
            else if (*micros != "Infinity")
                token.expires_at = channel::Time::min();
        }
        token.device_id = uuid(5);
        if (const auto id = uuid(0)) out.emplace(*id, std::move(token));
    }
    return out;
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
                                         channel::Time now) {
    if (row == nullptr || row->account_id != token.account_id || !token.matches(row->secret_hash))
        return "invalid_token";
    return channel::token_refusal({row->type == name_of(role), row->device_id, row->expires_at},
                                  role == Role::Gateway ? std::nullopt : device, now);
}

}  // namespace fatwal::worker
