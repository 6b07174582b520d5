#include "client/cli/diagnosis.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <utility>

#include "fatwal/wire/publication_names.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::cli {

namespace {

using Facts = nlohmann::json;

// From here on somebody should look: what fatwal.check() calls much, too.
constexpr std::int64_t kMuchWal = 1LL << 30;
// A part of a bound that is used up: then it is near.
constexpr double kNear = 0.75;
constexpr std::int64_t kSoon = 14LL * 86'400;  // a credential's end
constexpr std::int64_t kClockWarning = 2'000;
constexpr std::int64_t kClockError = 60'000;
constexpr std::uint64_t kFewFreeSlots = 3;
constexpr std::size_t kMostNamed = 5;
constexpr std::int64_t kOldCatalog = 150'000'000;  // transactions; 200 million freeze all tables

// systemd gives the variable to what it starts, so it is taken back once fatwald has started.
constexpr char kResyncOnce[] =
    "systemctl set-environment FATWAL_ON_LOST_SLOT=resync; systemctl restart fatwald; "
    "systemctl unset-environment FATWAL_ON_LOST_SLOT";
constexpr char kResyncAdvice[] =
    "Start fatwald once with --on-lost-slot=resync: it makes the slot again, and has each "
    "subscriber take a snapshot. Under systemd:";
constexpr char kLostForGood[] =
    "The changes that fatwald has not streamed from it are gone for good, and fatwald does not "
    "start until it is told to go on without them.";

std::string text_at(const Facts& from, const char* key) {
    const auto at = from.find(key);
    return at == from.end() || !at->is_string() ? std::string() : at->get<std::string>();
}
std::optional<std::int64_t> number_at(const Facts& from, const char* key) {
    const auto at = from.find(key);
    if (at == from.end() || !at->is_number()) return std::nullopt;
    return at->get<std::int64_t>();
}
bool flag_at(const Facts& from, const char* key) {
    const auto at = from.find(key);
    return at != from.end() && at->is_boolean() && at->get<bool>();
}
// A list, or an empty one.
const Facts& list_at(const Facts& from, const char* key) {
    static const Facts kNone = Facts::array();
    const auto at = from.find(key);
    return at == from.end() || !at->is_array() ? kNone : *at;
}
std::uint64_t unsigned_of(std::int64_t number) {
    return number < 0 ? 0 : static_cast<std::uint64_t>(number);
}
// As doctor.sql gives a setting: "-1 MB".
std::int64_t setting(const Facts& facts, const char* name) {
    if (!facts.is_object()) return 0;
    const auto settings = facts.find("settings");
    if (settings == facts.end() || !settings->is_object()) return 0;
    return std::strtoll(text_at(*settings, name).c_str(), nullptr, 10);
}
std::string quoted(const std::string& name) { return '"' + name + '"'; }
std::string sql_name(const std::string& name) {
    std::string out = "\"";
    for (const char c : name) out += c == '"' ? std::string(2, c) : std::string(1, c);
    return out + '"';
}
// As a literal of SQL.
std::string sql_literal(const std::string& text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'') out += '\'';
        out += c;
    }
    return out + '\'';
}

std::string listed(const std::vector<std::string>& names,
                   std::size_t most = std::numeric_limits<std::size_t>::max()) {
    std::string out;
    for (std::size_t i = 0; i < std::min(names.size(), most); ++i)
        out += (i == 0 ? "" : ", ") + names[i];
    return names.size() <= most ? out
                                : out + " and " + std::to_string(names.size() - most) + " more";
}
// As a word of a shell.
std::string shell_word(const std::string& text) {
    constexpr std::string_view kPlain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,#";
    if (!text.empty() && text.front() != '#' && text.find_first_not_of(kPlain) == std::string::npos)
        return text;
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + '\'';
}
// "set max_wal_senders" -> "Set max_wal_senders.", and nothing stays nothing.
std::string sentence(std::string_view text) {
    constexpr std::string_view kBlanks = " ;";
    const std::size_t begin = text.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return {};
    std::string out(text.substr(begin, text.find_last_not_of(' ') + 1 - begin));
    if (out.front() >= 'a' && out.front() <= 'z') out.front() -= 'a' - 'A';
    if (std::string_view(".?!;").find(out.back()) == std::string_view::npos) out += '.';
    return out;
}

// What mends something: the statements that can be pasted, and what only a person can do.
struct Remedy {
    std::string mend;
    std::string advice;
};

// fatwal.check() has both in one text: "ALTER SYSTEM ...; then restart the server". Where it cannot
// name all of a statement, it has an ellipsis.
Remedy remedy_of(const std::string& text) {
    constexpr std::array kBegins = {"ALTER ", "CREATE ", "SELECT ", "GRANT ", "DELETE ", "DROP "};
    const bool is_statement = std::any_of(
        kBegins.begin(), kBegins.end(), [&](const char* begin) { return text.starts_with(begin); });
    const std::size_t end = text.rfind(';');
    if (!is_statement || end == std::string::npos || text.find("...") != std::string::npos)
        return {{}, sentence(text)};
    return {text.substr(0, end + 1), sentence(std::string_view(text).substr(end + 1))};
}

