#include "sidecar/settings.h"

#include <toml++/toml.h>
#include <CLI/CLI.hpp>

#include <sys/un.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "fatwal/wire/publication_names.h"

namespace fatwal::sidecar {

namespace {

// A setting has one name: `run_dir` in the file is --run-dir and FATWAL_RUN_DIR.
std::string flag_of(std::string name) {
    for (char& c : name)
        if (c == '_') c = '-';
    return "--" + name;
}

std::string variable_of(const std::string& name) {
    std::string variable = "FATWAL_";
    for (const char c : name)
        variable += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return variable;
}

class Options {
public:
    explicit Options(CLI::App& app) : app_(app) {}

    template <class T>
    CLI::Option* add(const std::string& name, T& value, const std::string& description) {
        CLI::Option* option = app_.add_option(flag_of(name), value, description)
                                  ->envname(variable_of(name))
                                  ->capture_default_str();
        options_[name] = option;
        return option;
    }

    // Takes from the file what neither flag nor environment gave.
    void merge(const toml::table& file) {
        for (const auto& [key, node] : file) {
            const auto found = options_.find(std::string(key.str()));
            if (found == options_.end())
                throw CLI::ConfigError("unknown setting \"" + std::string(key.str()) +
                                       "\"; known: " + names());
            if (found->second->count() > 0) continue;
            found->second->add_result(text_of(found->first, node));
            found->second->run_callback();
        }
    }

private:
    static std::string text_of(const std::string& name, const toml::node& node) {
        if (const auto* text = node.as_string()) return text->get();
        if (const auto* number = node.as_integer()) return std::to_string(number->get());
        if (const auto* boolean = node.as_boolean()) return boolean->get() ? "true" : "false";
        throw CLI::ConfigError("setting \"" + name + "\" must be a string, a number or a boolean");
    }

    std::string names() const {
        std::string all;
        for (const auto& [name, option] : options_) all += (all.empty() ? "" : ", ") + name;
        return all;
    }

