// fatwal: the command line for people.
#include <CLI/CLI.hpp>
#include <zmq.hpp>

#include <csignal>
#include <cstdio>
#include <fstream>

#include "client/cli/commands.h"

int main(int argc, char** argv) {
    CLI::App app{"Shows what fatwald streams."};
    app.set_version_flag("--version", "fatwal " FATWAL_VERSION);
    app.require_subcommand(1);

    fatwal::cli::TailArguments tail;
    CLI::App* tail_command = app.add_subcommand(
        "tail", "print the changes of an account, one a line, as they are committed");
    tail_command
        ->add_option(
            "--control", tail.control,
            "endpoint of fatwald's control socket; several, by commas, of those that take over")
        ->required()
        ->delimiter(',')
        ->envname("FATWAL_CONTROL");
    auto* account = tail_command->add_option("--account", tail.account, "key of the account");
    tail_command
        ->add_flag("--operators", tail.operators,
                   "the operators' stream: changes that have no account")
        ->excludes(account);
    tail_command->add_flag(
        "--snapshot", tail.snapshot,
        "begin with the account's rows, and print them again when changes cannot be replayed");
    tail_command->add_option("--durable", tail.durable,
                             "name under which fatwald keeps what was not printed yet; with "
                             "--cursor-file or --snapshot");
    tail_command->add_option("--cursor-file", tail.cursor_file,
                             "resume where this file says, and keep it up to date");
    tail_command
        ->add_option("--count", tail.count,
                     "leave after that many changes and rows. A transaction that this cuts is not "
                     "acknowledged: the next run prints it again as a whole")
        ->check(CLI::PositiveNumber);
    tail_command->add_option("--format", tail.format, "json or text")
        ->check(CLI::IsMember({"json", "text"}))
        ->capture_default_str();
    tail_command
        ->add_option("--numbers", tail.numbers,
                     "exact: int8 and numeric as strings, which every reader of JSON keeps exact; "
                     "json: as JSON numbers, for a reader that keeps all their digits")
        ->check(CLI::IsMember({"exact", "json"}))
        ->capture_default_str();
    tail_command
        ->add_option("--max-transaction-bytes", tail.max_transaction_bytes,
                     "the largest transaction that is held in memory, such as 4GB; of a larger "
                     "one the output says that it is missing, and --snapshot prints the rows again")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    tail_command
        ->add_option("--resync-interval-ms", tail.resync_interval_ms,
                     "the least time between two snapshots that resync records ask for")
        ->check(CLI::Range(0, 3'600'000))
        ->capture_default_str();
    tail_command->add_option("--ready-file", tail.ready_file,
                             "made when the subscription has joined");

    fatwal::cli::CheckArguments check;
    CLI::App* check_command = app.add_subcommand(
        "check",
        "say whether fatwald streams and the database has what the stream needs; "
        "exit status 0 yes, 3 no, 1 it could not be checked");
    check_command->add_option("--control", check.control, "endpoint of fatwald's control socket")
        ->envname("FATWAL_CONTROL");
    check_command->add_option("--database", check.database, "libpq connection string; read by psql")
        ->envname("FATWAL_DATABASE");

    fatwal::cli::SlotSkipArguments skip;
    CLI::App* slot_command = app.add_subcommand("slot", "look after fatwald's replication slot");
    slot_command->require_subcommand(1);
    CLI::App* skip_command = slot_command->add_subcommand(
        "skip",
        "move the slot to the end of the log, past a change that cannot be decoded; every "
        "subscriber then takes a new snapshot");
    skip_command->add_option("--database", skip.database, "libpq connection string; read by psql")
        ->required()
        ->envname("FATWAL_DATABASE");
    skip_command->add_option("--slot", skip.slot, "fatwald's slot")
        ->envname("FATWAL_SLOT")
        ->capture_default_str();
    skip_command->add_flag("--yes", skip.yes, "do it; without it the cost is only printed");

    check_command->add_option("--format", check.format, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();

    fatwal::cli::DurableArguments durable;
    CLI::App* durable_command =
        app.add_subcommand("durable", "list and forget durable subscribers");
    durable_command->require_subcommand(1);
    durable_command
        ->add_option("--control", durable.control, "endpoint of fatwald's control socket")
        ->required()
        ->envname("FATWAL_CONTROL");
    durable_command->add_subcommand("list", "print them, one a line, as JSON")->fallthrough();
    CLI::App* forget_command = durable_command->add_subcommand(
        "forget", "keep nothing more for a subscriber, which does not come back");
    forget_command->fallthrough();
    forget_command->add_option("--name", durable.forget, "name of the subscriber")->required();
    auto* durable_account =
        forget_command->add_option("--account", durable.account, "key of its account");
    forget_command
        ->add_flag("--operators", durable.operators, "a subscriber to the operators' stream")
        ->excludes(durable_account);

    using Channel = fatwal::cli::ChannelArguments;
    Channel channel;
    CLI::App* channel_command =
        app.add_subcommand("channel", "show and end what is connected to a process fatwal-channel");
    channel_command->require_subcommand(1);
    channel_command
        ->add_option("--admin-socket", channel.socket, "where the process has its admin socket")
        ->required()
        ->envname("FATWAL_CHANNEL_ADMIN_SOCKET");
    const auto add_channel_command = [&](const char* name, Channel::Command command,
                                         const char* description) {
        CLI::App* out = channel_command->add_subcommand(name, description)->fallthrough();
        out->callback([&channel, command] { channel.command = command; });
        return out;
    };
    add_channel_command("list", Channel::Command::List,
                        "print the sessions of the process, one a line, as JSON")
        ->add_option("--account", channel.account, "of this account alone");
    add_channel_command("stats", Channel::Command::Stats, "print the counts of the process");
    CLI::App* disconnect_command = add_channel_command(
        "disconnect", Channel::Command::Disconnect,
        "end a session, whichever process has it. The device may connect again: to keep it out, "
        "delete its token");
    CLI::App* reject_command = add_channel_command(
        "reject", Channel::Command::Reject,
        "take a resource away from a client at every gateway. The client may ask for it again as "
        "long as a policy grants it");
    for (CLI::App* command : {disconnect_command, reject_command})
        command->add_option("--account", channel.account, "the account")->required();
    disconnect_command->add_option("--kind", channel.kind, "client or gateway")
        ->required()
        ->check(CLI::IsMember({"client", "gateway"}));
    disconnect_command->add_option("--id", channel.id, "of the device")->required();
    reject_command->add_option("--client", channel.client, "of the pair")->required();
    reject_command->add_option("--resource", channel.resource, "of the pair")->required();

    fatwal::cli::CodegenArguments codegen;
    std::string language = "cpp";
    CLI::App* codegen_command =
        app.add_subcommand("codegen", "write the published tables as structs with decoders");
    codegen_command
        ->add_option("--database", codegen.database, "libpq connection string; read by psql")
        ->required()
        ->envname("FATWAL_DATABASE");
    codegen_command
        ->add_option("--publication", codegen.publication,
                     "publications, separated by commas, whose tables")
        ->required();
    codegen_command->add_option("--language", language, "cpp")
        ->check(CLI::IsMember({"cpp"}))
        ->capture_default_str();
    codegen_command->add_option("--namespace", codegen.name_space, "of the code, such as app::rows")
        ->required();
    codegen_command->add_option("--output-header", codegen.output_header, "file for the structs")
        ->required();
    codegen_command->add_option("--output-source", codegen.output_source, "file for their decoders")
        ->required();

    try {
        app.parse(argc, argv);
        if (tail_command->parsed() && !tail.operators && account->count() == 0)
            throw CLI::RequiredError("--account KEY, or --operators,");
        if (forget_command->parsed() && !durable.operators && durable_account->count() == 0)
            throw CLI::RequiredError("--account KEY, or --operators,");
        if (!tail.durable.empty() && tail.cursor_file.empty() && !tail.snapshot)
            throw CLI::ValidationError(
                "--durable needs --cursor-file FILE, to resume where it stood, or --snapshot, to "
                "begin with the rows: "
                "what is kept for it would be passed over");
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    try {
        if (skip_command->parsed()) return fatwal::cli::slot_skip(skip);
        if (durable_command->parsed()) return fatwal::cli::durable(durable);
        if (channel_command->parsed()) return fatwal::cli::channel(channel);
        if (codegen_command->parsed()) return fatwal::cli::codegen(codegen);
        return tail_command->parsed() ? fatwal::cli::tail(tail) : fatwal::cli::check(check);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fatwal: %s\n", error.what());
        return 1;
    }
}
