#include "sidecar/postgres/notices.h"

#include <string_view>
#include <utility>

namespace fatwal::sidecar {

namespace {

std::string times(std::uint64_t count) {
    return std::to_string(count) + (count == 1 ? " time" : " times");
}

}  // namespace

std::string one_line(std::string text) {
    if (text.size() > Notices::kTextBytes) {
        std::size_t end = Notices::kTextBytes;
        // Not within a character of UTF-8.
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
        text.resize(end);
        text += "…";
    }
    std::string line;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        // libpq begins a further sentence so.
        if (c == '\n' && i + 1 < text.size() && text[i + 1] == '\t') {
            if (!line.empty() &&
                std::string_view(".?!;:").find(line.back()) == std::string_view::npos)
                line += '.';
            line += ' ';
            ++i;
        } else {
            line += static_cast<unsigned char>(c) < 0x20U || c == 0x7F ? ' ' : c;
        }
    }
    // The last line of most texts of Postgres ends.
    while (text.ends_with('\n') && line.ends_with(' ')) line.pop_back();
    return line;
}

void Notices::receive(void* self, const PGresult* notice) {
    const auto field = [&](int code) -> std::string {
        const char* text = PQresultErrorField(notice, code);
        return text == nullptr ? "" : text;
    };
    std::string text = field(PG_DIAG_SEVERITY_NONLOCALIZED) + ": " + field(PG_DIAG_MESSAGE_PRIMARY);
    if (const std::string detail = field(PG_DIAG_MESSAGE_DETAIL); !detail.empty())
        text += "; " + detail;
    if (const std::string hint = field(PG_DIAG_MESSAGE_HINT); !hint.empty())
        text += "; hint: " + hint;
    static_cast<Notices*>(self)->add(text);
}

void Notices::add(const std::string& text) {
    const std::lock_guard lock(mutex_);
    const std::string line = one_line(text);
    if (const auto found = come_.find(line); found != come_.end())
        ++found->second;
    else if (come_.size() < kTexts)
        come_.emplace(line, 1);
    else
        ++lost_;
}

// Logs a text that was not logged within the interval; counts another.
void Notices::count(std::string text, std::uint64_t many, Time now,
                    std::vector<std::string>& lines) {
    const auto found = logged_.find(text);
    if (found != logged_.end()) {
        found->second.more += many;
    } else if (logged_.size() < kTexts) {
        lines.push_back(text);
        logged_.emplace(std::move(text), LoggedText{now, many - 1});
    } else {
        others_.more += many;
    }
}

std::vector<std::string> Notices::lines(Time now) {
    std::map<std::string, std::uint64_t> come;
    std::uint64_t lost = 0;
    {
        const std::lock_guard lock(mutex_);
        come.swap(come_);
        lost = std::exchange(lost_, 0);
    }
    std::vector<std::string> lines;
    // What was counted comes first: a text whose interval is over is forgotten unless it came
    // again.
    for (auto at = logged_.begin(); at != logged_.end();) {
        auto& [text, logged] = *at;
        const bool over = now - logged.at >= kInterval;
        if (over && logged.more == 0) {
            at = logged_.erase(at);
            continue;
        }
        if (over) {
            lines.push_back(text + " (" + times(logged.more) + " more)");
            logged = {now, 0};
        }
        ++at;
    }
    for (auto& [text, many] : come) count(text, many, now, lines);
    others_.more += lost;
    if (others_.more > 0 && now - others_.at >= kInterval) {
        lines.push_back("other warnings came " + times(others_.more) +
                        "; the server's log has them");
        others_ = {now, 0};
    }
    return lines;
}

}  // namespace fatwal::sidecar
