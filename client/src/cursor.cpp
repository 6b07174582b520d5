#include "fatwal/client/cursor.h"

#include <charconv>
#include <vector>

#include "fatwal/wire/text_sink.h"

namespace fatwal::client {

namespace {

template <class T>
std::optional<T> number(std::string_view text, int base = 10) {
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<wire::Lsn> lsn(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto high = number<std::uint32_t>(text.substr(0, slash), 16);
    const auto low = number<std::uint32_t>(text.substr(slash + 1), 16);
    if (!high || !low) return std::nullopt;
    return wire::Lsn{*high} << 32U | *low;
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> found;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(' ', at), text.size());
        found.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return found;
}

}  // namespace

std::string Cursor::to_text() const {
    std::string text = std::to_string(history.system_identifier) + ' ' +
                       std::to_string(history.timeline) + ' ' + wire::lsn_text(next);
    if (held) text += ' ' + wire::lsn_text(held->until) + ' ' + held->sees.to_text();
    return text;
}

std::optional<Cursor> Cursor::from_text(std::string_view text) {
    const auto parts = words(text);
    if (parts.size() != 3 && parts.size() != 5) return std::nullopt;
    const auto system = number<std::uint64_t>(parts[0]);
    const auto timeline = number<std::uint32_t>(parts[1]);
    const auto next = lsn(parts[2]);
    if (!system || !timeline || !next) return std::nullopt;
    Cursor cursor{{*system, *timeline}, *next, {}};
    if (parts.size() == 3) return cursor;
    const auto until = lsn(parts[3]);
    auto sees = wire::TransactionSnapshot::from_text(parts[4]);
    if (!until || !sees) return std::nullopt;
    cursor.held = Held{std::move(*sees), *until};
    return cursor;
}

}  // namespace fatwal::client
