#include "client/cli/redaction.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <regex>
#include <string>
#include <vector>

namespace fatwal::cli {

namespace {

constexpr char kLeftOut[] = "(left out)";
// std::regex needs stack for each character that it may have to go back over.
constexpr std::size_t kLongestLine = 4096;

struct Rule {
    std::regex pattern;
    const char* by;
};

const std::vector<Rule>& rules() {
    static const std::vector<Rule> kRules = [] {
        std::vector<Rule> out;
        const auto add = [&](const char* pattern, const char* by) {
            out.push_back({std::regex(pattern, std::regex::icase | std::regex::optimize), by});
        };
        // Whatever is named like a secret, to the end of its value.
        add(R"re((\b[\w-]*(passw(or)?d|passwd|token|api[-_]?key|secret|credential[-_]key|key)["']?\s*[=:]\s*)('(\\.|[^'\\])*'|"[^"]*"|[^\s'",;]+))re",
            "$1(left out)");
        add(R"re((\bpassword )('(\\.|[^'\\])*'|"[^"]*"|[^\s'"=:]+))re", "$1(left out)");
        add(R"re(((set-)?cookie\s*:\s*).*)re", "$1(left out)");
        add(R"re((authorization\s*:\s*).*)re", "$1(left out)");
        // What psql says of a connection string that it cannot read quotes it.
        add(R"re((invalid (integer value|connection option|URI query parameter|percent-encoded token)[^"]*|missing "=" after |unexpected [^"]* )".*")re",
            "$1(left out)");
        add(R"((://[^\s:/@]*:)[^\s@]+@)", "$1(left out)@");
        add(R"((bearer )[^\s]+)", "$1(left out)");
        add(R"((secret[-_]key\s*[=:]\s*)("[^"]*"|[^\s]+))", "$1(left out)");
        // A key of CURVE, which may be anybody's secret one: 40 characters of Z85.
        add(R"((^|[\s"'])[0-9a-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}(?=$|[\s"',;]))", "$1(left out)");
        add(R"((Key \([^)]*\)=)\(.*\))", "$1(left out)");
        add(R"((row contains )\(.*\))", "$1(left out)");
        add(R"re((invalid input (syntax|value) for [^:]*: )".*")re", "$1(left out)");
        add(R"re(((value|date/time field value|timestamp)[^"]* )".*"( is out of range))re",
            "$1(left out)$3");
        add(R"re((out of range: )".*")re", "$1(left out)");
        return out;
    }();
    return kRules;
}

std::string line_without_secrets(std::string line) {
    if (line.size() > kLongestLine) line.replace(kLongestLine, std::string::npos, kLeftOut);
    for (const Rule& rule : rules()) line = std::regex_replace(line, rule.pattern, rule.by);
    return line;
}

void disguise_member(nlohmann::json& of, const char* name, const Disguise& disguise) {
    const auto at = of.find(name);
    if (at != of.end() && at->is_string()) *at = disguise(at->get<std::string>());
}

// A list that could not be read is null, over which a loop turns no time.
void redact_facts(nlohmann::json& facts, const Disguise& disguise) {
    for (auto& row : facts["checks"]) {
        // A filter compares with constants that may be anything.
        if (row.value("requirement", "").find("row filter") != std::string::npos)
            row["found"] = kLeftOut;
        if (!row.contains("mend") || !row.at("mend").is_string()) continue;
        const std::string mend = row.at("mend");
        if (const auto at = mend.find(" WHERE ("); at != std::string::npos)
            row["mend"] = mend.substr(0, at) + " WHERE (left out)";
    }
    for (auto& each : facts["credentials"]) disguise_member(each, "name", disguise);
    for (auto& each : facts["prepared"]) disguise_member(each, "gid", disguise);
}

}  // namespace

std::string without_secrets(const std::string& text) {
    std::string out;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        out += line_without_secrets(text.substr(begin, end - begin));
        if (end < text.size()) out += '\n';
        begin = end + 1;
    }
    return out;
}

std::string with_disguised_names(const std::string& text, const Disguise& disguise) {
    static const std::regex kNamed(
        R"re(((?:of|follow|for|to) account |\baccount (?!of |is |was |has |that |column |key |with )|subscriber |[Cc]redential )("(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\s"',;:]+))re",
        std::regex::optimize);
    std::string out;
    auto from = text.cbegin();
    for (std::sregex_iterator at(text.begin(), text.end(), kNamed), end; at != end; ++at) {
        const std::smatch& match = *at;
        std::string name = match[2];
        const bool quoted = name.size() >= 2 && (name.front() == '"' || name.front() == '\'');
        if (quoted) name = name.substr(1, name.size() - 2);
        out.append(from, match[2].first);
        out += disguise(name);
        from = match[2].second;
    }
    out.append(from, text.cend());
    return out;
}

std::string hashed_name(const std::string& name, std::uint64_t salt) {
    std::uint64_t hash = 0xCBF29CE484222325U ^ salt;  // FNV-1a
    for (const char c : name) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001B3U;
    }
    // Its low bits depend on the last characters alone.
    hash ^= hash >> 29U;
    hash *= 0xBF58476D1CE4E5B9U;
    hash ^= hash >> 32U;
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "#%08x", static_cast<unsigned>(hash));
    return text.data();
}

void redact(Observed& observed) {
    if (observed.fatwald) {
        observed.fatwald->failure = without_secrets(observed.fatwald->failure);
        // It quotes what the server said, which may quote a row.
        if (const auto at = observed.fatwald->status.find("snapshot_failure");
            at != observed.fatwald->status.end() && !at->second.empty())
            at->second = kLeftOut;
    }
    if (!observed.database) return;
    observed.database->failure = without_secrets(observed.database->failure);
    if (observed.database->facts.is_object())
        redact_facts(observed.database->facts, observed.disguise);
}

}  // namespace fatwal::cli