// A kind of row of fatwal.check(). A star stands for a name, in the fault for the same one.
struct Kind {
    const char* requirement;
    const char* fault;
    const char* id;
    const char* found;  // before what was found
    Severity severity;
    const char* means;
};
constexpr std::array<Kind, 19> kKinds = {{
    {"wal_level is logical", "wal_level is not logical", "wal-level", "it is ", Severity::Error,
     "The WAL has no changes to decode: fatwald cannot start."},
    {"output_plugin_libraries lists *", "output_plugin_libraries does not list *",
     "output-plugin-libraries", "it has ", Severity::Error,
     "The server refuses to load the output plugin: fatwald cannot start."},
    {"the database is in UTF8", "the database is not in UTF8", "encoding", "it is in ",
     Severity::Error, "The stream is in UTF-8: fatwald cannot start."},
    {"a replication slot is left for fatwald", "no replication slot is left for fatwald",
     "replication-slot-left", "", Severity::Error, "fatwald cannot make its slot."},
    {"a walsender is left for fatwald", "no walsender is left for fatwald", "walsender-left", "",
     Severity::Error, "fatwald cannot stream."},
    {"idle_replication_slot_timeout leaves fatwald time",
     "idle_replication_slot_timeout drops the slot of a fatwald that is away",
     "idle-replication-slot-timeout", "after ", Severity::Error,
     "A slot that fatwald leaves for so long is lost, with all that it did not stream."},
    {"a publication exists", "no publication exists", "publication-exists", "there are ",
     Severity::Error, "Nothing is published: fatwald cannot start."},
    {"publication * lists the account column of *",
     "publication * does not list the account column of *", "account-column-listed", "it lists ",
     Severity::Error, "Its changes do not say whose they are: only operators receive them."},
    {"* has REPLICA IDENTITY FULL", "* lacks REPLICA IDENTITY FULL", "replica-identity", "it has ",
     Severity::Error,
     "Old rows lack columns, and a deleted row may not name its account: subscribers take "
     "snapshots instead."},
    {"* has its account column in its replica identity",
     "* lacks its account column in its replica identity", "replica-identity", "it has ",
     Severity::Error,
     "A deleted row does not name its account: subscribers take snapshots instead."},
    {"the server accepts UPDATE and DELETE of *", "the server refuses UPDATE and DELETE of *",
     "update-and-delete", "", Severity::Error,
     "The server refuses the application's UPDATE and DELETE of the table."},
    {"the server will accept UPDATE and DELETE of *",
     "the server will refuse UPDATE and DELETE of *", "update-and-delete", "", Severity::Error,
     "Once it is published, the server refuses the application's UPDATE and DELETE of the table."},
    {"the row filter of publication * on * cannot fail",
     "the row filter of publication * on * can fail", "row-filter", "", Severity::Warning,
     "One row for which it raises an error stops the stream for all accounts."},
    {"* names its account", "* does not name its account", "account-column", "", Severity::Error,
     "Its changes go to the operators alone; right only if its rows are of no account."},
    {"a publication has *, which fatwald follows", "no publication has *, which fatwald follows",
     "own-table", "", Severity::Error, "fatwald does not see changes of its own table."},
    {"the setting of * names a column that it has", "the setting of * names a column that it lacks",
     "account-setting", "", Severity::Error,
     "The table's changes go to the operators until the setting is right."},
    {"pgoutput sends column * of *", "pgoutput does not send column * of *", "column-sent", "",
     Severity::Error,
     "Where it is the account column, only operators receive the table's changes."},
    {"publication * is older than slot *", "publication * may be younger than slot *",
     "publication-age", "", Severity::Error,
     "pgoutput ends with an error where the slot begins before the publication."},
    {"slot * keeps little WAL", "slot * keeps much WAL", "slot-wal", "", Severity::Warning,
     "The WAL fills the server's disk."},
}};

// The names in the places of the stars, or nothing where it is another requirement.
std::optional<std::vector<std::string>> names_in(std::string_view text, std::string_view pattern) {
    std::vector<std::string> names;
    for (;;) {
        const std::size_t star = pattern.find('*');
        if (!text.starts_with(pattern.substr(0, star))) return std::nullopt;
        if (star == std::string_view::npos)
            return text.size() == pattern.size() ? std::optional(names) : std::nullopt;
        text.remove_prefix(star);
        pattern.remove_prefix(star + 1);
        const std::string_view next = pattern.substr(0, pattern.find('*'));
        // The last part of the pattern is the end of the text.
        const std::size_t end =
            next.size() == pattern.size()
                ? (text.ends_with(next) ? text.size() - next.size() : std::string_view::npos)
                : text.find(next);
        if (end == std::string_view::npos) return std::nullopt;
        names.emplace_back(text.substr(0, end));
        text.remove_prefix(end);
    }
}

std::string with_names(std::string_view pattern, const std::vector<std::string>& names) {
    std::string out;
    std::size_t next = 0;
    for (const char c : pattern)
        if (c == '*' && next < names.size())
            out += names[next++];
        else
            out += c;
    return out;
}

// "public.t" of "replica-identity:public.t".
std::string id_of(const char* kind, const std::vector<std::string>& names) {
    std::string out = kind;
    for (const std::string& name : names) out += (&name == &names.front() ? ':' : '/') + name;
    return out;
}

// What is asked for. Of a fault there is all of it, of what is well the good case and what was
// found.
struct Check {
    const char* about = "";
    std::string id{};
    std::string good{};
    std::string fault{};
    std::string found{};
    std::string means{};
    std::string mend{};
    std::string advice{};
};

class Diagnosis {
public:
    explicit Diagnosis(const Observed& observed) : of_(observed) {}

    std::vector<Finding> run() {
        judge_key_file();
        if (of_.fatwald) judge_fatwald(*of_.fatwald);
        if (of_.database) judge_database(*of_.database);
        judge_clocks();
        judge_versions();
        sort_by_severity(findings_);
        return std::move(findings_);
    }

private:
    void add(Severity severity, Check check) {
        const bool is_well = severity == Severity::Ok;
        check.found = in_one_line(check.found);
        Finding finding{severity, check.about, std::move(check.id),
                        std::move(is_well ? check.good : check.fault), std::move(check.found)};
        if (!is_well) {
            finding.means = std::move(check.means);
            finding.mend = std::move(check.mend);
            finding.advice = std::move(check.advice);
        }
        findings_.push_back(std::move(finding));
    }

    [[nodiscard]] std::string status(const char* name) const {
        if (!of_.fatwald) return {};
        const auto at = of_.fatwald->status.find(name);
        return at == of_.fatwald->status.end() ? std::string() : at->second;
    }
    [[nodiscard]] std::int64_t count(const char* name) const {
        return std::strtoll(status(name).c_str(), nullptr, 10);
    }

    void judge_key_file() {
        if (!of_.key_file) return;
        const Observed::KeyFile& file = *of_.key_file;
        const bool open = (file.mode & 077U) != 0;
        std::array<char, 8> mode{};
        std::snprintf(mode.data(), mode.size(), "%04o", file.mode & 07777U);
        if (open || file.failure.empty())
            add(open ? Severity::Error : Severity::Ok,
                {.about = "keys",
                 .id = "key-file",
                 .good = "the key file " + file.path + " is for its owner alone",
                 .fault = "others may read the key file " + file.path,
                 .found = std::string("its mode is ") + mode.data(),
                 .means = "Whoever reads the secret key can act for its owner, so no program of "
                          "fatwal uses such a file.",
                 .mend = "chmod 600 " + shell_word(file.path)});
        else
            add(Severity::Error,
                {.about = "keys",
                 .id = "key-file",
                 .fault = "the key file " + file.path + " cannot be used",
                 .found = file.failure,
                 .means = "Without keys fatwald answers nobody over the network.",
                 .advice = "fatwal keygen FILE makes one; fatwal.add_credential takes the public "
                           "key that it prints."});
    }

