#include "sidecar/settings.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <zmq.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include "fatwal/wire/publication_names.h"
#include "service/failure.h"

namespace fatwal::sidecar {

namespace {

const service::Program kProgram = {
    .name = "fatwald",
    .version = FATWAL_VERSION,
    .prefix = "FATWAL_",
    .purpose = "Streams a fatwal replication slot into one ZeroMQ socket for each account.",
    .exit_status =
        "0: ended by SIGTERM or SIGINT. 1: a failure that trying again would not mend, whose "
        "message says what mends it; or an end by force.",
    .see_also = {"fatwal(1)", "fatwal-channel(8)"},
};

// Whoever can connect to the control socket has every account's rows. File permissions decide who
// can, so it has to be a file: not a network's address, and not an abstract name, which has none.
void check_control(const std::string& control) {
    constexpr std::string_view kScheme = "ipc://";
    const std::string path = control.starts_with(kScheme) ? control.substr(kScheme.size()) : "";
    if (path.empty() || path[0] == '@' || path[0] == '*')
        throw service::Failure("the control endpoint is not a socket file", control,
                               "Whoever can connect to it can read every account, and only a "
                               "file's permissions say who can. Give --control "
                               "ipc:///FOLDER/NAME.sock.");
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        throw service::Failure("the control endpoint's path is too long", control,
                               "Choose one of at most " +
                                   std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                                   " bytes with --control.");
}

bool is_endpoint(const std::string& text) {
    return (text.starts_with("tcp://") && text.find_last_of(':') > 5) ||
           (text.starts_with("ipc:///") && text.size() - 6 < sizeof(sockaddr_un::sun_path));
}

wire::KeyPair read_keys(const std::string& path) {
    const std::string hint = "fatwal keygen " + path + " makes one.";
    struct stat status {};
    if (stat(path.c_str(), &status) != 0)
        throw service::Failure("the key file cannot be read",
                               path + ": " + std::strerror(errno) + '.', hint);
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        throw service::Failure("the key file is not its owner's alone", path,
                               "Whoever reads it can pose as this fatwald: chmod 600 " + path);
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    auto keys = wire::key_pair_in(text.str());
    std::array<char, 41> derived{};
    if (!keys || zmq_curve_public(derived.data(), keys->secret_key.c_str()) != 0 ||
        keys->public_key != derived.data())
        throw service::Failure("the key file holds no key pair", path, hint);
    return std::move(*keys);
}

// All of what peers with keys need, or none of it.
void check_keyed(Settings& s) {
    if (s.keyed_control.empty() && s.keyed_data.empty() && s.advertise.empty() &&
        s.key_file.empty())
        return;
    for (const auto& [name, value] :
         {std::pair("--keyed-control", &s.keyed_control), std::pair("--keyed-data", &s.keyed_data),
          std::pair("--key-file", &s.key_file)})
        if (value->empty())
            throw service::Failure(std::string(name) + " is missing",
                                   "Subscribers with keys need --keyed-control, --keyed-data and "
                                   "--key-file.",
                                   std::string("Give ") + name + ", or none of them.");
    for (const auto& [name, value] :
         {std::pair("--keyed-control", s.keyed_control), std::pair("--keyed-data", s.keyed_data)})
        if (!is_endpoint(value))
            throw service::Failure(std::string(name) + " is not an endpoint", value,
                                   "Give tcp://ADDRESS:PORT, or ipc:///FOLDER/NAME.sock.");
    if (!s.shared())
        throw service::Failure("subscribers with keys need --layout shared", "",
                               "Give it, or take --keyed-control out.");
    const std::string::size_type host = std::string_view("tcp://").size();
    const bool is_wild =
        s.keyed_data.starts_with("tcp://") && (s.keyed_data.compare(host, 2, "*:") == 0 ||
                                               s.keyed_data.compare(host, 8, "0.0.0.0:") == 0 ||
                                               s.keyed_data.compare(host, 5, "[::]:") == 0);
    if (s.advertise.empty()) s.advertise = s.keyed_data;
    if (s.advertise == s.keyed_data && is_wild)
        throw service::Failure("subscribers cannot connect to " + s.keyed_data,
                               "It is every address of this machine.",
                               "Say how they reach it with --advertise tcp://HOST:PORT.");
    if (!is_endpoint(s.advertise))
        throw service::Failure("--advertise is not an endpoint", s.advertise,
                               "Give tcp://HOST:PORT.");
    s.server_keys = read_keys(s.key_file);
}

std::vector<std::string> names_in(const std::string& publication) {
    std::string error;
    auto names = wire::split_publication_names(publication, error);
    if (!names)
        throw service::Failure(
            "--publication " + publication + " is not a list of publication names", error,
            wire::kPublicationNamesHint);
    return std::move(*names);
}

std::string temporary_folder() {
    std::error_code missing;
    const auto folder = std::filesystem::temp_directory_path(missing);
    if (missing)
        throw service::Failure("there is no folder for temporary files", missing.message(),
                               "Make the folder that TMPDIR names, or choose one with "
                               "--spool-dir.");
    return folder;
}

}  // namespace

const service::Program& program() { return kProgram; }

std::vector<service::Setting> specifications(Settings& s) {
    auto levels = service::log_levels();
    levels.resize(static_cast<std::size_t>(service::LogLevel::Error) + 1);
    return {
        {.name = "database",
         .value = &s.database,
         .unit = "libpq connection string",
         .needed = true,
         .sentence = "the database to stream",
         .more = "Its role needs REPLICATION, and CONNECT for the checks. Several servers: "
                 "[configuration.md](#connections)",
         .example = "host=/var/run/postgresql dbname=app user=fatwal"},
        {.name = "slot", .value = &s.slot, .sentence = "the replication slot; made when absent"},
        {.name = "plugin",
         .value = service::choice<Plugin>(
             s.plugin, {{"fatwal", Plugin::Fatwal}, {"pgoutput", Plugin::Pgoutput}}),
         .sentence = "output plugin of the slot",
         .more = "`pgoutput` is for servers that load no plugin but their own: "
                 "[pgoutput.md](pgoutput.md)"},
        {.name = "publication",
         .value = &s.publication,
         .unit = "[publication names](#publication-names)",
         .sentence = "the publications to stream, separated by commas"},
        {.name = "run_dir",
         .value = &s.run_dir,
         .unit = "at most 67 bytes",
         .sentence = "folder of the sockets and the lock",
         .more = "fatwald makes it with mode 0750. An existing folder keeps its mode, and is "
                 "refused if everybody may write to it. Each fatwald needs its own"},
        {.name = "control",
         .value = &s.control,
         .unit = "`ipc://` and a path of at most 107 bytes",
         .standard = "`ipc://RUN_DIR/control.sock`",
         .sentence = "endpoint of the control socket, where subscribers attach",
         .more = "Whoever may open it can follow every account, so it is a file: other endpoints "
                 "are refused. Each fatwald needs its own: the lock is the same path with `.lock` "
                 "behind it"},
        {.name = "keyed_control",
         .value = &s.keyed_control,
         .unit = "`tcp://ADDRESS:PORT`, or `ipc://` and a path",
         .standard = "(none)",
         .sentence = "endpoint of a second control socket, for subscribers with keys",
         .more = "What each may follow, the database says: [security.md](security.md#credentials). "
                 "With it go `keyed_data`, `key_file` and `layout` = `shared`; "
                 "[network.md](network.md) sets it up"},
        {.name = "keyed_data",
         .value = &s.keyed_data,
         .unit = "`tcp://ADDRESS:PORT`, or `ipc://` and a path",
         .standard = "(none)",
         .sentence = "endpoint of the data socket for subscribers with keys"},
        {.name = "advertise",
         .value = &s.advertise,
         .unit = "`tcp://HOST:PORT`",
         .standard = "`keyed_data`",
         .sentence = "data endpoint that fatwald names to subscribers with keys",
         .more = "Where fatwald listens on every address (`tcp://*:7402`), or behind a load "
                 "balancer: how subscribers reach `keyed_data`"},
        {.name = "key_file",
         .value = &s.key_file,
         .unit = "file",
         .standard = "(none)",
         .sentence = "fatwald's key pair, which `fatwal keygen` makes",
         .more = "Its public key is what subscribers know fatwald by: fatwalds that take over from "
                 "each other have the same file. For its owner alone (mode 0600)"},
        {.name = "max_keyed_connections",
         .value = &s.max_keyed_connections,
         .range = {4, 1'000'000},
         .sentence = "connections of subscribers with keys, two for each process; those beyond it "
                     "are closed as they come",
         .more = "One credential has a quarter of them. Each costs some 100 KB. At most half of "
                 "the descriptors are theirs, whatever it says"},
        {.name = "log_level",
         .value = service::choice(s.log_level, levels),
         .reloads = true,
         .sentence = "least severity that is logged, to standard error"},
        {.name = "log_format",
         .value = service::choice(s.log_format, service::log_formats()),
         .sentence = "whether a line of the log is text, or a JSON object with `time`, `level` and "
                     "`message`"},
        {.name = "layout",
         .value = service::choice<Layout>(
             s.layout, {{"account", Layout::Account}, {"shared", Layout::Shared}}),
         .sentence = "a socket for each account, or one for all",
         .more = "One for all is less work where a process follows many accounts "
                 "(`SubscriptionGroup`), but **whoever may connect can read every account**"},
        {.name = "send_high_water_mark",
         .value = &s.send_high_water_mark,
         .unit = "messages",
         .range = {10, 1'000'000},
         .standard = "1000; shared: 100000",
         .sentence = "messages queued for each subscriber; fatwald drops those beyond it for that "
                     "subscriber, which sees a gap"},
        {.name = "heartbeat_interval_ms",
         .value = &s.heartbeat_interval_ms,
         .unit = "ms",
         .range = {100, 10'000},
         .sentence = "time between heartbeats on each account's socket",
         .more = "A subscriber that misses three turns to another fatwald"},
        {.name = "confirm_interval_ms",
         .value = &s.confirm_interval_ms,
         .unit = "ms",
         .range = {100, 10'000},
         .reloads = true,
         .sentence = "most time between confirmations to Postgres; a quarter of its "
                     "`wal_sender_timeout` if that is less"},
        {.name = "shutdown_drain_ms",
         .value = &s.shutdown_drain_ms,
         .unit = "ms",
         .range = {0, 60'000},
         .sentence = "most time for an orderly end of the stream at SIGTERM"},
        {.name = "frame_bytes",
         .value = &s.frame_bytes,
         .unit = "bytes",
         .range = {1024, 16'777'216},
         .sentence = "size at which an account's part of a transaction is split"},
        {.name = "messages",
         .value = &s.messages,
         .unit = "boolean",
         .sentence = "whether logical messages (`fatwal.emit`, `pg_logical_emit_message`) are "
                     "streamed"},
        {.name = "replay_bytes",
         .value = &s.replay_bytes,
         .unit = "bytes",
         .range = {0, service::Range::kEnough},
         .sentence = "published messages kept in memory for replay, in all"},
        {.name = "replay_account_bytes",
         .value = &s.replay_account_bytes,
         .unit = "bytes",
         .range = {0, service::Range::kEnough},
         .sentence = "published messages of one account kept in memory for replay"},
        {.name = "retention_bytes",
         .value = &s.retention_bytes,
         .unit = "bytes of WAL",
         .range = {1, service::Range::kEnough},
         .reloads = true,
         .sentence = "WAL that a durable subscriber may hold before it is dropped after "
                     "retention"},
        {.name = "retention_s",
         .value = &s.retention_s,
         .unit = "s",
         .range = {1, 31'536'000},
         .reloads = true,
         .sentence = "time for which a durable subscriber may hold WAL without progress before it "
                     "is dropped after retention"},
        {.name = "max_durables",
         .value = &s.max_durables,
         .range = {1, 10'000'000},
         .reloads = true,
         .sentence = "durable subscribers in all; further names are refused",
         .more =
             "`fatwal durable list --control …` shows them, `fatwal durable forget --control …` "
             "makes room; without `--control` they read `FATWAL_CONTROL`"},
        {.name = "max_account_durables",
         .value = &s.max_account_durables,
         .range = {1, 10'000'000},
         .reloads = true,
         .sentence = "durable subscribers of one account; further names are refused"},
        {.name = "max_credential_durables",
         .value = &s.max_credential_durables,
         .range = {1, 10'000'000},
         .reloads = true,
         .sentence = "durable subscribers of one credential, in all accounts; further names are "
                     "refused"},
        {.name = "snapshot_concurrency",
         .value = &s.snapshot_concurrency,
         .range = {1, 64},
         .sentence = "snapshots read from the database at a time",
         .more = "Each has a connection, which is kept while there is work for it and closed after "
                 "30 s without"},
        {.name = "snapshot_reuse_ms",
         .value = &s.snapshot_reuse_ms,
         .unit = "ms",
         .range = {0, 600'000},
         .reloads = true,
         .sentence = "time for which a snapshot serves other subscribers of its account, unless a "
                     "resync record has come since"},
        {.name = "reread_concurrency",
         .value = &s.reread_concurrency,
         .range = {0, 16},
         .sentence = "readings of the slot again at a time; each is a walsender and a temporary "
                     "slot",
         .more = "0: changes that left memory cannot be replayed (`TOO_OLD`)"},
        {.name = "spool_dir",
         .value = &s.spool_dir,
         .unit = "folder",
         .standard = "the system's for temporary files",
         .sentence = "where snapshots and what is read again wait for their readers, in unlinked "
                     "files"},
        {.name = "spool_bytes",
         .value = &s.spool_bytes,
         .unit = "bytes",
         .range = {1'048'576, service::Range::kEnough},
         .sentence = "bytes that wait in `spool_dir` and in memory for their readers, in all",
         .more = "Near the bound snapshots wait for their turn. fatwald drops those that nobody "
                 "reads first, then those whose reader has not come for 60 s. It refuses a "
                 "snapshot that passes the bound, with the reason. A replay from the slot that "
                 "reaches the bound goes to its readers as far as it came, and another reading "
                 "follows: a small bound makes replays slow. If a transaction takes half of the "
                 "bound or more, and does not fit, fatwald notifies the subscriber that it missed "
                 "changes, and the log names the size"},
        {.name = "on_lost_slot",
         .value = service::choice<OnLostSlot>(
             s.on_lost_slot, {{"stop", OnLostSlot::Stop}, {"resync", OnLostSlot::Resync}}),
         .sentence = "what to do when the slot is lost or missing: end with the reason, or make a "
                     "new one and have every subscriber take a snapshot"},
        {.name = "http",
         .value = &s.http,
         .unit = "`ADDRESS:PORT`",
         .standard = "(none)",
         .sentence = "where fatwald answers `/metrics`, `/healthz` and `/readyz`",
         .more = "`127.0.0.1:7480`, say; port 0 takes a free one, which the log names. Another "
                 "address than this machine's own needs `http_token_file`. "
                 "[operations.md](operations.md#metrics) has the pages"},
        {.name = "http_token_file",
         .value = &s.http_token_file,
         .unit = "file",
         .standard = "(none)",
         .sentence = "file with the token that `http` asks for (`Authorization: Bearer TOKEN`)",
         .more = "A line of 16 to 512 characters, for its owner alone (mode 0600)"},
    };
}

std::optional<Settings> load_settings(int argc, const char* const* argv) {
    Settings settings;
    if (service::load(kProgram, specifications(settings), argc, argv) == service::Load::Shown)
        return std::nullopt;
    settings.publications = names_in(settings.publication);
    if (settings.control.empty()) settings.control = "ipc://" + settings.run_dir + "/control.sock";
    check_control(settings.control);
    check_keyed(settings);
    if (settings.send_high_water_mark == 0)
        settings.send_high_water_mark = settings.shared() ? 100'000 : 1000;
    settings.http_options = service::http_options(settings.http, settings.http_token_file);
    if (settings.spool_dir.empty()) settings.spool_dir = temporary_folder();
    return settings;
}

}  // namespace fatwal::sidecar
