// Reads the project's pages and scripts, for tests that compare them with the code.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fatwal::test {

// The text of a file of this tree; `path` is from its root.
inline std::string file_text(const std::string& path) {
    std::ifstream file(std::filesystem::path(FATWAL_GOLDEN_DIR) / "../.." / path);
    if (!file) throw std::runtime_error("no file " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::string trimmed(std::string_view text) {
    const auto from = text.find_first_not_of(' ');
    if (from == std::string_view::npos) return {};
    return std::string(text.substr(from, text.find_last_not_of(' ') - from + 1));
}

// The parts of a text between separators, without blanks around them.
inline std::vector<std::string> parts(const std::string& text, char separator) {
    std::vector<std::string> found;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, separator);) found.push_back(trimmed(part));
    return found;
}

// The cells of the first table behind a heading of the page, row by row, without the header's.
inline std::vector<std::vector<std::string>> table(const std::string& path,
                                                   const std::string& heading) {
    std::istringstream in(file_text(path));
    std::vector<std::vector<std::string>> rows;
    bool behind = false;
    for (std::string line; std::getline(in, line);) {
        behind = behind || line == heading;
        if (!behind) continue;
        if (line.starts_with("|"))
            rows.push_back(parts(line.substr(1, line.rfind('|') - 1), '|'));
        else if (!rows.empty())
            break;
    }
    if (rows.size() < 3) throw std::runtime_error("no table behind " + heading + " in " + path);
    rows.erase(rows.begin(), rows.begin() + 2);
    return rows;
}

}  // namespace fatwal::test