    CLI::App& app_;
    std::map<std::string, CLI::Option*> options_;
};

// Whoever can connect to the control socket has every account's rows. File permissions decide who
// can, so it has to be a file: not a network's address, and not an abstract name, which has none.
std::optional<Failure> refusal_of_control(const std::string& control) {
    constexpr std::string_view kScheme = "ipc://";
    const std::string path = control.starts_with(kScheme) ? control.substr(kScheme.size()) : "";
    if (path.empty() || path[0] == '@' || path[0] == '*')
        return Failure{"the control endpoint is not a socket file", control,
                       "Whoever can connect to it can read every account, and only a file's "
                       "permissions say who can. Give --control ipc:///FOLDER/NAME.sock."};
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        return Failure{"the control endpoint's path is too long", control,
                       "Choose one of at most " +
                           std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                           " bytes with --control."};
    return std::nullopt;
}

}  // namespace

std::variant<Settings, ShowAndExit, Failure> load_settings(int argc, char** argv) {
    Settings settings;
    CLI::App app{"Streams a fatwal replication slot into one ZeroMQ socket for each account."};
    app.set_version_flag("--version", "fatwald " FATWAL_VERSION);
    std::string config;
    app.add_option("--config", config, "TOML file with any of the settings below")
        ->envname("FATWAL_CONFIG");
    Options options(app);
    options.add("database", settings.database, "libpq connection string of the database to stream");
    options.add("slot", settings.slot, "replication slot; made when absent");
    options.add("publication", settings.publication,
                "publications, separated by commas; a name may stand in double quotes");
    options.add("run_dir", settings.run_dir, "folder for the sockets and the lock");
    options.add("control", settings.control,
                "endpoint of the control socket; default ipc://RUN_DIR/control.sock");
    options.add("log_level", settings.log_level, "least severity that is logged")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}));
    options
        .add("layout", settings.layout,
             "a socket for each account, or one that all share: for subscribers that may hear all "
             "of them")
        ->check(CLI::IsMember({"account", "shared"}));
    options
        .add("send_high_water_mark", settings.send_high_water_mark,
             "messages queued for each subscriber; default 1000, with a shared socket 100000")
        ->check(CLI::Range(10, 1'000'000));
    options
        .add("heartbeat_interval_ms", settings.heartbeat_interval_ms,
             "between heartbeats on an account's socket")
        ->check(CLI::Range(100, 10'000));
    options
        .add("confirm_interval_ms", settings.confirm_interval_ms,
             "most time between confirmations to Postgres")
        ->check(CLI::Range(100, 10'000));
    options.add("shutdown_drain_ms", settings.shutdown_drain_ms, "most time for an orderly end")
        ->check(CLI::Range(0, 60'000));
    options
        .add("frame_bytes", settings.frame_bytes,
             "size at which an account's part of a transaction is split")
        ->check(CLI::Range(1024, 16'777'216));
    options.add("messages", settings.messages, "whether logical messages are streamed");
    constexpr std::int64_t kMost = std::int64_t{1} << 50;
    options
        .add("replay_bytes", settings.replay_bytes, "published messages kept for replay, in all")
        ->check(CLI::Range(std::int64_t{0}, kMost));
    options.add("replay_account_bytes", settings.replay_account_bytes, "the same for one account")
        ->check(CLI::Range(std::int64_t{0}, kMost));
    options
        .add("retention_bytes", settings.retention_bytes,
             "WAL that a subscriber may hold before it is dropped")
        ->check(CLI::Range(std::int64_t{1}, kMost));
    options
        .add("retention_s", settings.retention_s,
             "seconds for which a subscriber may hold WAL without progress")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{31'536'000}));
    options.add("max_durables", settings.max_durables, "durable subscribers, in all")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{10'000'000}));
    options
        .add("max_account_durables", settings.max_account_durables,
             "durable subscribers of one account")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{10'000'000}));
    options
        .add("snapshot_concurrency", settings.snapshot_concurrency,
             "snapshots read from the database at a time")
        ->check(CLI::Range(1, 64));
    options
        .add("snapshot_reuse_ms", settings.snapshot_reuse_ms,
             "for which a snapshot serves others of its account")
        ->check(CLI::Range(0, 600'000));
    options
        .add("reread_concurrency", settings.reread_concurrency,
             "subscribers at a time that are served from the slot again")
        ->check(CLI::Range(0, 16));
    options.add(
        "spool_dir", settings.spool_dir,
        "folder where snapshots wait for their readers; default the system's for temporary files");
    options
        .add("spool_bytes", settings.spool_bytes,
             "bytes of snapshots and replays that wait there, in all; beyond it they wait, or are "
             "refused with the reason")
        ->check(CLI::Range(std::int64_t{1'048'576}, kMost));
    options
        .add("on_lost_slot", settings.on_lost_slot,
             "what to do when the slot is lost or missing: stop, or resync every subscriber")
        ->check(CLI::IsMember({"stop", "resync"}));

    try {
        app.parse(argc, argv);
        if (!config.empty()) options.merge(toml::parse_file(config));
    } catch (const CLI::CallForHelp& help) {
        return ShowAndExit{app.exit(help)};
    } catch (const CLI::CallForVersion& version) {
        return ShowAndExit{app.exit(version)};
    } catch (const CLI::Error& error) {
        return Failure{error.what(), {}, "fatwald --help lists the settings."};
    } catch (const toml::parse_error& error) {
        return Failure{"cannot read the configuration file \"" + config + "\"",
                       std::string(error.description()),
                       {}};
    }
    if (settings.database.empty())
        return Failure{"no database is given",
                       {},
                       "Give --database 'host=… dbname=… user=…', or FATWAL_DATABASE."};
    std::string error;
    auto publications = wire::split_publication_names(settings.publication, error);
    if (!publications)
        return Failure{
            "--publication " + settings.publication + " is not a list of publication names", error,
            wire::kPublicationNamesHint};
    settings.publications = std::move(*publications);
    if (settings.control.empty()) settings.control = "ipc://" + settings.run_dir + "/control.sock";
    if (settings.send_high_water_mark == 0)
        settings.send_high_water_mark = settings.shared() ? 100'000 : 1000;
    if (auto failure = refusal_of_control(settings.control)) return std::move(*failure);
    if (settings.spool_dir.empty()) {
        std::error_code missing;
        settings.spool_dir = std::filesystem::temp_directory_path(missing);
        if (missing)
            return Failure{"there is no folder for temporary files", missing.message(),
                           "Make the folder that TMPDIR names, or choose one with --spool-dir."};
    }
    return settings;
}

}  // namespace fatwal::sidecar
