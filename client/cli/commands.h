// The commands of the command line. Each gives the exit status: 0 as asked, 1 failed, 2 bad
// arguments, 3 done, but not all is as it should be: changes were or may have been missed (tail).
// Of doctor: 0 all is well or a note, 1 a warning, 2 an error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fatwal::cli {

// The keys by which a command is known to fatwald: both or none.
struct KeyArguments {
    std::string key_file;
    std::string server_key;
};

struct TailArguments {
    std::vector<std::string> control;
    KeyArguments keys;
    std::string account;
    bool operators = false;
    bool snapshot = false;
    std::string durable;      // its name; empty: not durable
    std::string cursor_file;  // where to go on, and where to write how far it came
    std::uint64_t count = 0;  // 0: until stopped
    std::string format = "json";
    std::string numbers = "exact";
    std::uint64_t max_transaction_bytes = 268'435'456;
    int resync_interval_ms = 10'000;
    std::string ready_file;
};
int tail(const TailArguments& arguments);

struct DoctorArguments {
    std::string control;
    KeyArguments keys;
    std::string database;  // libpq connection string; read by psql
    std::string slot;      // empty: the one that fatwald names, or that the database has
    bool json = false;
    bool all = false;  // list what is well, too
};
int doctor(const DoctorArguments& arguments);

struct BundleArguments {
    DoctorArguments doctor;  // what is asked
    std::string file;        // that is made
    std::string settings;    // a settings file of fatwald; empty: without
    std::vector<std::string> logs;
    bool accounts = false;  // with the names of accounts and subscribers as they are
};
int bundle(const BundleArguments& arguments);

struct StatusArguments {
    std::string control;
    KeyArguments keys;
    bool json = false;
};
int status(const StatusArguments& arguments);

struct InitArguments {
    std::string database;  // libpq connection string; read by psql
    std::string publication = "fatwal";
    std::string slot = "fatwal";
    std::vector<std::string> tables;  // as psql would name them
    bool all_tables = false;
    std::vector<std::string> account_columns;  // table=column
    std::string role = "fatwal";
    std::string plugin = "fatwal";
    std::string provider = "self";
    bool keep_identities = false;
    bool create_slot = false;
    bool dry_run = false;
};
int init(const InitArguments& arguments);

struct SlotArguments {
    std::string database;  // libpq connection string; read by psql
    std::string slot = "fatwal";
    std::string control;  // of status; empty: without those who hold the slot back
    KeyArguments keys;
    std::string upto;  // of advance; empty: to the end of the WAL
    bool yes = false;  // without it nothing is done
};
int slot_status(const SlotArguments& arguments);
int slot_advance(const SlotArguments& arguments);
int slot_drop(const SlotArguments& arguments);
int slot_skip(const SlotArguments& arguments);

struct DurableArguments {
    std::string control;
    KeyArguments keys;
    std::string forget;  // the name of the subscriber to forget; empty: list them
    std::string account;
    bool operators = false;
};
int durable(const DurableArguments& arguments);

// Lists that fatwald has: who is attached, who keeps WAL, which accounts there are.
struct RosterArguments {
    enum class List : std::uint8_t { Subscribers, Holds, Accounts };
    List list = List::Subscribers;
    std::string control;
    KeyArguments keys;
    std::string account;     // empty: of all (of Subscribers)
    std::string by = "key";  // the order (of Accounts): key, bytes or subscribers
    std::uint32_t top = 0;   // at most so many, the first ones; 0: all
    bool json = false;
};
int roster(const RosterArguments& arguments);

struct EventsArguments {
    std::string control;
    KeyArguments keys;
    bool follow = false;
    bool json = false;
};
int events(const EventsArguments& arguments);

struct ChannelArguments {
    enum class Command : std::uint8_t { List, Stats, Why, Disconnect, Reject };
    Command command = Command::List;
    std::string socket;   // of the process
    std::string account;  // empty: all (of List), the client's (of Why)
    std::string kind;     // client or gateway (of Disconnect)
    std::string id;
    std::string client;  // of Why and Reject
    std::string resource;
    bool json = false;  // of Why
};
int channel(const ChannelArguments& arguments);

struct ConsoleArguments {
    std::vector<std::string> control;  // of all fatwalds that take over from each other
    KeyArguments keys;
    std::string database;  // libpq connection string; read by psql. Empty: without the database
    std::string slot;      // empty: the one that fatwald names
    std::vector<std::string> channels;  // admin sockets of processes fatwal-channel
    std::string http = "127.0.0.1:7490";
    std::string http_token_file;
    std::string ready_file;  // gets the port
};
int console(const ConsoleArguments& arguments);

struct KeygenArguments {
    std::string file;  // that is made
};
int keygen(const KeygenArguments& arguments);

struct CodegenArguments {
    std::string database;  // libpq connection string; read by psql
    std::string publication;
    std::string name_space;
    std::string output_header;
    std::string output_source;
};
int codegen(const CodegenArguments& arguments);

}  // namespace fatwal::cli
