// fatwal: the command line for people.
//
// Each command has a function that declares its options. It gives CLI11 a callback, which runs when
// the arguments name the command: it checks what depends on several options and leaves in Chosen
// what is to be run. Its arguments live in the callback, so a command is one function here and its
// work in a file of its own (commands.h).
#include <CLI/CLI.hpp>
#include <zmq.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/provider.h"
#include "manual/manual.h"

namespace fatwal::cli {

namespace {

// What the arguments ask for; it gives the exit status.
using Chosen = std::function<int()>;

constexpr char kControlHelp[] = "endpoint of fatwald's control socket";
constexpr char kDatabaseHelp[] = "libpq connection string; read by psql";

// --account KEY or --operators, of which a command needs one. `check()` says so, as CLI11 has no
// rule for it.
struct AccountOptions {
    CLI::Option* account;
    CLI::Option* operators;

    AccountOptions(CLI::App& command, std::string& key, const char* key_help, bool& of_operators,
                   const char* operators_help)
        : account(command.add_option("--account", key, key_help)),
          operators(command.add_flag("--operators", of_operators, operators_help)) {
        operators->excludes(account);
    }
    void check() const {
        if (operators->count() == 0 && account->count() == 0)
            throw CLI::RequiredError("--account KEY, or --operators,");
    }
};

void add_key_options(CLI::App& command, KeyArguments& arguments) {
    command.add_option("--key-file", arguments.key_file,
                       "our key pair, made by `fatwal keygen`, for a fatwald that asks for keys; "
                       "with --server-key also by FATWAL_KEY_FILE");
    command
        .add_option("--server-key", arguments.server_key,
                    "the public key of that fatwald: 40 characters, to be quoted")
        ->envname("FATWAL_SERVER_KEY");
}

// Says when one option lacks the other, or an endpoint both. FATWAL_KEY_FILE counts only beside a
// server's key: fatwald itself reads its own key file by that name.
void check_keys(KeyArguments& arguments, const std::vector<std::string>& endpoints) {
    const char* variable = std::getenv("FATWAL_KEY_FILE");
    if (!arguments.server_key.empty() && arguments.key_file.empty() && variable != nullptr)
        arguments.key_file = variable;
    if (!arguments.server_key.empty() && arguments.key_file.empty())
        throw CLI::ValidationError(
            "--server-key needs --key-file FILE: `fatwal keygen FILE` makes one");
    if (!arguments.key_file.empty() && arguments.server_key.empty())
        throw CLI::ValidationError(
            "--key-file needs --server-key KEY: what `fatwal keygen` printed when fatwald's key "
            "file was made");
    for (const std::string& endpoint : endpoints)
        if (!endpoint.starts_with("ipc://") && !endpoint.starts_with("tcp://"))
            throw CLI::ValidationError("--control '" + endpoint +
                                       "' is no endpoint: give ipc:///run/fatwal/control.sock, or "
                                       "tcp://HOST:PORT");
    if (!arguments.server_key.empty()) return;
    for (const std::string& endpoint : endpoints)
        if (endpoint.starts_with("tcp://"))
            throw CLI::ValidationError(endpoint +
                                       " needs --key-file FILE and --server-key KEY: over the "
                                       "network fatwald answers nobody without keys");
}

// Of a command that asks fatwald only where --control is given.
std::vector<std::string> asked(const std::string& control) {
    if (control.empty()) return {};
    return {control};
}

void add_output_options(CLI::App& command, TailArguments& arguments) {
    command
        .add_option("--count", arguments.count,
                    "leave after that many changes and rows. A transaction that this cuts is not "
                    "acknowledged: the next run prints it again as a whole")
        ->check(CLI::PositiveNumber);
    command.add_option("--format", arguments.format, "json or text")
        ->check(CLI::IsMember({"json", "text"}))
        ->capture_default_str();
    command
        .add_option("--numbers", arguments.numbers,
                    "exact: int8 and numeric as strings, which every reader of JSON keeps exact; "
                    "json: as JSON numbers, for a reader that keeps all their digits")
        ->check(CLI::IsMember({"exact", "json"}))
        ->capture_default_str();
    command
        .add_option("--max-transaction-bytes", arguments.max_transaction_bytes,
                    "the largest transaction that is held in memory, such as 4GB; of a larger "
                    "one the output says that it is missing, and --snapshot prints the rows again")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command
        .add_option("--resync-interval-ms", arguments.resync_interval_ms,
                    "the least time between two snapshots that resync records ask for")
        ->check(CLI::Range(0, 3'600'000))
        ->capture_default_str();
    command.add_option("--ready-file", arguments.ready_file,
                       "made when the subscription has joined");
}

void add_tail(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<TailArguments>();
    CLI::App& command = *app.add_subcommand(
        "tail", "print the changes of an account, one a line, as they are committed");
    command
        .add_option(
            "--control", arguments->control,
            "endpoint of fatwald's control socket; several, by commas, of those that take over")
        ->required()
        ->delimiter(',')
        ->envname("FATWAL_CONTROL");
    const AccountOptions account(command, arguments->account, "key of the account",
                                 arguments->operators,
                                 "the operators' stream: changes that have no account");
    command.add_flag(
        "--snapshot", arguments->snapshot,
        "begin with the account's rows, and print them again when changes cannot be replayed");
    command.add_option("--durable", arguments->durable,
                       "name under which fatwald keeps what was not printed yet; with "
                       "--cursor-file or --snapshot");
    command.add_option("--cursor-file", arguments->cursor_file,
                       "resume where this file says, and keep it up to date");
    add_key_options(command, arguments->keys);
    add_output_options(command, *arguments);
    command.callback([arguments, account, &chosen] {
        account.check();
        check_keys(arguments->keys, arguments->control);
        if (!arguments->durable.empty() && arguments->cursor_file.empty() && !arguments->snapshot)
            throw CLI::ValidationError(
                "--durable needs --cursor-file FILE, to resume where it stood, or --snapshot, to "
                "begin with the rows: "
                "what is kept for it would be passed over");
        chosen = [arguments] { return tail(*arguments); };
    });
}

// What doctor and bundle ask alike.
void add_doctor_options(CLI::App& command, DoctorArguments& arguments) {
    command.add_option("--control", arguments.control, kControlHelp)->envname("FATWAL_CONTROL");
    add_key_options(command, arguments.keys);
    command.add_option("--database", arguments.database, kDatabaseHelp)->envname("FATWAL_DATABASE");
    command
        .add_option("--slot", arguments.slot,
                    "fatwald's slot, if fatwald is not there to name it and it is not the only one")
        ->envname("FATWAL_SLOT");
}

void add_doctor(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<DoctorArguments>();
    CLI::App& command = *app.add_subcommand(
        "doctor",
        "say what is not as it should be with fatwald, the database, the slot, keys, clocks and "
        "versions, what it means and what mends it; exit status 0 all is well, 1 a warning, 2 an "
        "error");
    command.alias("check");
    add_doctor_options(command, *arguments);
    command.add_flag("--json", arguments->json, "one JSON object for each finding, one a line");
    command.add_flag("-v,--verbose", arguments->all, "list what is well, too");
    command.callback([arguments, &chosen] {
        check_keys(arguments->keys, asked(arguments->control));
        chosen = [arguments] { return doctor(*arguments); };
    });
}

void add_bundle(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<BundleArguments>();
    CLI::App& command = *app.add_subcommand(
        "bundle",
        "write an archive for whoever helps: what doctor finds, fatwald's values and lists, the "
        "server's settings, publications; no rows, passwords or keys");
    command.add_option("file", arguments->file, "the archive, as fatwal.tar.gz")->required();
    add_doctor_options(command, arguments->doctor);
    command.add_option("--log", arguments->logs,
                       "a log of fatwald, of which the last MiB; may be given several times");
    command.add_option("--settings", arguments->settings, "fatwald's settings file");
    command.add_flag("--accounts", arguments->accounts,
                     "with the names of accounts and subscribers; without it they are hashed");
    command.callback([arguments, &chosen] {
        check_keys(arguments->doctor.keys, asked(arguments->doctor.control));
        chosen = [arguments] { return bundle(*arguments); };
    });
}

void add_status(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<StatusArguments>();
    CLI::App& command = *app.add_subcommand("status", "print fatwald's values, one a line");
    command.add_option("--control", arguments->control, kControlHelp)
        ->required()
        ->envname("FATWAL_CONTROL");
    add_key_options(command, arguments->keys);
    command.add_flag("--json", arguments->json, "one JSON object, of strings");
    command.callback([arguments, &chosen] {
        check_keys(arguments->keys, {arguments->control});
        chosen = [arguments] { return status(*arguments); };
    });
}

void add_init(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<InitArguments>();
    CLI::App& command = *app.add_subcommand(
        "init",
        "set a database up for fatwald: extension or schema, role, account columns, identities, "
        "grants, publication. It may be run again; exit status 3: others have to do something, and "
        "nothing was changed");
    command.add_option("--database", arguments->database, kDatabaseHelp)
        ->required()
        ->envname("FATWAL_DATABASE");
    command.add_option("--publication", arguments->publication, "name of the publication")
        ->envname("FATWAL_PUBLICATION")
        ->capture_default_str();
    command.add_option("--slot", arguments->slot, "name of fatwald's slot")
        ->envname("FATWAL_SLOT")
        ->capture_default_str();
    CLI::Option* tables =
        command.add_option("--tables", arguments->tables, "tables to publish, separated by commas")
            ->delimiter(',');
    CLI::Option* all = command.add_flag("--all-tables", arguments->all_tables,
                                        "publish all tables, later ones too: needs a superuser");
    all->excludes(tables);
    command.add_option("--account-column", arguments->account_columns,
                       "TABLE=COLUMN: the column that names the account of the table's rows, if it "
                       "is not account_id; may be given several times");
    command.add_option("--role", arguments->role, "fatwald's role: made, or given what it lacks")
        ->capture_default_str();
    command
        .add_option("--plugin", arguments->plugin,
                    "fatwal: the extension; pgoutput: plain SQL, where no extension is loaded")
        ->check(CLI::IsMember({"fatwal", "pgoutput"}))
        ->capture_default_str();
    command.add_option("--provider", arguments->provider, "who runs the server")
        ->check(CLI::IsMember(provider_names()))
        ->capture_default_str();
    command.add_flag("--keep-identities", arguments->keep_identities,
                     "leave the replica identities of the tables as they are");
    command.add_flag("--create-slot", arguments->create_slot,
                     "make the slot too, last: the server keeps WAL from then on. Without it "
                     "fatwald makes it at its first start");
    command.add_flag("--dry-run", arguments->dry_run,
                     "print what would be done, as a script for psql, and do nothing");
    command.callback([arguments, &chosen] {
        if (arguments->tables.empty() && !arguments->all_tables)
            throw CLI::RequiredError("--tables NAMES, or --all-tables,");
        for (const std::string& setting : arguments->account_columns)
            if (setting.find('=') == std::string::npos)
                throw CLI::ValidationError("--account-column " + setting +
                                           " is not of the form TABLE=COLUMN");
        chosen = [arguments] { return init(*arguments); };
    });
}

void add_slot(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<SlotArguments>();
    CLI::App& slot = *app.add_subcommand("slot", "look after fatwald's replication slot");
    slot.require_subcommand(1);
    const auto add = [&](const char* name, int (*run)(const SlotArguments&),
                         const char* description) -> CLI::App& {
        CLI::App& command = *slot.add_subcommand(name, description);
        command.add_option("--database", arguments->database, kDatabaseHelp)
            ->required()
            ->envname("FATWAL_DATABASE");
        command.add_option("--slot", arguments->slot, "fatwald's slot")
            ->envname("FATWAL_SLOT")
            ->capture_default_str();
        command.callback([arguments, run, &chosen] {
            check_keys(arguments->keys, asked(arguments->control));
            chosen = [arguments, run] { return run(*arguments); };
        });
        return command;
    };
    CLI::App& status =
        add("status", slot_status, "print how far it is, what it keeps and who holds it back");
    status.add_option("--control", arguments->control, kControlHelp)->envname("FATWAL_CONTROL");
    add_key_options(status, arguments->keys);
    CLI::App& advance =
        add("advance", slot_advance,
            "confirm WAL that fatwald has not confirmed, so that the server may take it away");
    advance.add_option("--upto", arguments->upto,
                       "the position, as 1/2A3B4C; without it the end of the WAL");
    CLI::App& drop = add("drop", slot_drop, "end it: the server keeps nothing more for fatwald");
    CLI::App& skip =
        add("skip", slot_skip,
            "move the slot to the end of the log, past a change that cannot be decoded; every "
            "subscriber then takes a new snapshot");
    for (CLI::App* command : {&advance, &drop, &skip})
        command->add_flag("--yes", arguments->yes, "do it; without it the cost is only printed");
}

void add_durable(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<DurableArguments>();
    CLI::App& command = *app.add_subcommand("durable", "list and forget durable subscribers");
    command.require_subcommand(1);
    command.add_option("--control", arguments->control, kControlHelp)
        ->required()
        ->envname("FATWAL_CONTROL");
    add_key_options(command, arguments->keys);
    command.add_subcommand("list", "print them, one a line, as JSON")->fallthrough();
    CLI::App& forget = *command.add_subcommand(
        "forget", "keep nothing more for a subscriber, which does not come back");
    forget.fallthrough();
    forget.add_option("--name", arguments->forget, "name of the subscriber")->required();
    const AccountOptions account(forget, arguments->account, "key of its account",
                                 arguments->operators, "a subscriber to the operators' stream");
    forget.callback([account] { account.check(); });
    command.callback([arguments, &chosen] {
        check_keys(arguments->keys, {arguments->control});
        chosen = [arguments] { return durable(*arguments); };
    });
}

// What the three lists have in common.
CLI::App& add_list(CLI::App& app, const char* name, const char* description,
                   const std::shared_ptr<RosterArguments>& arguments, Chosen& chosen) {
    CLI::App& command = *app.add_subcommand(name, description);
    command.add_option("--control", arguments->control, kControlHelp)
        ->required()
        ->envname("FATWAL_CONTROL");
    add_key_options(command, arguments->keys);
    command.add_flag("--json", arguments->json, "one JSON object a line, with whole numbers");
    command.callback([arguments, &chosen] {
        check_keys(arguments->keys, {arguments->control});
        // A subcommand has chosen before.
        if (!chosen) chosen = [arguments] { return roster(*arguments); };
    });
    return command;
}

void add_subscribers(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<RosterArguments>();
    const auto forgotten = std::make_shared<DurableArguments>();
    CLI::App& command =
        add_list(app, "subscribers", "print who is attached to fatwald, how far behind, and how",
                 arguments, chosen);
    CLI::App& forget = *command.add_subcommand(
        "forget", "keep nothing more for a durable subscriber, which does not come back");
    forget.fallthrough();
    forget.add_option("name", forgotten->forget, "name of the subscriber")->required();
    const AccountOptions account(forget, forgotten->account, "key of its account",
                                 forgotten->operators, "a subscriber to the operators' stream");
    command.add_option("--of-account", arguments->account, "of this account alone");
    forget.callback([arguments, forgotten, account, &chosen] {
        account.check();
        chosen = [arguments, forgotten] {
            forgotten->control = arguments->control;
            forgotten->keys = arguments->keys;
            return durable(*forgotten);
        };
    });
}

void add_holds(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<RosterArguments>();
    arguments->list = RosterArguments::List::Holds;
    CLI::App& command = add_list(
        app, "holds", "print who keeps fatwald's slot back, the worst first, and until when",
        arguments, chosen);
    command.add_option("--top", arguments->top, "at most so many")->check(CLI::PositiveNumber);
}

void add_accounts(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<RosterArguments>();
    arguments->list = RosterArguments::List::Accounts;
    CLI::App& command = add_list(
        app, "accounts", "print the accounts that fatwald has in memory, and what came of each",
        arguments, chosen);
    command.add_option("--by", arguments->by, "their order: key; bytes or subscribers, most first")
        ->check(CLI::IsMember({"key", "bytes", "subscribers"}))
        ->capture_default_str();
    command.add_option("--top", arguments->top, "at most so many")->check(CLI::PositiveNumber);
}

void add_console(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<ConsoleArguments>();
    CLI::App& command = *app.add_subcommand(
        "console", "show fatwald, its slot, accounts and subscribers in a browser, live");
    command
        .add_option("--control", arguments->control,
                    "endpoint of fatwald's control socket; several, by commas, of those that take "
                    "over")
        ->required()
        ->delimiter(',')
        ->envname("FATWAL_CONTROL");
    add_key_options(command, arguments->keys);
    command.add_option("--database", arguments->database, kDatabaseHelp)
        ->envname("FATWAL_DATABASE");
    command
        .add_option("--slot", arguments->slot,
                    "fatwald's slot, to show it while no fatwald is there to name it")
        ->envname("FATWAL_SLOT");
    command.add_option("--channel", arguments->channels,
                       "admin socket of a process fatwal-channel; may be repeated");
    command
        .add_option("--http", arguments->http,
                    "ADDRESS:PORT for browsers; any but a loopback address needs --http-token-file")
        ->capture_default_str();
    command.add_option("--http-token-file", arguments->http_token_file,
                       "file whose one line is what people log in with");
    command.add_option("--ready-file", arguments->ready_file, "gets the port, once it listens");
    command.callback([arguments, &chosen] {
        check_keys(arguments->keys, arguments->control);
        chosen = [arguments] { return console(*arguments); };
    });
}

void add_events(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<EventsArguments>();
    CLI::App& command = *app.add_subcommand(
        "events", "print the newest lines of fatwald's log, which it keeps in memory");
    command.add_option("--control", arguments->control, kControlHelp)
        ->required()
        ->envname("FATWAL_CONTROL");
    add_key_options(command, arguments->keys);
    command.add_flag("--follow", arguments->follow,
                     "go on with those that come, also of a fatwald that was restarted");
    command.add_flag("--json", arguments->json, "one JSON object a line");
    command.callback([arguments, &chosen] {
        check_keys(arguments->keys, {arguments->control});
        chosen = [arguments] { return events(*arguments); };
    });
}

void add_keygen(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<KeygenArguments>();
    CLI::App& command = *app.add_subcommand(
        "keygen", "make a key pair, for fatwald or for a subscriber, and print its public key");
    command.add_option("file", arguments->file, "where the pair is written, for its owner alone")
        ->required();
    command.callback([arguments, &chosen] { chosen = [arguments] { return keygen(*arguments); }; });
}

void add_channel(CLI::App& app, Chosen& chosen) {
    using Command = ChannelArguments::Command;
    const auto arguments = std::make_shared<ChannelArguments>();
    CLI::App& channel_command = *app.add_subcommand(
        "channel", "show and end what is connected to a process fatwal-channel");
    channel_command.require_subcommand(1);
    channel_command
        .add_option("--admin-socket", arguments->socket, "where the process has its admin socket")
        ->required()
        ->envname("FATWAL_CHANNEL_ADMIN_SOCKET");
    const auto add = [&](const char* name, Command command, const char* description) -> CLI::App& {
        CLI::App& out = *channel_command.add_subcommand(name, description)->fallthrough();
        out.callback([arguments, command] { arguments->command = command; });
        return out;
    };
    add("list", Command::List, "print the sessions of the process, one a line, as JSON")
        .add_option("--account", arguments->account, "of this account alone");
    add("stats", Command::Stats, "print the counts of the process");
    CLI::App& why =
        add("why", Command::Why,
            "say why a client reaches a resource, or why not: the policies with their conditions, "
            "until when, and through which gateway");
    why.add_option("--account", arguments->account, "the account; without it the client's");
    why.add_flag("--json", arguments->json, "print the whole answer as one JSON object");
    CLI::App& disconnect = add(
        "disconnect", Command::Disconnect,
        "end a session, whichever process has it. The device may connect again: to keep it out, "
        "delete its token");
    CLI::App& reject =
        add("reject", Command::Reject,
            "take a resource away from a client at every gateway. The client may ask for it again "
            "as long as a policy grants it");
    for (CLI::App* command : {&disconnect, &reject})
        command->add_option("--account", arguments->account, "the account")->required();
    disconnect.add_option("--kind", arguments->kind, "client or gateway")
        ->required()
        ->check(CLI::IsMember({"client", "gateway"}));
    disconnect.add_option("--id", arguments->id, "of the device")->required();
    for (CLI::App* command : {&why, &reject}) {
        command->add_option("--client", arguments->client, "of the pair")->required();
        command->add_option("--resource", arguments->resource, "of the pair")->required();
    }
    channel_command.callback(
        [arguments, &chosen] { chosen = [arguments] { return channel(*arguments); }; });
}

void add_codegen(CLI::App& app, Chosen& chosen) {
    const auto arguments = std::make_shared<CodegenArguments>();
    const auto language = std::make_shared<std::string>("cpp");
    CLI::App& command =
        *app.add_subcommand("codegen", "write the published tables as structs with decoders");
    command.add_option("--database", arguments->database, kDatabaseHelp)
        ->required()
        ->envname("FATWAL_DATABASE");
    command
        .add_option("--publication", arguments->publication,
                    "publications, separated by commas, whose tables")
        ->required();
    command.add_option("--language", *language, "cpp")
        ->check(CLI::IsMember({"cpp"}))
        ->capture_default_str();
    command.add_option("--namespace", arguments->name_space, "of the code, such as app::rows")
        ->required();
    command.add_option("--output-header", arguments->output_header, "file for the structs")
        ->required();
    command.add_option("--output-source", arguments->output_source, "file for their decoders")
        ->required();
    command.callback(
        [arguments, language, &chosen] { chosen = [arguments] { return codegen(*arguments); }; });
}

int run(int argc, char** argv) {
    CLI::App app{"Shows what fatwald streams."};
    app.set_version_flag("--version", "fatwal " FATWAL_VERSION);
    app.require_subcommand(1);
    Chosen chosen;
    for (const auto add : {add_tail, add_doctor, add_bundle, add_status, add_init, add_slot,
                           add_durable, add_subscribers, add_holds, add_accounts, add_events,
                           add_console, add_keygen, add_channel, add_codegen})
        add(app, chosen);
    manual::add_generate(
        app, {.name = "fatwal",
              .version = FATWAL_VERSION,
              .sections = {{"EXIT STATUS",
                            "0: done as asked. 1: failed. 2: the arguments are wrong. 3: done, but "
                            "not all is as it should be: changes were or may have been missed "
                            "(tail), others have to do something (init). doctor: 0 all is well, 1 "
                            "a warning, 2 an error."}},
              .see_also = {"fatwald(8)", "fatwal-channel(8)", "psql(1)"}});
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    try {
        return chosen();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fatwal: %s\n", error.what());
        return 1;
    }
}

}  // namespace

}  // namespace fatwal::cli

int main(int argc, char** argv) { return fatwal::cli::run(argc, argv); }
