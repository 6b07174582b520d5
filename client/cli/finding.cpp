#include "client/cli/finding.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace fatwal::cli {

namespace {

// Of the words before a finding: `warning` and `database` are the longest.
constexpr std::size_t kSeverityWidth = 9;
constexpr std::size_t kIndent = kSeverityWidth + 10;

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(text.size() + 1, width), ' ');
    return text;
}

// Words in lines of at most `columns`, all but the first behind the indent.
std::string wrapped(const std::string& text, std::size_t columns) {
    const std::size_t most = columns > kIndent + 20 ? columns - kIndent : 20;
    std::string out;
    std::size_t used = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        // In characters: the bytes that continue one are not counted.
        const auto width = static_cast<std::size_t>(
            std::count_if(text.begin() + static_cast<std::ptrdiff_t>(begin),
                          text.begin() + static_cast<std::ptrdiff_t>(end),
                          [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
        if (used != 0 && used + 1 + width > most) {
            out += '\n' + std::string(kIndent, ' ');
            used = 0;
        }
        if (used != 0) {
            out += ' ';
            ++used;
        }
        out.append(text, begin, end - begin);
        used += width;
        begin = end + 1;
    }
    return out;
}

}  // namespace

const char* name_of(Severity severity) {
    switch (severity) {
        case Severity::Ok: return "ok";
        case Severity::Note: return "note";
        case Severity::Warning: return "warning";
        case Severity::Error: return "error";
    }
    return "error";
}

std::string counted(std::size_t count, const char* one, const char* many) {
    return std::to_string(count) + ' ' + (count == 1 ? one : many);
}

std::string in_one_line(std::string_view text) {
    std::string out;
    bool blank = false;
    bool line = false;
    for (const char c : text) {
        blank = blank || c == ' ' || c == '\t' || c == '\n' || c == '\r';
        line = line || c == '\n';
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') continue;
        if (!out.empty() && line &&
            std::string_view(".?!;:,").find(out.back()) == std::string::npos)
            out += '.';
        if (!out.empty() && blank) out += ' ';
        out += c;
        blank = line = false;
    }
    return out;
}

std::string title_of(const Finding& finding) {
    std::string title = finding.what;
    if (!finding.found.empty()) title += ": " + finding.found;
    while (!title.empty() && (title.back() == '.' || title.back() == ' ')) title.pop_back();
    return title;
}

void sort_by_severity(std::vector<Finding>& findings) {
    std::stable_sort(findings.begin(), findings.end(),
                     [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
}

int exit_status_of(const std::vector<Finding>& findings) {
    int status = 0;
    for (const Finding& finding : findings) {
        if (finding.severity == Severity::Warning) status = std::max(status, 1);
        if (finding.severity == Severity::Error) status = 2;
    }
    return status;
}

std::string to_table(const std::vector<Finding>& findings, bool all, std::size_t columns) {
    const std::string indent(kIndent, ' ');
    std::string out;
    std::size_t well = 0;
    for (const Finding& each : findings) {
        const bool is_well = each.severity == Severity::Ok;
        if (is_well) ++well;
        if (is_well && !all) continue;
        out += padded(name_of(each.severity), kSeverityWidth) +
               padded(each.about, kIndent - kSeverityWidth);
        out += wrapped(title_of(each), columns);
        out += '\n';
        if (!each.means.empty()) out += indent + wrapped(each.means, columns) + '\n';
        if (!each.advice.empty()) out += indent + wrapped(each.advice, columns) + '\n';
        if (!each.mend.empty()) out += indent + "-> " + each.mend + '\n';
    }
    if (well == findings.size())
        return out + "All is well: " + counted(well, "check", "checks") + ".\n";
    if (well == 0) return out;
    return out + counted(well, "check is well", "checks are well") +
           (all ? ".\n" : " (-v lists them).\n");
}

std::string finding_json(const Finding& finding) {
    const nlohmann::ordered_json line = {{"severity", name_of(finding.severity)},
                                         {"about", finding.about},
                                         {"id", finding.id},
                                         {"what", finding.what},
                                         {"found", finding.found},
                                         {"means", finding.means},
                                         {"mend", finding.mend},
                                         {"advice", finding.advice}};
    // Names of a database in another encoding must not stop the report.
    return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace fatwal::cli
