#include "fatwal/wire/text.h"

#include <cstdint>

#include "fatwal/wire/bytes.h"

namespace fatwal::wire {

namespace {

// The byte at `at` as a number; 0 behind the end, which no continuation of a character is.
unsigned byte_at(std::string_view text, std::size_t at) noexcept {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

bool is_continuation(std::string_view text, std::size_t at) noexcept {
    return (byte_at(text, at) & 0xC0U) == 0x80;
}

// Whether the nesting at each level is an object: one bit a level, so that a validator needs no
// recursion.
class Nesting {
public:
    explicit Nesting(std::size_t deepest) noexcept
        : deepest_(deepest < kMaxJsonDepth ? deepest : kMaxJsonDepth) {}

    bool push(bool object) noexcept {
        if (depth_ == deepest_) return false;
        const std::uint64_t bit = std::uint64_t{1} << (depth_ % 64U);
        std::uint64_t& word = words_[depth_ / 64U];
        if (bit == 1) word = 0;  // the first of its word: nothing was written there yet
        word = object ? word | bit : word & ~bit;
        ++depth_;
        return true;
    }
    void pop() noexcept { --depth_; }
    [[nodiscard]] bool empty() const noexcept { return depth_ == 0; }
    [[nodiscard]] bool in_object() const noexcept {
        return (words_[(depth_ - 1) / 64U] >> ((depth_ - 1) % 64U) & 1U) != 0;
    }

private:
    // Not zeroed at once: 8 KiB are too many to clear for each small value.
    std::uint64_t words_[kMaxJsonDepth / 64];  // NOLINT(cppcoreguidelines-pro-type-member-init)
    std::size_t deepest_;
    std::size_t depth_ = 0;
};

// Reads the tokens of JSON one behind the other. Each reader takes its token and gives whether it
// is right.
class Tokens {
public:
    explicit Tokens(std::string_view text) noexcept : text_(text) {}

    [[nodiscard]] bool at_end() const noexcept { return at_ == text_.size(); }
    [[nodiscard]] char peek() const noexcept { return at_end() ? '\0' : text_[at_]; }
    bool take(char c) noexcept {
        if (at_end() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void skip_blanks() noexcept {
        while (!at_end() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' ||
                             text_[at_] == '\r'))
            ++at_;
    }
    bool word(std::string_view expected) noexcept {
        if (expected.size() > text_.size() - at_) return false;
        if (std::string_view(text_.data() + at_, expected.size()) != expected) return false;
        at_ += expected.size();
        return true;
    }

    bool string() noexcept {
        if (!take('"')) return false;
        while (!at_end()) {
            const char c = text_[at_++];
            if (c == '"') return true;
            if (static_cast<unsigned char>(c) < 0x20) return false;
            if (c == '\\' && !escape()) return false;
        }
        return false;
    }
    bool number() noexcept {
        take('-');
        if (!take('0') && !digits()) return false;
        if (take('.') && !digits()) return false;
        if (!take('e') && !take('E')) return true;
        if (!take('+')) take('-');
        return digits();
    }
    // The key of an object's pair and its colon.
    bool key() noexcept {
        skip_blanks();
        if (!string()) return false;
        skip_blanks();
        return take(':');
    }
    bool scalar() noexcept {
        switch (peek()) {
            case '"': return string();
            case 't': return word("true");
            case 'f': return word("false");
            case 'n': return word("null");
            default: return number();
        }
    }

private:
    bool escape() noexcept {
        if (at_end()) return false;
        const char c = text_[at_++];
        if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
        for (int i = 0; i < 4; ++i, ++at_)
            if (at_end() || std::string_view("0123456789abcdefABCDEF").find(text_[at_]) ==
                                std::string_view::npos)
                return false;
        return true;
    }
    bool digits() noexcept {
        const std::size_t from = at_;
        while (!at_end() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
        return at_ != from;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

std::size_t utf8_length(std::string_view text, std::size_t at) noexcept {
    const unsigned lead = byte_at(text, at);
    const unsigned second = byte_at(text, at + 1);
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4 || !is_continuation(text, at + 1)) return 0;
    if (lead < 0xE0) return 2;
    if (!is_continuation(text, at + 2)) return 0;
    if (lead < 0xF0) {
        const bool overlong = lead == 0xE0 && second < 0xA0;
        const bool surrogate = lead == 0xED && second >= 0xA0;
        return overlong || surrogate ? 0 : 3;
    }
    if (!is_continuation(text, at + 3)) return 0;
    const bool overlong = lead == 0xF0 && second < 0x90;
    const bool beyond = lead == 0xF4 && second >= 0x90;
    return overlong || beyond ? 0 : 4;
}

bool is_utf8(std::string_view text) noexcept {
    constexpr std::uint64_t kHighBits = 0x8080'8080'8080'8080;
    const Bytes bytes = as_bytes(text);
    std::size_t at = 0;
    while (at < text.size()) {
        // Most text is ASCII: eight bytes at a time as long as none has its high bit.
        if (text.size() - at >= 8 && (load<std::uint64_t>(bytes.data() + at) & kHighBits) == 0) {
            at += 8;
            continue;
        }
        const std::size_t length = utf8_length(text, at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

std::size_t control_length(std::string_view text, std::size_t at, unsigned& code) noexcept {
    const unsigned lead = byte_at(text, at);
    if (lead < 0x20 || lead == 0x7F) return code = lead, 1;
    const unsigned second = byte_at(text, at + 1);
    if (lead == 0xC2 && second >= 0x80 && second < 0xA0) return code = second, 2;
    const unsigned third = byte_at(text, at + 2);
    if (lead == 0xE2 && second == 0x80 && (third == 0xA8 || third == 0xA9))
        return code = 0x1F80 + third, 3;
    return 0;
}

bool is_one_line(std::string_view text) noexcept {
    unsigned code = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text, at);
        if (length == 0 || control_length(text, at, code) != 0) return false;
        at += length;
    }
    return true;
}

// Two states take turns: a value is expected, or a value is complete. What encloses it is one bit a
// level in Nesting, so the memory is fixed whatever the text is.
bool is_json(std::string_view text, std::size_t deepest) noexcept {
    if (!is_utf8(text)) return false;
    Tokens tokens(text);
    Nesting nesting(deepest);
    for (;;) {
        tokens.skip_blanks();
        bool complete = false;
        if (tokens.take('{')) {
            if (!nesting.push(true)) return false;
            tokens.skip_blanks();
            complete = tokens.take('}');
            if (!complete && !tokens.key()) return false;
            if (complete) nesting.pop();
        } else if (tokens.take('[')) {
            if (!nesting.push(false)) return false;
            tokens.skip_blanks();
            complete = tokens.take(']');
            if (complete) nesting.pop();
        } else {
            complete = tokens.scalar();
            if (!complete) return false;
        }
        while (complete) {
            tokens.skip_blanks();
            if (nesting.empty()) return tokens.at_end();
            const bool object = nesting.in_object();
            if (tokens.take(',')) {
                if (object && !tokens.key()) return false;
                complete = false;
            } else if (tokens.take(object ? '}' : ']')) {
                nesting.pop();
            } else {
                return false;
            }
        }
    }
}

}  // namespace fatwal::wire
