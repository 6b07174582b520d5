#include "portal/access/issue_log.h"

namespace fatwal::access {

void IssueLog::judge(std::string_view table, const Uuid& id, std::optional<Malformed> malformed,
                     std::vector<Issue>& issues) {
    if (!malformed) return forget(table, id);
    const std::size_t hash = std::hash<Json>()(malformed->content);
    const auto [named, is_new] = named_.try_emplace({table, id}, hash);
    if (!is_new && named->second == hash) return;
    named->second = hash;
    if (issues.size() < Affected::kMaxIssues)
        issues.push_back({std::string(table), id.to_text(), std::move(malformed->reason)});
    else
        named_.erase(named);
}

void IssueLog::settings(std::vector<std::string> ignored) {
    if (ignored == settings_) return;
    settings_ = std::move(ignored);
    has_new_settings_ = true;
}

std::vector<std::string> IssueLog::take_settings() {
    return std::exchange(has_new_settings_, false) ? settings_ : std::vector<std::string>();
}

}  // namespace fatwal::access
