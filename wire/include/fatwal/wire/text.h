// Checks of bytes that somebody else wrote: is it text, is it JSON. No recursion, no allocation, no
// exception, no locale: the plugin asks the same as the client.
//
//     if (!is_utf8(bytes) || !is_one_line(name)) refuse();
//     if (!is_json(payload)) refuse();
//
// Cost: linear in the text; is_json() keeps one bit for each level of nesting on the stack (8 KiB).
#pragma once

#include <cstddef>
#include <string_view>

namespace fatwal::wire {

// The length of the UTF-8 character at `at`, which is inside the text; 0 when the bytes there are
// none. Overlong forms, surrogates and what lies beyond U+10FFFF are none, as for Postgres. Source:
// the Unicode Standard, table 3-7.
[[nodiscard]] std::size_t utf8_length(std::string_view text, std::size_t at) noexcept;

// Whether all of it is UTF-8. A NUL is a character like any other.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

// The length of the control character (Cc) or line separator (U+2028, U+2029) at `at`; 0, and
// `code` as it was, when another character stands there. `code` is its code point. JSON lets some
// of them stand as they are, but a terminal obeys them and readers of lines split there.
[[nodiscard]] std::size_t control_length(std::string_view text, std::size_t at,
                                         unsigned& code) noexcept;

// UTF-8 without control characters and line separators: what an account or a topic of fatwal.emit
// may be.
[[nodiscard]] bool is_one_line(std::string_view text) noexcept;

// How deep the payload of a message may be nested. Less than a default Postgres accepts (about
// 15,000), enough for anybody.
inline constexpr std::size_t kMaxPayloadDepth = 10'000;
// How deep a value of type json may be nested to be rendered: a bit of the stack each.
inline constexpr std::size_t kMaxJsonDepth = 65'536;

// Whether `text` is exactly one JSON value in UTF-8, nested at most `deepest` deep (at most
// kMaxJsonDepth). It accepts what Postgres's type json accepts: \u0000, lone surrogates and numbers
// of any size too. Source: RFC 8259.
[[nodiscard]] bool is_json(std::string_view text, std::size_t deepest = kMaxPayloadDepth) noexcept;

}  // namespace fatwal::wire
