#include "client/cli/diagnosis.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

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
constexpr std::int64_t kOldCatalog = 150'000'000;  // transactions; 200 million freeze all tables

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
    const auto settings = facts.find("settings");
    if (settings == facts.end() || !settings->is_object()) return 0;
    return std::strtoll(text_at(*settings, name).c_str(), nullptr, 10);
}
std::string quoted(const std::string& name) { return '"' + name + '"'; }
// As a literal of SQL.
std::string sql_literal(const std::string& text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'') out += '\'';
        out += c;
    }
    return out + '\'';
}

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
    void add(Severity severity, const char* about, std::string what, std::string found,
             std::string means, std::string mend) {
        if (severity == Severity::Ok) {
            means.clear();
            mend.clear();
        }
        findings_.push_back({severity, about, std::move(what), std::move(found), std::move(means),
                             std::move(mend)});
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
            add(open ? Severity::Error : Severity::Ok, "keys",
                "the key file " + file.path + " is for its owner alone", mode.data(),
                "Whoever reads the secret key can act for its owner, so no program of fatwal uses "
                "such a file.",
                "chmod 600 " + file.path);
        else
            add(Severity::Error, "keys", "the key file " + file.path + " can be used", file.failure,
                "Without keys fatwald answers nobody over the network.",
                "fatwal keygen FILE, and fatwal.add_credential with the key that it prints");
    }

    void judge_fatwald(const Observed::Fatwald& fatwald) {
        add(fatwald.failure.empty() ? Severity::Ok : Severity::Error, "fatwald", "fatwald answers",
            fatwald.failure, "Nobody streams changes, or nobody can reach who does.",
            "systemctl status fatwald; and check --control");
        if (!fatwald.failure.empty()) return;
        judge_state();
        judge_counts();
        judge_descriptors();
        judge_holds(fatwald);
    }

    void judge_state() {
        const std::string state = status("state");
        const std::string reason = status("state_reason");
        if (state == "connecting")
            add(Severity::Warning, "fatwald", "fatwald streams",
                reason.empty() ? state : state + ": " + reason,
                "It waits for the slot, because another fatwald has it, or for the server.",
                "nothing, if it is the one that is to take over; else its log has the reason");
        else
            add(state == "streaming" ? Severity::Ok : Severity::Error, "fatwald", "fatwald streams",
                state, "Subscribers receive nothing until the server answers again.",
                "look at the server and the network to it; fatwald's log has the reason");
        const std::string failure = status("snapshot_failure");
        add(failure.empty() ? Severity::Ok : Severity::Error, "fatwald", "snapshots succeed",
            failure, "The subscribers that wait for the snapshot of an account do not get it.",
            "what the reason names; docs/troubleshooting.md lists them under Snapshots");
    }

    // Counts since the start of the process, of what should not happen.
    void judge_counts() {
        struct Count {
            const char* name;
            const char* what;
            Severity severity;  // when it is not 0
            const char* means;
            const char* mend;
        };
        static constexpr std::array<Count, 8> kCounts = {{
            {"given_up", "durable subscribers are there before their retention ends",
             Severity::Warning,
             "So many were dropped after retention; each takes a snapshot when it comes back.",
             "start them more often, or raise retention_bytes and retention_s"},
            {"refused_connections", "descriptors are left for connections", Severity::Warning,
             "So many connections were closed as they came, because descriptors ran out.",
             "LimitNOFILE= in the unit of fatwald, and restart it"},
            {"refused_keyed_connections", "places are left for connections with keys",
             Severity::Warning,
             "So many connections were closed as they came, because all places were taken.",
             "raise max_keyed_connections, or see who connects and says nothing"},
            {"resyncs_sent", "no resync records were sent", Severity::Note,
             "Each had the subscribers of an account or of a table take a snapshot, as after DDL.",
             "SELECT * FROM fatwal.check() WHERE ok IS NOT TRUE;"},
            {"unrouted", "each change names its account", Severity::Note,
             "So many changes did not, and only operators received them.",
             "ALTER TABLE ... REPLICA IDENTITY FULL; of the table that fatwald's log names"},
            {"cut_subscribers", "subscribers read what they are sent", Severity::Note,
             "So many were cut off because they did not; each came back with a replay or a "
             "snapshot.",
             "fatwal subscribers: the column UNREAD shows who does not read"},
            {"refused_keys", "all keys are those of credentials", Severity::Note,
             "So many handshakes came with a key that no credential has, or that has expired.",
             "SELECT name, expires_at FROM fatwal.credential;"},
            {"throttled_connections", "no crowd connects at once", Severity::Note,
             "So many connections were closed because too many came at once; they try again.",
             "nothing after a restart; else see which address they come from"},
        }};
        for (const Count& each : kCounts) {
            const std::string value = status(each.name);
            if (value.empty()) continue;  // an older fatwald
            add(value == "0" ? Severity::Ok : each.severity, "fatwald", each.what,
                std::string(each.name) + " is " + value, each.means, each.mend);
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
            "fatwald", "descriptors are left",
            std::to_string(used) + " of " + std::to_string(limit) + " in use",
            "When they run out, fatwald closes new connections as they come.",
            "LimitNOFILE=" + std::to_string(limit * 4) + " in the unit of fatwald, and restart it");
    }

    static double used_up(const wire::HoldEntry& hold) {
        const auto part = [](std::uint64_t used, std::uint64_t left) {
            const double whole = static_cast<double>(used) + static_cast<double>(left);
            return whole == 0 ? 0 : static_cast<double>(used) / whole;
        };
        return std::max(part(hold.held_s, hold.seconds_left), part(hold.behind, hold.bytes_left));
    }

    void judge_holds(const Observed::Fatwald& fatwald) {
        if (!fatwald.knows_holds) {
            add(Severity::Note, "holds", "who keeps WAL can be listed", "fatwald is older",
                "It is of a version that has no list of who keeps the slot back.",
                "upgrade fatwald (UPGRADING.md)");
            return;
        }
        if (!fatwald.holds) {
            add(Severity::Note, "holds", "who keeps WAL can be listed", "fatwald refuses",
                "The credential does not read the operators' stream, so the lists stay closed.",
                "SELECT fatwal.grant_operators('CREDENTIAL');");
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
            add(near ? Severity::Warning : Severity::Note, "holds", "the slot is held back",
                hold_text(hold, of_.disguise),
                near ? "A subscriber is dropped soon; it then takes a snapshot when it comes back."
                     : "Postgres keeps the WAL that it has not acknowledged.",
                !durable ? "fatwal holds, and fatwal subscribers: whether it still reads"
                         : "start it; or, if it does not come back: fatwal subscribers forget " +
                               of_.disguise(hold.name) +
                               (operators ? " --operators"
                                          : " --account " + of_.disguise(hold.account.to_text())));
        }
        if (shown > 5)
            add(Severity::Note, "holds", "more hold the slot back", std::to_string(shown - 5),
                "Only the worst are listed here.", "fatwal holds");
        if (is_quiet)
            add(Severity::Ok, "holds", "nobody holds the slot back for long",
                std::to_string(fatwald.holds->size()) + " holds", "", "");
    }

    void judge_database(const Observed::Database& database) {
        add(database.failure.empty() ? Severity::Ok : Severity::Error, "database",
            "the database can be read", database.failure,
            "Nothing of the server, the slot and the tables could be checked.",
            "psql with the same connection string, until that works");
        if (database.pooled)
            add(Severity::Error, "database", "the database is reached without a pooler",
                "a pooler refused a replication connection",
                "A pooler passes no replication slot on, so fatwald cannot stream through it.",
                "give the address of Postgres itself");
        if (!database.facts.is_object()) return;
        const Facts& facts = database.facts;
        judge_schema(facts);
        judge_requirements(facts);
        judge_server(facts);
        judge_slots(facts);
        judge_transactions(facts);
        judge_credentials(facts);
    }

    void judge_schema(const Facts& facts) {
        if (flag_at(facts, "schema_there") && !flag_at(facts, "usable")) {
            const std::string role = text_at(facts, "role");
            add(Severity::Error, "database", "the role may use the schema fatwal",
                "role " + quoted(role) + " may not",
                "Neither fatwald's tables nor fatwal.check() can be read.",
                "GRANT USAGE ON SCHEMA fatwal TO " + quoted(role) + ";");
            return;
        }
        const bool there = facts.contains("checks") && facts.at("checks").is_array();
        add(there ? Severity::Ok : Severity::Error, "database", "the extension fatwal is installed",
            there ? "" : "not in database " + text_at(facts, "database"),
            "fatwald does not start without it.",
            "CREATE EXTENSION fatwal; or, where the server loads no extension: fatwal init "
            "--plugin pgoutput");
    }

    // The rows of fatwal.check(), with what each kind of them means.
    void judge_requirements(const Facts& facts) {
        struct Kind {
            const char* part;  // of the requirement
            Severity severity;
            const char* means;
        };
        static constexpr std::array<Kind, 16> kKinds = {{
            {"wal_level", Severity::Error,
             "The WAL has no changes to decode: fatwald cannot start."},
            {"output_plugin_libraries", Severity::Error,
             "The server refuses to load the output plugin: fatwald cannot start."},
            {"UTF8", Severity::Error, "The stream is in UTF-8: fatwald cannot start."},
            {"a replication slot is left", Severity::Error, "fatwald cannot make its slot."},
            {"a walsender is left", Severity::Error, "fatwald cannot stream."},
            {"idle_replication_slot_timeout", Severity::Error,
             "A slot that fatwald leaves for so long is lost, with all that it did not stream."},
            {"a publication exists", Severity::Error,
             "Nothing is published: fatwald cannot start."},
            {"lists the account column", Severity::Error,
             "Its changes do not say whose they are: only operators receive them."},
            {"REPLICA IDENTITY", Severity::Error,
             "Old rows lack columns, and a deleted row may not name its account: subscribers "
             "take snapshots instead."},
            {"replica identity", Severity::Error,
             "A deleted row does not name its account: subscribers take snapshots instead."},
            {"UPDATE and DELETE", Severity::Error,
             "The server refuses the application's UPDATE and DELETE of the table."},
            {"row filter", Severity::Warning,
             "One row for which it raises an error stops the stream for all accounts."},
            {"names its account", Severity::Error,
             "Its changes go to the operators alone; right only if its rows are of no account."},
            {"which fatwald follows", Severity::Error,
             "fatwald does not see changes of its own table."},
            {"names a column", Severity::Error,
             "The table's changes go to the operators until the setting is right."},
            {"is older than slot", Severity::Error,
             "pgoutput ends with an error where the slot begins before the publication."},
        }};
        for (const Facts& row : list_at(facts, "checks")) {
            const std::string what = text_at(row, "requirement");
            // Of the slots there is more to say: judge_slots().
            if (what.find("keeps little WAL") != std::string::npos) continue;
            const auto* kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& each) {
                return what.find(each.part) != std::string::npos;
            });
            const bool known = kind != kKinds.end();
            const bool judged = row.contains("ok") && row.at("ok").is_boolean();
            add(!judged              ? Severity::Note
                : flag_at(row, "ok") ? Severity::Ok
                : known              ? kind->severity
                                     : Severity::Error,
                "database", what, text_at(row, "found"),
                known ? kind->means : "The stream needs it.", text_at(row, "mend"));
        }
    }

    void judge_server(const Facts& facts) {
        if (flag_at(facts, "in_recovery"))
            add(Severity::Warning, "database", "the server is the primary", "it is a standby",
                "fatwald waits until it is promoted; nothing is streamed from it.",
                "name all servers: host=a,b");
        const std::int64_t keep_mb = setting(facts, "max_slot_wal_keep_size");
        const std::int64_t retention = count("retention_bytes");
        // Twice what fatwald keeps for durable subscribers: so it drops one long before the server
        // drops the slot, and with it everybody.
        const std::int64_t wanted_gb =
            std::max<std::int64_t>(20, (2 * retention + (1 << 30) - 1) >> 30);
        const std::string mend = "ALTER SYSTEM SET max_slot_wal_keep_size = '" +
                                 std::to_string(wanted_gb) + "GB'; SELECT pg_reload_conf();";
        if (keep_mb < 0)
            add(Severity::Warning, "slot", "max_slot_wal_keep_size bounds the WAL of slots",
                "it is not set",
                "While fatwald is away the slot keeps all WAL, until the disk is full and Postgres "
                "stops.",
                mend + " -- less than the disk has free");
        else
            add((keep_mb << 20) < retention ? Severity::Warning : Severity::Ok, "slot",
                "max_slot_wal_keep_size bounds the WAL of slots",
                bytes_text(unsigned_of(keep_mb) << 20) +
                    (retention > 0
                         ? ", and retention_bytes is " + bytes_text(unsigned_of(retention))
                         : ""),
                "The server drops the slot, and everybody takes a snapshot, before fatwald drops "
                "one durable subscriber.",
                mend);
        // Replays read the slot through copies of it, and a second fatwald may come.
        judge_headroom(list_at(facts, "slots").size(), setting(facts, "max_replication_slots"),
                       "max_replication_slots");
        judge_headroom(unsigned_of(number_at(facts, "walsenders").value_or(0)),
                       setting(facts, "max_wal_senders"), "max_wal_senders");
    }

    void judge_headroom(std::uint64_t used, std::int64_t limit, const char* name) {
        if (limit <= 0) return;
        add(used + kFewFreeSlots <= unsigned_of(limit) ? Severity::Ok : Severity::Warning,
            "database", std::string(name) + " leaves some free",
            std::to_string(used) + " of " + std::to_string(limit) + " in use",
            "Replays from the slot, a base backup or a second fatwald find none.",
            std::string("ALTER SYSTEM SET ") + name + " = " + std::to_string(used + 5) +
                "; then restart the server");
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
                add(Severity::Warning, "slot",
                    "slot " + quoted(name) + ", not fatwald's, keeps WAL",
                    bytes_text(unsigned_of(*number_at(slot, "retained_bytes"))),
                    "It fills the same disk.",
                    flag_at(slot, "active")
                        ? "see pg_stat_replication for who reads it"
                        : "if nobody needs it: SELECT pg_drop_replication_slot(" +
                              sql_literal(name) + ");");
        }
        if (is_there) return;
        const bool streaming = status("state") == "streaming";
        add(streaming || !of_.slot.empty() ? Severity::Error : Severity::Note, "slot",
            "fatwald's slot is there", named.empty() ? "none" : "no slot " + quoted(named),
            "fatwald makes it at its first start; before that the server keeps nothing for it.",
            streaming ? "--database names another server or database than fatwald's"
                      : "SELECT slot_name FROM pg_replication_slots; lists those that are there");
    }

    void judge_slot(const Facts& slot, const std::string& name) {
        const std::string its = "slot " + quoted(name);
        const std::string wal_status = text_at(slot, "wal_status");
        const std::string because = text_at(slot, "lost_because");
        if (wal_status == "lost")
            add(Severity::Error, "slot", its + " has its WAL",
                because.empty() ? wal_status : wal_status + " (" + because + ")",
                "Changes are gone for good: every subscriber has to take a snapshot.",
                "fatwal slot drop --yes, and start fatwald with --on-lost-slot=resync");
        else
            add(wal_status == "unreserved" ? Severity::Error : Severity::Ok, "slot",
                its + " has its WAL", wal_status,
                "The server takes the WAL away at its next checkpoint.",
                "raise max_slot_wal_keep_size at once, and see who holds the slot: fatwal holds");
        const bool active = flag_at(slot, "active");
        const auto idle = number_at(slot, "inactive_s");
        add(active ? Severity::Ok : Severity::Warning, "slot", its + " is read",
            active ? "yes"
            : idle ? "not for " + seconds_text(unsigned_of(*idle))
                   : "no",
            "Nothing is streamed, and WAL piles up on the server.",
            "start fatwald; or, if nobody needs it any more: fatwal slot drop");
        judge_retained(slot, its);
        if (const auto age = number_at(slot, "catalog_age"))
            add(*age >= kOldCatalog ? Severity::Warning : Severity::Ok, "slot",
                its + " lets the catalogs be vacuumed", std::to_string(*age) + " transactions old",
                "Dead rows of the catalogs stay, and at last the server runs out of transaction "
                "ids.",
                "end old transactions (pg_stat_activity, pg_prepared_xacts), and see fatwal holds");
    }

    void judge_retained(const Facts& slot, const std::string& its) {
        const std::int64_t retained = number_at(slot, "retained_bytes").value_or(0);
        const auto safe = number_at(slot, "safe_wal_bytes");
        const bool near =
            safe && static_cast<double>(retained) >=
                        kNear * (static_cast<double>(retained) + static_cast<double>(*safe));
        // Unsaid: between two checkpoints a small bound is always near.
        const bool much = retained >= kMuchWal || (near && retained >= kMuchWal / 4);
        std::string found = bytes_text(unsigned_of(retained));
        if (safe) found += ", and " + bytes_text(unsigned_of(*safe)) + " may still be written";
        add(much ? Severity::Warning : Severity::Ok, "slot", its + " keeps little WAL",
            std::move(found),
            safe ? "When what may still be written is used up, the server drops the slot."
                 : "WAL fills the server's disk.",
            "fatwal holds names who holds it; else end old transactions (pg_stat_activity, "
            "pg_prepared_xacts)");
    }

    void judge_transactions(const Facts& facts) {
        const Facts& running = list_at(facts, "old_transactions");
        const Facts& prepared = list_at(facts, "prepared");
        for (const Facts& each : running) {
            const std::string pid = std::to_string(number_at(each, "pid").value_or(0));
            add(Severity::Warning, "slot", "no transaction is old",
                "process " + pid + " has one since " +
                    seconds_text(unsigned_of(number_at(each, "seconds").value_or(0))) + " (" +
                    text_at(each, "state") + ")",
                "Slots keep all WAL from its begin on, and its changes come only behind its end.",
                "let it end, or SELECT pg_terminate_backend(" + pid + ");");
        }
        for (const Facts& each : prepared)
            add(Severity::Warning, "slot", "no prepared transaction is old",
                quoted(text_at(each, "gid")) + " since " +
                    seconds_text(unsigned_of(number_at(each, "seconds").value_or(0))),
                "Slots keep all WAL from its begin on.",
                "COMMIT PREPARED or ROLLBACK PREPARED " + sql_literal(text_at(each, "gid")) + ";");
        if (running.empty() && prepared.empty())
            add(Severity::Ok, "slot", "no transaction is old", "", "", "");
    }

    void judge_credentials(const Facts& facts) {
        if (!facts.contains("credentials") || !facts.at("credentials").is_array()) return;
        bool is_well = true;
        for (const Facts& each : facts.at("credentials")) {
            const std::int64_t left = number_at(each, "expires_in_s").value_or(kSoon);
            if (left >= kSoon) continue;
            is_well = false;
            const std::string name = text_at(each, "name");
            add(left <= 0 ? Severity::Error : Severity::Warning, "keys",
                "the key of credential " + quoted(name) + " is valid",
                left <= 0 ? "it expired " + seconds_text(unsigned_of(-left)) + " ago"
                          : "it expires in " + seconds_text(unsigned_of(left)),
                "From then on fatwald refuses who connects with it.",
                "SELECT fatwal.add_credential(" + sql_literal(name) +
                    ", 'PUBLIC KEY'); with the key that fatwal keygen FILE prints");
        }
        if (is_well) add(Severity::Ok, "keys", "no credential expires within 14 days", "", "", "");
    }

    void judge_clocks() {
        const std::optional<ClockDifference> fatwald =
            of_.fatwald ? of_.fatwald->clock : std::nullopt;
        const bool read = of_.database && of_.database->facts.is_object();
        if (fatwald) judge_clock("fatwald's clock", *fatwald);
        if (read) judge_clock("the server's clock", of_.database->clock);
        if (fatwald && read) judge_between(*fatwald, of_.database->clock);
    }
    void judge_clock(const char* whose, const ClockDifference& clock) {
        add_clock(std::string(whose) + " agrees with this host's", clock, "behind", "ahead");
    }
    void judge_between(const ClockDifference& fatwald, const ClockDifference& server) {
        add_clock("fatwald's clock agrees with the server's",
                  {fatwald.ahead_ms - server.ahead_ms, fatwald.unsure_ms + server.unsure_ms},
                  "behind", "ahead");
    }
    void add_clock(std::string what, const ClockDifference& clock, const char* behind,
                   const char* ahead) {
        const std::int64_t apart =
            std::max<std::int64_t>(std::abs(clock.ahead_ms) - clock.unsure_ms, 0);
        std::array<char, 64> found{};
        std::snprintf(found.data(), found.size(), "%.1f s %s (within %.1f s)",
                      static_cast<double>(std::abs(clock.ahead_ms)) / 1000,
                      clock.ahead_ms < 0 ? behind : ahead,
                      static_cast<double>(clock.unsure_ms) / 1000);
        add(apart >= kClockError     ? Severity::Error
            : apart >= kClockWarning ? Severity::Warning
                                     : Severity::Ok,
            "clock", std::move(what), apart == 0 ? "yes" : found.data(),
            "Credentials expire early or late, and times in logs do not match.",
            "timedatectl set-ntp true, on the host whose clock is wrong");
    }

    // 0.1.0 -> 0.1: what an extension's version has.
    static std::string release_of(const std::string& version) {
        return version.substr(0, version.find('.', version.find('.') + 1));
    }

    void judge_versions() {
        const std::string fatwald = status("version");
        if (!fatwald.empty())
            add(fatwald == of_.version ? Severity::Ok : Severity::Warning, "versions",
                "fatwald and this program are of one version",
                "fatwald " + fatwald + ", fatwal and its library " + of_.version,
                "Releases that are one apart understand each other; others may not.",
                "install the same version of both (UPGRADING.md), and restart fatwald");
        if (!of_.database || !of_.database->facts.is_object()) return;
        const Facts& facts = of_.database->facts;
        const std::string comment = text_at(facts, "managed");
        const auto extension = facts.find("extension");
        if (extension != facts.end() && extension->is_object()) {
            judge_extension(*extension, fatwald);
        } else if (comment.find("without its extension") != std::string::npos) {
            add(comment == of_.managed ? Severity::Ok : Severity::Warning, "versions",
                "the schema fatwal is of this version",
                comment == of_.managed ? "yes" : "it was made by another version",
                "Functions that fatwald calls may lack or differ.",
                "fatwal init --plugin pgoutput, as at first: it makes what lacks");
        }
    }
    void judge_extension(const Facts& extension, const std::string& fatwald) {
        const std::string installed = text_at(extension, "installed");
        const std::string available = text_at(extension, "available");
        if (!available.empty())
            add(installed == available ? Severity::Ok : Severity::Warning, "versions",
                "the extension is as new as its library on the server",
                installed + ", and the server has " + available,
                "Its functions are older than the plugin that the server loads.",
                "ALTER EXTENSION fatwal UPDATE;");
        const std::string wanted = release_of(fatwald.empty() ? of_.version : fatwald);
        add(installed == wanted ? Severity::Ok : Severity::Warning, "versions",
            fatwald.empty() ? "the extension and this program are of one release"
                            : "the extension and fatwald are of one release",
            installed + " and " + wanted, "One may ask for what the other does not have.",
            "install the same version of both: UPGRADING.md has the order");
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
    constexpr std::array kKinds = {"is absent", "has not acknowledged", "catches up",
                                   "reads a snapshot", "is a snapshot that waits to be read"};
    std::string text = hold.name.empty() ? "a snapshot" : '"' + disguise(hold.name) + '"';
    text += hold.account.kind == wire::AccountKind::Operators
                ? " of the operators"
                : " of account " + disguise(hold.account.to_text());
    if (hold.kind >= 1 && hold.kind <= kKinds.size())
        text += std::string(" ") + kKinds[hold.kind - 1U];
    return text + ", " + bytes_text(hold.behind) + " behind for " + seconds_text(hold.held_s) +
           "; dropped in " + seconds_text(hold.seconds_left) + " or after " +
           bytes_text(hold.bytes_left);
}

}  // namespace fatwal::cli