    // "fatwald does not answer at ENDPOINT. Is it running, ...?": the title has the first words,
    // and the advice the last.
    static std::string without_title(const std::string& failure) {
        constexpr std::string_view kTitle = "fatwald does not answer ";
        if (!failure.starts_with(kTitle)) return failure;
        const std::string rest = failure.substr(kTitle.size());
        return rest.substr(0, rest.find(". Is it running"));
    }

    void judge_fatwald(const Observed::Fatwald& fatwald) {
        add(fatwald.failure.empty() ? Severity::Ok : Severity::Error,
            {.about = "fatwald",
             .id = "fatwald-answers",
             .good = "fatwald answers",
             .fault = "fatwald does not answer",
             .found = without_title(fatwald.failure),
             .means = "Nobody streams changes, or nobody can reach who does.",
             .mend = "systemctl status fatwald",
             .advice = "If it runs, check that --control names its endpoint."});
        if (!fatwald.failure.empty()) return;
        judge_state();
        judge_counts();
        judge_descriptors();
        judge_holds(fatwald);
    }

    // Of --slot, or else as fatwald names it.
    [[nodiscard]] const Facts* slot_named(const std::string& name) const {
        if (!of_.database || !of_.database->facts.is_object()) return nullptr;
        for (const Facts& slot : list_at(of_.database->facts, "slots"))
            if (text_at(slot, "name") == name) return &slot;
        return nullptr;
    }

    void judge_state() {
        const std::string state = status("state");
        if (state == "connecting") {
            judge_connecting();
        } else {
            add(state == "streaming" ? Severity::Ok : Severity::Error,
                {.about = "fatwald",
                 .id = "fatwald-streams",
                 .good = "fatwald streams",
                 .fault = "fatwald does not stream",
                 .found = state,
                 .means = "Subscribers receive nothing until the server answers again.",
                 .advice =
                     "Check the server and the network to it; fatwald's log has the reason."});
        }
        const std::string failure = status("snapshot_failure");
        add(failure.empty() ? Severity::Ok : Severity::Error,
            {.about = "fatwald",
             .id = "snapshots",
             .good = "snapshots succeed",
             .fault = "snapshots fail",
             .found = failure,
             .means = "The subscribers that wait for the snapshot of an account do not get it.",
             .advice = "docs/troubleshooting.md lists the reasons under Snapshots, with what mends "
                       "each."});
    }

    // A fatwald whose slot somebody reads waits for that one to leave, whatever it failed with
    // before; then it has the reason only of its last attempt.
    void judge_connecting() {
        const std::string reason = status("state_reason");
        const Facts* slot = slot_named(status("slot"));
        const bool stands_by = slot != nullptr && flag_at(*slot, "active");
        if (stands_by) {
            add(Severity::Warning,
                {.about = "fatwald",
                 .id = "fatwald-streams",
                 .fault = "fatwald waits for its slot",
                 .found = "another process reads it",
                 .means =
                     "It streams nothing until the other one, as a rule another fatwald, leaves "
                     "the slot.",
                 .mend = "SELECT * FROM pg_stat_replication;",
                 .advice = "Nothing is to be done if it is the one that is to take over."});
        } else if (reason.empty()) {
            add(Severity::Warning,
                {.about = "fatwald",
                 .id = "fatwald-streams",
                 .fault = "fatwald does not stream yet",
                 .found = "it connects",
                 .means = "It waits for the slot, because another fatwald has it, or for the "
                          "server.",
                 .advice = "Nothing is to be done if it is the one that is to take over; else its "
                           "log has the reason."});
        } else {
            Remedy remedy = remedy_of_reason(reason);
            add(Severity::Error,
                {.about = "fatwald",
                 .id = "fatwald-streams",
                 .fault = "fatwald does not stream",
                 .found = reason,
                 .means = "Subscribers receive nothing. fatwald tries again by itself.",
                 .mend = std::move(remedy.mend),
                 .advice = std::move(remedy.advice)});
        }
    }
    // By what the texts have in common, the more special ones first. A hint, which is the statement
    // where there is one, stands in the reason.
    static Remedy remedy_of_reason(const std::string& reason) {
        struct Cause {
            const char* part;
            const char* mend;
            const char* advice;
        };
        constexpr const char* kServer =
            "Check that the server runs, and the network from fatwald's host to it.";
        constexpr const char* kDoor =
            "Mend what the reason names: the connection string of fatwald, or the server's "
            "pg_hba.conf.";
        static constexpr std::array<Cause, 16> kCauses = {{
            {"\" is missing", kResyncOnce, kResyncAdvice},
            {"\" is lost", kResyncOnce, kResyncAdvice},
            {"output plugin", "",
             "A change cannot be decoded: docs/operations.md says what to do, under row filters "
             "that can fail."},
            {"password authentication", "", kDoor},
            {"pg_hba.conf", "", kDoor},
            {"certificate", "", kDoor},
            {"SSL", "", kDoor},
            {"max_wal_senders", "SHOW max_wal_senders;",
             "Raise max_wal_senders, and restart the server."},
            {"all replication slots are in use", "SHOW max_replication_slots;",
             "Raise max_replication_slots, and restart the server."},
            {"the role may not", "", "Grant what the reason names."},
            {"permission denied", "", "Grant what the reason names."},
            {"Connection refused", "", kServer},
            {"No such file or directory", "", kServer},
            {"could not translate host name", "", kServer},
            {"timeout", "", kServer},
            {"the stream is lost", "", kServer},
        }};
        for (const Cause& cause : kCauses)
            if (reason.find(cause.part) != std::string::npos) return {cause.mend, cause.advice};
        return {{}, "Do what the reason asks for; without a word of that, fatwald's log has more."};
    }

