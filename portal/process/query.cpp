#include "portal/process/query.h"

#include <algorithm>
#include <charconv>

namespace fatwal::process {
namespace {

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+') {
            out += ' ';
        } else if (text[i] == '%') {
            unsigned value = 0;
            if (i + 2 >= text.size()) return std::nullopt;
            const auto [end, error] =
                std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
            if (error != std::errc{} || end != text.data() + i + 3) return std::nullopt;
            out += static_cast<char>(value);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

}  // namespace

std::optional<Query> query_of(std::string_view target) {
    const auto mark = target.find('?');
    std::string_view query =
        mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
    Query out;
    while (!query.empty()) {
        const auto pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        const auto equals = pair.find('=');
        if (equals == std::string_view::npos) continue;
        auto name = percent_decoded(pair.substr(0, equals));
        auto value = percent_decoded(pair.substr(equals + 1));
        if (!name || !value) return std::nullopt;
        out.insert_or_assign(std::move(*name), std::move(*value));
    }
    return out;
}

std::string_view value_of(const Query& query, std::string_view name) {
    const auto found = query.find(name);
    return found == query.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace fatwal::process
