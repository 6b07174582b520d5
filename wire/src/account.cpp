#include "fatwal/wire/account.h"

#include <charconv>

namespace fatwal::wire {

namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool parse_uuid(std::string_view text, AccountBuffer& out) noexcept {
    if (text.size() != 36) return false;
    std::size_t at = 0;
    for (std::size_t i = 0; i < 36;) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i++] != '-') return false;
            continue;
        }
        const int high = hex_digit(text[i]);
        const int low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) return false;
        out[at++] = static_cast<std::byte>(high * 16 + low);
        i += 2;
    }
    return true;
}

bool parse_integer(std::string_view text, std::int64_t& out) noexcept {
    if (text.empty() || text.size() > 20) return false;
    std::string_view digits = text;
    if (text[0] == '-') digits.remove_prefix(1);
    if (digits.empty() || (digits[0] == '0' && text.size() > 1)) return false;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

bool is_valid_account(std::uint8_t kind, std::size_t length) noexcept {
    switch (static_cast<AccountKind>(kind)) {
        case AccountKind::Operators:
        case AccountKind::Everyone: return length == 0;
        case AccountKind::Uuid: return length == 16;
        case AccountKind::Integer: return length == 8;
        case AccountKind::Text: return length <= kMaxAccountBytes;
    }
    return false;
}

AccountView account_from_integer(std::int64_t value, AccountBuffer& buffer) noexcept {
    store(buffer.data(), value);
    return {AccountKind::Integer, Bytes(buffer.data(), sizeof value)};
}

AccountView account_from_text(std::string_view text, AccountBuffer& buffer) noexcept {
    std::int64_t integer = 0;
    if (parse_uuid(text, buffer)) return {AccountKind::Uuid, Bytes(buffer)};
    if (parse_integer(text, integer)) return account_from_integer(integer, buffer);
    return {AccountKind::Text, as_bytes(text)};
}

std::size_t account_to_text(AccountView account, char* out) noexcept {
    switch (account.kind) {
        case AccountKind::Uuid: {
            static constexpr char digits[] = "0123456789abcdef";
            char* at = out;
            for (std::size_t i = 0; i < 16; ++i) {
                if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
                const auto byte = std::to_integer<unsigned>(account.bytes[i]);
                *at++ = digits[byte >> 4];
                *at++ = digits[byte & 15];
            }
            return 36;
        }
        case AccountKind::Integer: {
            const auto result = std::to_chars(out, out + kMaxAccountBytes,
                                              load<std::int64_t>(account.bytes.data()));
            return static_cast<std::size_t>(result.ptr - out);
        }
        case AccountKind::Text:
            if (!account.bytes.empty())
                std::memcpy(out, account.bytes.data(), account.bytes.size());
            return account.bytes.size();
        case AccountKind::Operators:
        case AccountKind::Everyone: break;
    }
    return 0;
}

}  // namespace fatwal::wire