    // Counts since the start of the process, of what should not happen.
    void judge_counts() {
        struct Count {
            const char* name;
            const char* id;
            const char* good;
            const char* fault;
            Severity severity;  // when it is not 0
            const char* means;
            const char* mend;
            const char* advice;
        };
        static constexpr std::array<Count, 8> kCounts = {{
            {"given_up", "dropped-subscribers", "no durable subscriber was dropped after retention",
             "durable subscribers were dropped after retention", Severity::Warning,
             "Each takes a snapshot when it comes back.", "",
             "Start them more often, or raise retention_bytes and retention_s."},
            {"refused_connections", "refused-connections",
             "descriptors were left for all connections", "descriptors ran out for connections",
             Severity::Warning, "So many connections were closed as they came.", "",
             "Set LimitNOFILE= by systemctl edit fatwald, and restart it."},
            {"refused_keyed_connections", "refused-keyed-connections",
             "places were left for all connections with keys",
             "places ran out for connections with keys", Severity::Warning,
             "So many connections were closed as they came.", "",
             "Raise max_keyed_connections, or see who connects and says nothing."},
            {"resyncs_sent", "resyncs", "no resync records were sent", "resync records were sent",
             Severity::Note,
             "Each had the subscribers of an account or of a table take a snapshot, as after DDL.",
             "",
             "DDL has them sent, and so has a table without REPLICA IDENTITY FULL, which is a "
             "finding of its own."},
            {"unrouted", "unrouted-changes", "each change named its account",
             "changes did not name their account", Severity::Note, "Only operators received them.",
             "", "fatwald's log names the table: give it REPLICA IDENTITY FULL."},
            {"cut_subscribers", "cut-subscribers", "subscribers read what they are sent",
             "subscribers were cut off, as they did not read", Severity::Note,
             "Each came back with a replay or a snapshot.", "fatwal subscribers",
             "The column UNREAD shows who does not read."},
            {"refused_keys", "refused-keys", "all keys are those of credentials",
             "keys were refused", Severity::Note,
             "So many handshakes came with a key that no credential has, or that has expired.",
             "SELECT name, expires_at FROM fatwal.credential;", ""},
            {"throttled_connections", "throttled-connections", "no crowd connected at once",
             "too many connected at once", Severity::Note,
             "So many connections were closed; they try again.", "",
             "Nothing is to be done after a restart; else see which address they come from."},
        }};
        const std::string since = status("uptime_seconds").empty()
                                      ? ""
                                      : " since fatwald began " +
                                            seconds_text(unsigned_of(count("uptime_seconds"))) +
                                            " ago";
        for (const Count& each : kCounts) {
            const std::string value = status(each.name);
            if (value.empty()) continue;  // an older fatwald
            add(value == "0" ? Severity::Ok : each.severity,
                {.about = "fatwald",
                 .id = each.id,
                 .good = each.good,
                 .fault = each.fault,
                 .found = std::string(each.name).append(" is ").append(value).append(since),
                 .means = each.means,
                 .mend = each.mend,
                 .advice = std::string("They never fall, so only a rise is of interest. ") +
                           each.advice});
        }
    }

    void judge_descriptors() {
        const std::int64_t used = count("descriptors_used");
        const std::int64_t limit = count("descriptors_limit");
        if (limit <= 0) return;
        const double part = static_cast<double>(used) / static_cast<double>(limit);
        add(part >= 0.9   ? Severity::Error
            : part >= 0.5 ? Severity::Warning
                          : Severity::Ok,
            {.about = "fatwald",
             .id = "descriptors",
             .good = "descriptors are left",
             .fault = "descriptors run out",
             .found = std::to_string(used) + " of " + std::to_string(limit) + " are in use",
             .means = "When none is left, fatwald closes new connections as they come.",
             .advice = "Set LimitNOFILE=" + std::to_string(limit * 4) +
                       " by systemctl edit fatwald, and restart it."});
    }

    static double used_up(const wire::HoldEntry& hold) {
        const auto part = [](std::uint64_t used, std::uint64_t left) {
            const double whole = static_cast<double>(used) + static_cast<double>(left);
            return whole == 0 ? 0 : static_cast<double>(used) / whole;
        };
        return std::max(part(hold.held_s, hold.seconds_left), part(hold.behind, hold.bytes_left));
    }

    void judge_holds(const Observed::Fatwald& fatwald) {
        if (!fatwald.knows_holds || !fatwald.holds) {
            const bool old = !fatwald.knows_holds;
            add(Severity::Note,
                {.about = "holds",
                 .id = "holds-listed",
                 .fault = "who keeps WAL cannot be listed",
                 .found = old ? "fatwald is older" : "fatwald refuses",
                 .means = old ? "It is of a version that has no list of who keeps the slot back."
                              : "The credential does not read the operators' stream, so the lists "
                                "stay closed.",
                 .advice = old ? "Upgrade fatwald: UPGRADING.md."
                               : "Call fatwal.grant_operators with the name of your credential."});
            return;
        }
        constexpr std::uint32_t kComesAndGoes = 60;  // seconds
        bool is_quiet = true;
        std::size_t shown = 0;
        for (const wire::HoldEntry& hold : *fatwald.holds) {
            const bool near = used_up(hold) >= kNear;
            const bool absent = hold.kind == static_cast<std::uint8_t>(wire::HoldKind::Absent);
            if (!near && !absent && hold.held_s < kComesAndGoes) continue;
            is_quiet = false;
            if (++shown > 5) continue;  // the worst come first; `fatwal holds` has all
            const bool operators = hold.account.kind == wire::AccountKind::Operators;
            const bool durable =
                absent || hold.kind == static_cast<std::uint8_t>(wire::HoldKind::Unacknowledged);
            const std::string name = of_.disguise(hold.name);
            const std::string account =
                operators ? "operators" : of_.disguise(hold.account.to_text());
            add(near ? Severity::Warning : Severity::Note,
                {.about = "holds",
                 .id = "slot-held-back:" + account + (hold.name.empty() ? "" : '/' + name),
                 .fault = "the slot is held back",
                 .found = hold_text(hold, of_.disguise),
                 .means = near ? "A subscriber is dropped soon; it then takes a snapshot when it "
                                 "comes back."
                               : "Postgres keeps the WAL that it has not acknowledged.",
                 .mend = durable ? "fatwal subscribers forget " + shell_word(name) +
                                       (operators ? " --operators"
                                                  : " --account " + shell_word(account))
                                 : "fatwal subscribers",
                 .advice = durable ? "Start it. Only if it does not come back, forget it."
                                   : "See whether it still reads."});
        }
        if (shown > 5)
            add(Severity::Note, {.about = "holds",
                                 .id = "slot-held-back",
                                 .fault = "more hold the slot back",
                                 .found = std::to_string(shown - 5),
                                 .means = "Only the worst are listed here.",
                                 .mend = "fatwal holds"});
        if (is_quiet)
            add(Severity::Ok, {.about = "holds",
                               .id = "slot-held-back",
                               .good = "nobody holds the slot back for long",
                               .found = counted(fatwald.holds->size(), "hold", "holds")});
    }

