// The commands of the command line. Each gives the exit status: 0 as asked, 1 failed, 2 bad
// arguments, 3 changes were or may have been missed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fatwal::cli {

struct TailArguments {
    std::vector<std::string> control;
    std::string account;
    bool operators = false;
    bool snapshot = false;
    std::string durable;      // its name; empty: not durable
    std::string cursor_file;  // where to go on, and where to write how far it came
    std::uint64_t count = 0;  // 0: until stopped
    std::string format = "json";
    std::string ready_file;
};
int tail(const TailArguments& arguments);

struct CheckArguments {
    std::string control;
    std::string database;
};
int check(const CheckArguments& arguments);

struct SlotSkipArguments {
    std::string database;  // libpq connection string; read by psql
    std::string slot = "fatwal";
    bool yes = false;  // without it nothing is done
};
int slot_skip(const SlotSkipArguments& arguments);

struct CodegenArguments {
    std::string database;  // libpq connection string; read by psql
    std::string publication;
    std::string name_space;
    std::string output_header;
    std::string output_source;
};
int codegen(const CodegenArguments& arguments);

}  // namespace fatwal::cli
