// The key of an account: one per account, whatever type the column of a table has. "Accounts" in
// docs/wire-format.md has the rule.
//
//     AccountBuffer buffer;
//     const AccountView key = account_from_text("42", buffer);    // kind Integer, as int8 42 is
//     char text[kMaxAccountBytes];
//     const std::size_t length = account_to_text(key, text);      // "42"
//
// AccountKey (control.h) is the key that owns its bytes. Nothing here allocates, throws or is
// shared: the plugin uses it too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fatwal/wire/bytes.h"

namespace fatwal::wire {

enum class AccountKind : std::uint8_t {
    Operators = 0,
    Everyone = 1,
    Uuid = 2,
    Integer = 3,
    Text = 4
};

inline constexpr std::size_t kMaxAccountBytes = 255;

// A key that owns nothing: `bytes` lie in the frame or buffer that it was read from.
struct AccountView {
    AccountKind kind = AccountKind::Operators;
    Bytes bytes;

    friend bool operator==(AccountView a, AccountView b) noexcept {
        return a.kind == b.kind && as_text(a.bytes) == as_text(b.bytes);
    }
};

// Whether `kind` is known and has this many bytes.
[[nodiscard]] bool is_valid_account(std::uint8_t kind, std::size_t length) noexcept;

// Room for the bytes of a key that is made from an integer or a text.
using AccountBuffer = std::array<std::byte, 16>;

// The key that a text spells: a uuid, an integer, or itself (then `bytes` are those of `text`; the
// rest lie in `buffer`). `text` has at most kMaxAccountBytes bytes; the caller checks.
[[nodiscard]] AccountView account_from_text(std::string_view text, AccountBuffer& buffer) noexcept;
[[nodiscard]] AccountView account_from_integer(std::int64_t value, AccountBuffer& buffer) noexcept;

// Writes the key as a person would type it; needs room for kMaxAccountBytes characters, gives the
// number written. Operators and everyone are empty.
std::size_t account_to_text(AccountView account, char* out) noexcept;

}  // namespace fatwal::wire