    void judge_database(const Observed::Database& database) {
        add(database.failure.empty() ? Severity::Ok : Severity::Error,
            {.about = "database",
             .id = "database-read",
             .good = "the database can be read",
             .fault = "the database cannot be read",
             .found = database.failure,
             .means = "Nothing of the server, the slot and the tables could be checked.",
             .advice = "Try psql with the same connection string, until that works."});
        if (database.pooled)
            add(Severity::Error,
                {.about = "database",
                 .id = "pooler",
                 .fault = "the database is reached through a pooler",
                 .found = "it refused a replication connection",
                 .means = "A pooler passes no replication slot on, so fatwald cannot stream "
                          "through it.",
                 .advice = "Give the address of Postgres itself."});
        if (!database.facts.is_object()) return;
        const Facts& facts = database.facts;
        judge_schema(facts);
        judge_requirements(facts);
        judge_rights(facts);
        judge_server(facts);
        judge_slots(facts);
        judge_transactions(facts);
        judge_credentials(facts);
    }

    void judge_schema(const Facts& facts) {
        if (flag_at(facts, "schema_there") && !flag_at(facts, "usable")) {
            const std::string role = text_at(facts, "role");
            add(Severity::Error,
                {.about = "database",
                 .id = "schema-usage",
                 .fault = "the role " + role + " may not use the schema fatwal",
                 .means = "Neither fatwald's tables nor fatwal.check() can be "
                          "read.",
                 .mend = "GRANT USAGE ON SCHEMA fatwal TO " + sql_name(role) + ";"});
            return;
        }
        const bool there = facts.contains("checks") && facts.at("checks").is_array();
        add(there ? Severity::Ok : Severity::Error,
            {.about = "database",
             .id = "extension-installed",
             .good = "the extension fatwal is installed",
             .fault = "the extension fatwal is not installed",
             .found = there ? "" : "in database " + text_at(facts, "database"),
             .means = "fatwald does not start without it.",
             .mend = "CREATE EXTENSION fatwal;",
             .advice = "Where the server loads no extension: fatwal init --plugin pgoutput."});
    }

    // The rows of fatwal.check(), with what each kind of them means.
    void judge_requirements(const Facts& facts) {
        const Facts& rows = list_at(facts, "checks");
        const bool some_name_accounts = std::any_of(rows.begin(), rows.end(), [](const Facts& row) {
            return flag_at(row, "ok") &&
                   text_at(row, "requirement").ends_with(" names its account");
        });
        for (const Facts& row : rows) {
            const auto table = names_in(text_at(row, "requirement"), "* names its account");
            const Facts& lost = list_at(facts, "lost_columns");
            if (table && some_name_accounts && row.contains("ok") && row.at("ok").is_null() &&
                std::find(lost.begin(), lost.end(), table->front()) != lost.end())
                add_lost_account(row, *table);
            else
                judge_requirement(row);
        }
    }
    // Before the column was dropped the table may have been one of accounts. It is no note, as that
    // of a table that never had one is: its changes would go to the operators without a word.
    void add_lost_account(const Facts& row, const std::vector<std::string>& table) {
        Remedy remedy = remedy_of(text_at(row, "mend"));
        add(Severity::Warning,
            {.about = "database",
             .id = id_of("account-column", table),
             .fault = table.front() + " does not name its account, and a column was dropped",
             .found = text_at(row, "found"),
             .means = "If that column named the account, as columns of other tables do, the "
                      "accounts no longer receive the table's changes: only operators do.",
             .mend = std::move(remedy.mend),
             .advice = std::move(remedy.advice)});
    }
    void judge_requirement(const Facts& row) {
        const std::string what = text_at(row, "requirement");
        const bool judged = row.contains("ok") && row.at("ok").is_boolean();
        const bool is_well = flag_at(row, "ok");
        Remedy remedy = remedy_of(text_at(row, "mend"));
        std::string found = text_at(row, "found");
        for (const Kind& kind : kKinds) {
            const auto names = names_in(what, kind.requirement);
            if (!names) continue;
            // Of the slots there is more to say: judge_slots().
            if (std::string_view(kind.id) == "slot-wal") return;
            if (!is_well) found.insert(0, kind.found);
            add(!judged   ? Severity::Note
                : is_well ? Severity::Ok
                          : kind.severity,
                {.about = "database",
                 .id = id_of(kind.id, *names),
                 .good = what,
                 .fault = with_names(kind.fault, *names),
                 .found = std::move(found),
                 .means = kind.means,
                 .mend = std::move(remedy.mend),
                 .advice = std::move(remedy.advice)});
            return;
        }
        // Of an extension that is newer than this program.
        add(!judged   ? Severity::Note
            : is_well ? Severity::Ok
                      : Severity::Error,
            {.about = "database",
             .id = "check:" + what,
             .good = what,
             .fault = "fatwal.check() asks in vain: " + what,
             .found = std::move(found),
             .means = "The stream needs it.",
             .mend = std::move(remedy.mend),
             .advice = std::move(remedy.advice)});
    }

    // Whether the role that reads the slot may read the tables: snapshots do, streaming does not.
    void judge_rights(const Facts& facts) {
        const auto all = facts.find("unreadable");
        if (all == facts.end() || !all->is_array()) return;  // fatwald does not stream, or is older
        const std::string published = status("publication");
        std::string malformed;
        const auto followed = wire::split_publication_names(published, malformed);
        const auto follows = [&](const Facts& row) {
            const Facts& names = list_at(row, "publications");
            return std::any_of(names.begin(), names.end(), [&](const Facts& name) {
                return !followed ||
                       std::find(followed->begin(), followed->end(), name) != followed->end();
            });
        };
        std::string role;
        std::vector<std::string> tables;
        std::vector<std::string> closed;
        std::vector<std::string> schemas;
        for (const Facts& row : *all) {
            // Two roles read slots here only while one fatwald follows the other.
            if (!follows(row) || (!role.empty() && text_at(row, "role") != role)) continue;
            role = text_at(row, "role");
            tables.push_back(text_at(row, "table"));
            if (flag_at(row, "table_closed")) closed.push_back(tables.back());
            const std::string schema = text_at(row, "schema");
            if (flag_at(row, "schema_closed") &&
                std::find(schemas.begin(), schemas.end(), schema) == schemas.end())
                schemas.push_back(schema);
        }
        std::string mend;
        if (!schemas.empty())
            mend = "GRANT USAGE ON SCHEMA " + listed(schemas) + " TO " + sql_name(role) + ";";
        if (!closed.empty())
            mend += (mend.empty() ? "" : " ") + std::string("GRANT SELECT ON ") + listed(closed) +
                    " TO " + sql_name(role) + ";";
        add(tables.empty()      ? Severity::Ok
            : published.empty() ? Severity::Note
                                : Severity::Error,
            {.about = "database",
             .id = "tables-readable",
             .good = "fatwald's role may read the published tables",
             .fault = "fatwald's role " + role + " may not read " +
                      (tables.size() == 1 ? "a published table"
                                          : std::to_string(tables.size()) + " published tables"),
             .found = listed(tables, kMostNamed),
             .means = "The snapshots that have the table fail, so their subscribers get none.",
             .mend = std::move(mend),
             .advice = published.empty() ? "It matters if fatwald follows a publication of the "
                                           "table: give --control, and doctor knows."
                                         : ""});
    }

