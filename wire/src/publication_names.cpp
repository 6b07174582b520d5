#include "fatwal/wire/publication_names.h"

namespace fatwal::wire {

std::optional<std::vector<std::string>> split_publication_names(std::string_view list,
                                                                std::string& error) {
    PublicationNames names(list);
    std::vector<std::string> out;
    while (const auto name = names.next()) {
        std::string& text = out.emplace_back();
        name->for_each_byte([&](char c) { text += c; });
    }
    if (names.error() == nullptr) return out;
    error = names.error();
    return std::nullopt;
}

std::string text_array(const std::vector<std::string>& elements) {
    std::string out;
    for (const std::string& element : elements) {
        out += out.empty() ? "{\"" : ",\"";
        for (const char c : element) {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
        out += '"';
    }
    return out.empty() ? "{}" : out + '}';
}

}  // namespace fatwal::wire
