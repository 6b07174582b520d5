#include "fatwal/wire/key_file.h"

#include <algorithm>

namespace fatwal::wire {

namespace {

constexpr std::size_t kKeyCharacters = 40;
constexpr std::string_view kAlphabet =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

std::string_view stripped(std::string_view text, std::string_view of) {
    const auto from = text.find_first_not_of(of);
    if (from == text.npos) return {};
    return text.substr(from, text.find_last_not_of(of) - from + 1);
}

// Empty when there is none.
std::string value_of(std::string_view text, std::string_view name) {
    constexpr std::string_view kBlanks = " \t\r\n";
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size() - 1);
        const std::string_view line = stripped(text.substr(0, end + 1), kBlanks);
        text.remove_prefix(end + 1);
        const auto equals = line.find('=');
        if (equals == line.npos || stripped(line.substr(0, equals), kBlanks) != name) continue;
        return std::string(stripped(line.substr(equals + 1), " \t\"'"));
    }
    return {};
}

}  // namespace

// Five characters are a number below 2^32: the greatest is "%nSc0".
bool is_key(std::string_view text) {
    if (text.size() != kKeyCharacters || text.find_first_not_of(kAlphabet) != text.npos)
        return false;
    for (; !text.empty(); text.remove_prefix(5)) {
        std::uint64_t number = 0;
        for (const char c : text.substr(0, 5)) number = number * 85 + kAlphabet.find(c);
        if (number > 0xFFFFFFFF) return false;
    }
    return true;
}

std::optional<KeyPair> key_pair_in(std::string_view file) {
    KeyPair keys{value_of(file, "public-key"), value_of(file, "secret-key")};
    if (!is_key(keys.public_key) || !is_key(keys.secret_key)) return std::nullopt;
    return keys;
}

}  // namespace fatwal::wire