    void judge_server(const Facts& facts) {
        if (flag_at(facts, "in_recovery"))
            add(Severity::Warning,
                {.about = "database",
                 .id = "primary",
                 .fault = "the server is a standby",
                 .means = "fatwald waits until it is promoted; nothing is streamed from it.",
                 .advice = "Name all servers in one connection string: host=a,b."});
        const std::int64_t keep_mb = setting(facts, "max_slot_wal_keep_size");
        const std::int64_t retention = count("retention_bytes");
        // Twice what fatwald keeps for durable subscribers: so it drops one long before the server
        // drops the slot, and with it everybody.
        const std::int64_t wanted_gb =
            std::max<std::int64_t>(20, (2 * retention + (1 << 30) - 1) >> 30);
        const std::string mend = "ALTER SYSTEM SET max_slot_wal_keep_size = '" +
                                 std::to_string(wanted_gb) + "GB'; SELECT pg_reload_conf();";
        const bool unset = keep_mb < 0;
        add(unset || (keep_mb << 20) < retention ? Severity::Warning : Severity::Ok,
            {.about = "slot",
             .id = "max-slot-wal-keep-size",
             .good = "max_slot_wal_keep_size bounds the WAL of slots",
             .fault = unset ? "max_slot_wal_keep_size does not bound the WAL of slots"
                            : "max_slot_wal_keep_size is below retention_bytes",
             .found = unset ? "it is not set"
                            : "it is " + bytes_text(unsigned_of(keep_mb) << 20) +
                                  (retention > 0 ? ", and retention_bytes is " +
                                                       bytes_text(unsigned_of(retention))
                                                 : ""),
             .means = unset
                          ? "While fatwald is away the slot keeps all WAL, until the disk is full "
                            "and Postgres stops."
                          : "The server drops the slot, and everybody takes a snapshot, before "
                            "fatwald drops one durable subscriber.",
             .mend = mend,
             .advice = "Choose less than the disk has free."});
        // Replays read the slot through copies of it, and a second fatwald may come.
        judge_headroom(list_at(facts, "slots").size(), setting(facts, "max_replication_slots"),
                       "max_replication_slots");
        judge_headroom(unsigned_of(number_at(facts, "walsenders").value_or(0)),
                       setting(facts, "max_wal_senders"), "max_wal_senders");
    }

    void judge_headroom(std::uint64_t used, std::int64_t limit, const char* name) {
        if (limit <= 0) return;
        std::string id = name;
        std::replace(id.begin(), id.end(), '_', '-');
        add(used + kFewFreeSlots <= unsigned_of(limit) ? Severity::Ok : Severity::Warning,
            {.about = "database",
             .id = std::move(id),
             .good = std::string(name) + " leaves some free",
             .fault = std::string(name) + " leaves few free",
             .found = std::to_string(used) + " of " + std::to_string(limit) + " are in use",
             .means = "Replays from the slot, a base backup or a second fatwald find none.",
             .mend =
                 std::string("ALTER SYSTEM SET ") + name + " = " + std::to_string(used + 5) + ";",
             .advice = "Then restart the server."});
    }

    void judge_slots(const Facts& facts) {
        const std::string named = of_.slot.empty() ? status("slot") : of_.slot;
        bool is_there = false;
        for (const Facts& slot : list_at(facts, "slots")) {
            const std::string name = text_at(slot, "name");
            const bool ours = named.empty() ? flag_at(slot, "ours") : name == named;
            is_there = is_there || ours;
            if (ours)
                judge_slot(slot, name);
            else if (number_at(slot, "retained_bytes").value_or(0) >= kMuchWal)
                judge_other_slot(slot, name);
        }
        if (!is_there) judge_missing_slot(facts, named);
    }

    void judge_missing_slot(const Facts& facts, const std::string& named) {
        bool was_there = false;
        for (const Facts& each : list_at(facts, "remembered")) {
            const std::string name = text_at(each, "slot");
            if (!named.empty() && name != named) continue;
            was_there = true;
            const auto waiting = unsigned_of(number_at(each, "subscribers").value_or(0));
            add(Severity::Error,
                {.about = "slot",
                 .id = "slot-there:" + name,
                 .fault = "slot " + quoted(name) + " is gone",
                 .found = waiting == 0 ? "fatwald had it before"
                                       : counted(waiting, "durable subscriber waits for it",
                                                 "durable subscribers wait for it"),
                 .means = kLostForGood,
                 .mend = kResyncOnce,
                 .advice = kResyncAdvice});
        }
        if (was_there) return;
        const bool streaming = status("state") == "streaming";
        add(streaming || !of_.slot.empty() ? Severity::Error : Severity::Note,
            {.about = "slot",
             .id = named.empty() ? "slot-there" : "slot-there:" + named,
             .fault = "fatwald's slot is not there",
             .found = named.empty() ? "" : "no slot " + quoted(named),
             .means = "fatwald makes it at its first start; before that the server keeps nothing "
                      "for it.",
             .mend = "SELECT slot_name, database FROM pg_replication_slots;",
             .advice = streaming ? "--database names another server or database than fatwald's."
                                 : "The statement lists those that are there."});
    }

    void judge_other_slot(const Facts& slot, const std::string& name) {
        const bool active = flag_at(slot, "active");
        add(Severity::Warning,
            {.about = "slot",
             .id = "other-slot:" + name,
             .fault = "slot " + quoted(name) + ", not fatwald's, keeps WAL",
             .found = bytes_text(unsigned_of(number_at(slot, "retained_bytes").value_or(0))),
             .means = "It fills the same disk.",
             .mend = active ? "SELECT * FROM pg_stat_replication;"
                            : "SELECT pg_drop_replication_slot(" + sql_literal(name) + ");",
             .advice = active ? "See who reads it." : "Drop it only if nobody needs it."});
    }

