#include "client/console/state.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

namespace fatwal::console {

const char kSlotQuery[] = R"sql(
SELECT json_build_object(
    'slot', (SELECT json_build_object(
                 'name', s.slot_name, 'plugin', s.plugin, 'database', s.database,
                 'active', s.active, 'active_pid', s.active_pid, 'wal_status', s.wal_status,
                 'restart_lsn', s.restart_lsn, 'confirmed_flush_lsn', s.confirmed_flush_lsn,
                 'retained_bytes', pg_catalog.pg_wal_lsn_diff(w.now, s.restart_lsn),
                 'behind_bytes', pg_catalog.pg_wal_lsn_diff(w.now, s.confirmed_flush_lsn),
                 'safe_wal_size', s.safe_wal_size,
                 'invalidation_reason', pg_catalog.to_jsonb(s) ->> 'invalidation_reason')
               FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_name = :'slot'),
    'current_lsn', w.now,
    'max_slot_wal_keep_size',
        (SELECT CASE WHEN setting::pg_catalog.int8 >= 0
                     THEN setting::pg_catalog.int8 * 1024 * 1024 END
           FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'))
  FROM (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                    ELSE pg_catalog.pg_current_wal_lsn() END AS now) AS w;
)sql";

namespace {

using cli::Finding;
using cli::Observed;
using cli::Severity;
using Status = std::map<std::string, std::string>;

std::string text_in(const Status& status, const char* name) {
    const auto at = status.find(name);
    return at == status.end() ? std::string() : at->second;
}

// Nothing: an older fatwald has no such value.
std::optional<double> number_in(const Status& status, const char* name) {
    const std::string text = text_in(status, name);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<std::uint64_t> lsn_in(const std::string& text) {
    std::uint32_t high = 0;
    std::uint32_t low = 0;
    const char* const end = text.data() + text.size();
    const auto [slash, first] = std::from_chars(text.data(), end, high, 16);
    if (first != std::errc{} || slash == end || *slash != '/') return std::nullopt;
    const auto [last, second] = std::from_chars(slash + 1, end, low, 16);
    if (second != std::errc{} || last != end) return std::nullopt;
    return std::uint64_t{high} << 32U | low;
}

// "0.0005=12 0.001=3 inf=1", as fatwald's status has it.
std::map<double, double> latencies_in(const std::string& text) {
    std::map<double, double> out;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        const auto equals = word.find('=');
        if (equals == std::string::npos) continue;
        out[std::strtod(word.c_str(), nullptr)] = std::strtod(word.c_str() + equals + 1, nullptr);
    }
    return out;
}

// Within a bucket it is not known where they lie: its upper bound is given, in ms.
Json quantile_ms(const std::map<double, double>& counts, double part) {
    double all = 0;
    for (const auto& [bound, count] : counts) all += count;
    double so_far = 0;
    for (const auto& [bound, count] : counts) {
        so_far += count;
        if (count > 0 && so_far >= all * part && !std::isinf(bound)) return bound * 1000;
    }
    return {};
}

const char* name_of_hold(std::uint8_t kind) {
    switch (static_cast<wire::HoldKind>(kind)) {
        case wire::HoldKind::Absent: return "absent";
        case wire::HoldKind::Unacknowledged: return "unacknowledged";
        case wire::HoldKind::Replay: return "replay";
        case wire::HoldKind::SnapshotReader: return "snapshot reader";
        case wire::HoldKind::Snapshot: return "snapshot";
    }
    return "other";
}

Json finding_object(const Finding& finding) {
    return {{"severity", cli::name_of(finding.severity)},
            {"about", finding.about},
            {"id", finding.id},
            {"what", finding.what},
            {"found", finding.found},
            {"means", finding.means},
            {"mend", finding.mend},
            {"advice", finding.advice}};
}

std::string count_of(const std::string& number, const char* noun) {
    return number + ' ' + noun + (number == "1" ? "" : "s");
}

Json value_or_null(const Json& object, const char* key) {
    return object.is_object() ? object.value(key, Json()) : Json();
}

// fatwald's own bound, for durable subscribers.
Json retention_of(const Status* status, const char* name) {
    return status == nullptr ? Json() : or_null(number_in(*status, name));
}

}  // namespace

std::optional<std::size_t> active_of(const std::vector<Observed::Fatwald>& fatwalds) {
    std::optional<std::size_t> answers;
    for (std::size_t i = 0; i < fatwalds.size(); ++i) {
        if (!fatwalds[i].failure.empty() || fatwalds[i].status.empty()) continue;
        if (text_in(fatwalds[i].status, "state") != "connecting") return i;
        if (!answers) answers = i;
    }
    return answers;
}

Json hold_json(const wire::HoldEntry& hold) {
    return {{"account", account_json(hold.account)},
            {"name", hold.name.empty() ? Json() : Json(hold.name)},
            {"kind", name_of_hold(hold.kind)},
            {"from", lsn_json(hold.from)},
            {"behind_bytes", hold.behind},
            {"held_seconds", hold.held_s},
            {"dropped_in_seconds", hold.seconds_left},
            {"dropped_after_bytes", hold.bytes_left}};
}

Json verdict_of(const Seen& seen, std::optional<std::size_t> active,
                const std::vector<Finding>& findings) {
    if (!findings.empty() && findings.front().severity >= Severity::Warning) {
        const Finding& worst = findings.front();
        const std::string title = cli::title_of(worst);
        const bool asks = title.ends_with('?') || title.ends_with('!');
        return {{"severity", cli::name_of(worst.severity)},
                {"sentence", title + (asks ? " " : ". ") + worst.means},
                {"mend", worst.mend},
                {"advice", worst.advice}};
    }
    if (!active || (seen.asks_database && !seen.database))
        return {{"severity", "note"},
                {"sentence", std::string("Not all is known yet: ") +
                                 (active ? "the database" : "fatwald") + " has not answered."},
                {"mend", ""},
                {"advice", ""}};
    const Status& status = seen.fatwalds[*active].status;
    std::string sentence = "All is well: fatwald streams to " +
                           count_of(text_in(status, "subscribers"), "subscriber") + " of " +
                           count_of(text_in(status, "accounts"), "account");
    const auto retained = number_in(status, "retained_wal_bytes");
    if (retained && *retained >= 0)
        sentence += "; its slot keeps " + cli::bytes_text(static_cast<std::uint64_t>(*retained)) +
                    " of WAL";
    return {{"severity", "ok"}, {"sentence", sentence + '.'}, {"mend", ""}, {"advice", ""}};
}

void State::count(std::int64_t at_ms, const Status& status) {
    Counts now{at_ms, {}, {}, latencies_in(text_in(status, "publish_latency"))};
    // To the second it is the same for as long as the process lives, but for rounding.
    const auto uptime = number_in(status, "uptime_seconds").value_or(0);
    for (const char* name :
         {"received_bytes", "published_changes", "published_frames", "published_bytes"})
        if (const auto value = number_in(status, name)) now.values[name] = *value;
    if (const auto lsn = lsn_in(text_in(status, "received_lsn")))
        now.values["received_lsn"] = static_cast<double>(*lsn);
    const double lived_ms =
        static_cast<double>(at_ms - (counts_.empty() ? 0 : counts_.front().at_ms));
    const bool is_another = !counts_.empty() && uptime * 1000 + 1000 < lived_ms;
    bool fell = false;
    if (!counts_.empty())
        for (const auto& [name, value] : now.values) {
            const auto before = counts_.back().values.find(name);
            fell = fell || (before != counts_.back().values.end() && before->second > value);
        }
    if (is_another || fell) counts_.clear();
    counts_.push_back(std::move(now));
    const auto over = std::chrono::milliseconds(kRateOver).count();
    while (counts_.size() > 2 && counts_[1].at_ms <= at_ms - over) counts_.pop_front();
}

Json State::flow(const Seen& seen, const Status* status) {
    Json out = {{"changes_s", nullptr},     {"frames_s", nullptr},    {"received_bytes_s", nullptr},
                {"sent_bytes_s", nullptr},  {"wal_bytes_s", nullptr}, {"publish_p50_ms", nullptr},
                {"publish_p99_ms", nullptr}};
    if (status == nullptr) {
        counts_.clear();
        return out;
    }
    count(seen.at_ms, *status);
    const Counts& first = counts_.front();
    const Counts& last = counts_.back();
    const double seconds = static_cast<double>(last.at_ms - first.at_ms) / 1000;
    const auto rate = [&](const char* shown, const char* name) {
        const auto from = first.values.find(name);
        const auto to = last.values.find(name);
        if (seconds > 0 && from != first.values.end() && to != last.values.end())
            out[shown] = (to->second - from->second) / seconds;
    };
    rate("changes_s", "published_changes");
    rate("frames_s", "published_frames");
    rate("received_bytes_s", "received_bytes");
    rate("sent_bytes_s", "published_bytes");
    rate("wal_bytes_s", "received_lsn");
    std::map<double, double> latencies = last.latencies;
    for (const auto& [bound, count] : first.latencies) latencies[bound] -= count;
    if (seconds > 0) {
        out["publish_p50_ms"] = quantile_ms(latencies, 0.5);
        out["publish_p99_ms"] = quantile_ms(latencies, 0.99);
    }
    for (const auto& [shown, name] :
         {std::pair("accounts", "accounts"), std::pair("subscribers", "subscribers"),
          std::pair("durable", "durable_subscribers")})
        out[shown] = or_null(number_in(*status, name));
    const auto end = lsn_in(value_or_null(seen.slot, "current_lsn").is_string()
                                ? seen.slot.at("current_lsn").get<std::string>()
                                : std::string());
    for (const char* name : {"received", "published", "confirmable", "confirmed"}) {
        const std::string text = text_in(*status, (std::string(name) + "_lsn").c_str());
        out[std::string(name) + "_lsn"] = text;
        const auto lsn = lsn_in(text);
        out["lag_" + std::string(name) + "_bytes"] =
            end && lsn && *lsn > 0 ? Json(*end > *lsn ? *end - *lsn : 0) : Json();
    }
    return out;
}

Json State::update(const Seen& seen) {
    const auto active = active_of(seen.fatwalds);
    const Status* const status = active ? &seen.fatwalds[*active].status : nullptr;

    Observed observed;
    observed.version = version_;
    observed.slot = seen.slot_name;
    observed.database = seen.database;
    if (active)
        observed.fatwald = seen.fatwalds[*active];
    else if (!seen.fatwalds.empty() && !seen.fatwalds.front().failure.empty())
        observed.fatwald = seen.fatwalds.front();
    std::vector<Finding> findings = cli::diagnose(observed);
    for (std::size_t i = 0; i < seen.fatwalds.size(); ++i)
        if (active && i != *active && !seen.fatwalds[i].failure.empty())
            findings.push_back(
                {Severity::Warning, "fatwald", "standby-answers:" + seen.endpoints[i],
                 "the fatwald at " + seen.endpoints[i] + " does not answer",
                 seen.fatwalds[i].failure, "It cannot take over from the one that streams.",
                 "systemctl status fatwald", "Run it on the machine of that fatwald."});
    cli::sort_by_severity(findings);

    Json fatwalds = Json::array();
    for (std::size_t i = 0; i < seen.fatwalds.size(); ++i) {
        const Observed::Fatwald& one = seen.fatwalds[i];
        std::string state = text_in(one.status, "state");
        if (state == "connecting" && active && i != *active) state = "standby";
        fatwalds.push_back({{"endpoint", seen.endpoints[i]},
                            {"failure", one.failure},
                            {"state", state},
                            {"status", one.status}});
    }
    Json holds = Json::array();
    if (active && seen.fatwalds[*active].holds)
        for (const wire::HoldEntry& hold : *seen.fatwalds[*active].holds) {
            if (holds.size() == kMostHolds) break;
            holds.push_back(hold_json(hold));
        }
    Json slot = value_or_null(seen.slot, "slot");
    if (slot.is_object()) {
        slot["current_lsn"] = value_or_null(seen.slot, "current_lsn");
        slot["max_slot_wal_keep_size"] = value_or_null(seen.slot, "max_slot_wal_keep_size");
        slot["at"] = value_or_null(seen.slot, "at");
    }
    const Json flow_now = flow(seen, status);
    const Json point = {{"at", seen.at_ms},
                        {"retained_bytes", value_or_null(slot, "retained_bytes")},
                        {"limit_bytes", value_or_null(slot, "max_slot_wal_keep_size")},
                        {"changes_s", flow_now["changes_s"]},
                        {"frames_s", flow_now["frames_s"]},
                        {"bytes_s", flow_now["sent_bytes_s"]},
                        {"lag_bytes", value_or_null(flow_now, "lag_published_bytes")}};
    const auto every = std::chrono::milliseconds(kPointEvery).count();
    if (points_.empty() || seen.at_ms - points_.back()["at"].get<std::int64_t>() >= every) {
        points_.push_back(point);
        if (points_.size() > kMostPoints) points_.pop_front();
    }
    Json said = Json::array();
    for (const Finding& finding : findings) said.push_back(finding_object(finding));
    return {{"now", seen.at_ms},
            {"version", version_},
            {"verdict", verdict_of(seen, active, findings)},
            {"fatwalds", std::move(fatwalds)},
            {"active", or_null(active)},
            {"slot", std::move(slot)},
            {"database_failure", !seen.asks_database ? Json()
                                 : seen.database     ? Json(seen.database->failure)
                                                     : Json("it has not answered yet")},
            {"retention",
             {{"bytes", retention_of(status, "retention_bytes")},
              {"seconds", retention_of(status, "retention_seconds")}}},
            {"holds", std::move(holds)},
            {"flow", flow_now},
            {"point", point},
            {"findings", std::move(said)}};
}

Json State::history() const { return {{"points", points_}}; }

}  // namespace fatwal::console