    void judge_slot(const Facts& slot, const std::string& name) {
        const std::string its = "slot " + quoted(name);
        const std::string wal_status = text_at(slot, "wal_status");
        const std::string because = text_at(slot, "lost_because");
        const std::int64_t keep_mb = 2 * setting(of_.database->facts, "max_slot_wal_keep_size");
        if (wal_status == "lost")
            add(Severity::Error,
                {.about = "slot",
                 .id = "slot-wal:" + name,
                 .fault = its + " has lost its WAL",
                 .found = because.empty() ? wal_status : wal_status + " (" + because + ")",
                 .means = kLostForGood,
                 .mend = kResyncOnce,
                 .advice = kResyncAdvice});
        else
            add(wal_status == "unreserved" ? Severity::Error : Severity::Ok,
                {.about = "slot",
                 .id = "slot-wal:" + name,
                 .good = its + " has its WAL",
                 .fault = its + " is about to lose its WAL",
                 .found = wal_status,
                 .means = "The server takes the WAL away at its next checkpoint.",
                 .mend = keep_mb <= 0
                             ? ""
                             : "ALTER SYSTEM SET max_slot_wal_keep_size = '" +
                                   std::to_string(keep_mb) + "MB'; SELECT pg_reload_conf();",
                 .advice = "Raise max_slot_wal_keep_size at once. fatwal holds names who holds the "
                           "slot."});
        judge_reader(slot, name, its);
        judge_retained(slot, name, its);
        if (const auto age = number_at(slot, "catalog_age"))
            add(*age >= kOldCatalog ? Severity::Warning : Severity::Ok,
                {.about = "slot",
                 .id = "slot-catalogs:" + name,
                 .good = its + " lets the catalogs be vacuumed",
                 .fault = its + " keeps the catalogs from being vacuumed",
                 .found = std::to_string(*age) + " transactions old",
                 .means = "Dead rows of the catalogs stay, and at last the server runs out of "
                          "transaction ids.",
                 .mend = "fatwal holds",
                 .advice = "It names who holds the slot. Else end old transactions: "
                           "pg_stat_activity and pg_prepared_xacts have them."});
    }

    // A fatwald that answers needs no start. While it connects, judge_connecting() has why.
    void judge_reader(const Facts& slot, const std::string& name, const std::string& its) {
        const bool active = flag_at(slot, "active");
        const auto idle = number_at(slot, "inactive_s");
        const bool answers = !status("state").empty() && status("slot") == name;
        if (!active && answers && status("state") == "connecting") return;
        add(active ? Severity::Ok : Severity::Warning,
            {.about = "slot",
             .id = "slot-read:" + name,
             .good = its + " is read",
             .fault = its + " is not read",
             .found = active || !idle ? "" : "for " + seconds_text(unsigned_of(*idle)),
             .means = "Nothing is streamed, and WAL piles up on the server.",
             .mend = answers ? "" : "systemctl start fatwald",
             .advice = answers
                           ? "fatwald answers and streams: it reads a slot of this name on "
                             "another server than --database names, or has just connected "
                             "again."
                           : "Start fatwald. If nobody needs the slot any more, fatwal slot drop "
                             "drops it."});
    }

    void judge_retained(const Facts& slot, const std::string& name, const std::string& its) {
        const std::int64_t retained = number_at(slot, "retained_bytes").value_or(0);
        const auto safe = number_at(slot, "safe_wal_bytes");
        const bool near =
            safe && static_cast<double>(retained) >=
                        kNear * (static_cast<double>(retained) + static_cast<double>(*safe));
        // Unsaid: between two checkpoints a small bound is always near.
        const bool much = retained >= kMuchWal || (near && retained >= kMuchWal / 4);
        std::string found = bytes_text(unsigned_of(retained));
        if (safe) found += ", and " + bytes_text(unsigned_of(*safe)) + " may still be written";
        add(much ? Severity::Warning : Severity::Ok,
            {.about = "slot",
             .id = "slot-retained-wal:" + name,
             .good = its + " keeps little WAL",
             .fault = its + " keeps much WAL",
             .found = std::move(found),
             .means = safe ? "When what may still be written is used up, the server drops the slot."
                           : "WAL fills the server's disk.",
             .mend = "fatwal holds",
             .advice = "It names who holds the slot. Else end old transactions: pg_stat_activity "
                       "and pg_prepared_xacts have them."});
    }

    void judge_transactions(const Facts& facts) {
        const Facts& running = list_at(facts, "old_transactions");
        const Facts& prepared = list_at(facts, "prepared");
        for (const Facts& each : running) {
            const std::string pid = std::to_string(number_at(each, "pid").value_or(0));
            add(Severity::Warning,
                {.about = "slot",
                 .id = "old-transaction:" + pid,
                 .fault = "a transaction is old",
                 .found = "process " + pid + " has had it for " +
                          seconds_text(unsigned_of(number_at(each, "seconds").value_or(0))) + " (" +
                          text_at(each, "state") + ")",
                 .means = "Slots keep all WAL from its begin on, and its changes come only behind "
                          "its end.",
                 .mend = "SELECT pg_terminate_backend(" + pid + ");",
                 .advice = "Let it end, or end it."});
        }
        for (const Facts& each : prepared) {
            const std::string gid = text_at(each, "gid");
            add(Severity::Warning,
                {.about = "slot",
                 .id = "prepared-transaction:" + gid,
                 .fault = "a prepared transaction is old",
                 .found = quoted(gid) + " was prepared " +
                          seconds_text(unsigned_of(number_at(each, "seconds").value_or(0))) +
                          " ago",
                 .means = "Slots keep all WAL from its begin on.",
                 .advice = "Only its owner knows which is right: COMMIT PREPARED " +
                           sql_literal(gid) + "; or ROLLBACK PREPARED " + sql_literal(gid) + ";"});
        }
        if (running.empty() && prepared.empty())
            add(Severity::Ok,
                {.about = "slot", .id = "old-transactions", .good = "no transaction is old"});
    }

    void judge_credentials(const Facts& facts) {
        if (!facts.contains("credentials") || !facts.at("credentials").is_array()) return;
        bool is_well = true;
        for (const Facts& each : facts.at("credentials")) {
            const std::int64_t left = number_at(each, "expires_in_s").value_or(kSoon);
            if (left >= kSoon) continue;
            is_well = false;
            const std::string name = text_at(each, "name");
            add(left <= 0 ? Severity::Error : Severity::Warning,
                {.about = "keys",
                 .id = "credential-key:" + name,
                 .fault = "the key of credential " + quoted(name) +
                          (left <= 0 ? " has expired" : " expires soon"),
                 .found = left <= 0 ? seconds_text(unsigned_of(-left)) + " ago"
                                    : "in " + seconds_text(unsigned_of(left)),
                 .means = "From then on fatwald refuses who connects with it.",
                 .advice = "fatwal keygen FILE makes another key and prints its public part; give "
                           "that to fatwal.add_credential(" +
                           sql_literal(name) + ", …)."});
        }
        if (is_well)
            add(Severity::Ok, {.about = "keys",
                               .id = "credential-keys",
                               .good = "no credential expires within 14 days"});
    }

    void judge_clocks() {
        const std::optional<ClockDifference> fatwald =
            of_.fatwald ? of_.fatwald->clock : std::nullopt;
        const bool read = of_.database && of_.database->facts.is_object();
        if (fatwald) add_clock("clock-fatwald", "fatwald's clock", "this host's", *fatwald);
        if (read)
            add_clock("clock-server", "the server's clock", "this host's", of_.database->clock);
        if (fatwald && read)
            add_clock("clock-fatwald-server", "fatwald's clock", "the server's",
                      {fatwald->ahead_ms - of_.database->clock.ahead_ms,
                       fatwald->unsure_ms + of_.database->clock.unsure_ms});
    }
    void add_clock(const char* id, const std::string& one, const std::string& other,
                   const ClockDifference& clock) {
        const std::int64_t apart =
            std::max<std::int64_t>(std::abs(clock.ahead_ms) - clock.unsure_ms, 0);
        std::array<char, 64> found{};
        std::snprintf(found.data(), found.size(), "%.1f s %s (within %.1f s)",
                      static_cast<double>(std::abs(clock.ahead_ms)) / 1000,
                      clock.ahead_ms < 0 ? "behind" : "ahead",
                      static_cast<double>(clock.unsure_ms) / 1000);
        add(apart >= kClockError     ? Severity::Error
            : apart >= kClockWarning ? Severity::Warning
                                     : Severity::Ok,
            {.about = "clock",
             .id = id,
             .good = one + " agrees with " + other,
             .fault = one + " differs from " + other,
             .found = apart == 0 ? "" : found.data(),
             .means = "Credentials expire early or late, and times in logs do not match.",
             .mend = "timedatectl set-ntp true",
             .advice = "Run it on the host whose clock is wrong."});
    }

    // 0.1.0 -> 0.1: what an extension's version has.
    static std::string release_of(const std::string& version) {
        return version.substr(0, version.find('.', version.find('.') + 1));
    }

    void judge_versions() {
        const std::string fatwald = status("version");
        if (!fatwald.empty())
            add(fatwald == of_.version ? Severity::Ok : Severity::Warning,
                {.about = "versions",
                 .id = "version-fatwald",
                 .good = "fatwald and this program are of one version",
                 .fault = "fatwald and this program are of two versions",
                 .found = "fatwald " + fatwald + ", fatwal and its library " + of_.version,
                 .means = "Releases that are one apart understand each other; others may not.",
                 .advice = "Install the same version of both (UPGRADING.md), and restart "
                           "fatwald."});
        if (!of_.database || !of_.database->facts.is_object()) return;
        const Facts& facts = of_.database->facts;
        const std::string comment = text_at(facts, "managed");
        const auto extension = facts.find("extension");
        if (extension != facts.end() && extension->is_object()) {
            judge_extension(*extension, fatwald);
        } else if (comment.find("without its extension") != std::string::npos) {
            add(comment == of_.managed ? Severity::Ok : Severity::Warning,
                {.about = "versions",
                 .id = "version-schema",
                 .good = "the schema fatwal is of this version",
                 .fault = "the schema fatwal is of another version",
                 .means = "Functions that fatwald calls may lack or differ.",
                 .mend = "fatwal init --plugin pgoutput",
                 .advice = "Run it as at first: it makes what lacks."});
        }
    }
    void judge_extension(const Facts& extension, const std::string& fatwald) {
        const std::string installed = text_at(extension, "installed");
        const std::string available = text_at(extension, "available");
        if (!available.empty())
            add(installed == available ? Severity::Ok : Severity::Warning,
                {.about = "versions",
                 .id = "version-library",
                 .good = "the extension is as new as its library on the server",
                 .fault = "the extension is not as new as its library on the server",
                 .found = installed + ", and the server has " + available,
                 .means = "Its functions are older than the plugin that the server loads.",
                 .mend = "ALTER EXTENSION fatwal UPDATE;"});
        const std::string wanted = release_of(fatwald.empty() ? of_.version : fatwald);
        const std::string both = std::string("the extension and ") +
                                 (fatwald.empty() ? "this program" : "fatwald") + " are of ";
        add(installed == wanted ? Severity::Ok : Severity::Warning,
            {.about = "versions",
             .id = "version-extension",
             .good = both + "one release",
             .fault = both + "two releases",
             .found = installed + " and " + wanted,
             .means = "One may ask for what the other does not have.",
             .advice = "Install the same version of both: UPGRADING.md has the order."});
    }

    const Observed& of_;
    std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> diagnose(const Observed& observed) { return Diagnosis(observed).run(); }

std::string bytes_text(std::uint64_t bytes) {
    constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB", "PB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
    return text.data();
}

std::string seconds_text(std::uint64_t seconds) {
    if (seconds >= 86'400)
        return std::to_string(seconds / 86'400) + " d " + std::to_string(seconds / 3600 % 24) +
               " h";
    std::string text = std::to_string(seconds % 60) + " s";
    if (seconds >= 60) text = std::to_string(seconds / 60 % 60) + " min";
    if (seconds >= 3600) text = std::to_string(seconds / 3600) + " h " + text;
    return text;
}

std::string hold_text(const wire::HoldEntry& hold, const Disguise& disguise) {
    constexpr std::array kStates = {"is absent", "has not acknowledged", "catches up",
                                    "reads a snapshot", "is a snapshot that waits to be read"};
    std::string text = hold.name.empty() ? "a snapshot" : '"' + disguise(hold.name) + '"';
    text += hold.account.kind == wire::AccountKind::Operators
                ? " of the operators"
                : " of account " + disguise(hold.account.to_text());
    if (hold.kind >= 1 && hold.kind <= kStates.size())
        text += std::string(" ") + kStates[hold.kind - 1U];
    return text + ", " + bytes_text(hold.behind) + " behind for " + seconds_text(hold.held_s) +
           "; dropped in " + seconds_text(hold.seconds_left) + " or after " +
           bytes_text(hold.bytes_left);
}

}  // namespace fatwal::cli
