// The settings of a program, as one list of specifications. From it come the flags, the names in
// the environment and in the file, --help, the checks, and the table in docs/configuration.md
// (which a unit test of the program compares), so that each setting is described in one place:
//
//     struct Settings {
//         int frame_bytes = 65'536;
//     };
//     std::vector<service::Setting> specifications(Settings& s) {
//         return {{.name = "frame_bytes",
//                  .value = &s.frame_bytes,
//                  .unit = "bytes",
//                  .range = {1024, 16'777'216},
//                  .sentence = "size at which an account's part of a transaction is split"}};
//     }
//
// A setting has one name, in snake_case. `frame_bytes` of the program with the prefix FATWAL_ is
// `--frame-bytes` on the command line, FATWAL_FRAME_BYTES in the environment and `frame_bytes` in
// the TOML file of --config; the file also takes it with hyphens. The default is what the value
// holds before load(). The command line is before the environment, the environment before the file,
// the file before the default; whichever it is, one function reads the text and checks the range.
//
// --generate FOLDER writes the manual page, completions (manual/manual.h) and example_of() as
// `fatwal/NAME.toml`.
//
// CLI11 and toml++, which cost half a minute of compiling, are included by settings.cpp alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace fatwal::service {

// One of some names, for an enum: choice() makes it.
struct Choice {
    std::vector<std::string> names;
    std::size_t current = 0;  // the place of the value in them
    std::function<void(std::size_t)> set;
};

template <class Enum>
using Names = std::vector<std::pair<const char*, Enum>>;

template <class Enum>
Choice choice(Enum& value, Names<Enum> names) {
    Choice out;
    for (const auto& [name, each] : names) {
        if (each == value) out.current = out.names.size();
        out.names.emplace_back(name);
    }
    out.set = [&value, names = std::move(names)](std::size_t chosen) {
        value = names[chosen].second;
    };
    return out;
}

struct Range {
    // As the upper end: bounded by what the machine has. Small enough for sums of such values.
    static constexpr std::int64_t kEnough = std::int64_t{1} << 50;

    std::int64_t least = 0;
    std::int64_t most = 0;
};

struct Setting {
    // Where the value goes. A list has a flag for each of its values, commas between them in the
    // environment, and an array in the file.
    using Value =
        std::variant<std::string*, std::vector<std::string>*, int*, std::int64_t*, bool*, Choice>;

    const char* name = "";
    Value value;
    const char* unit = "";  // or what it is: `ms`, `bytes`, `libpq connection string`
    Range range = {};       // of a number
    bool needed = false;    // has no default
    bool reloads = false;   // SIGHUP may change it (reload.h)
    // What the docs show as the default where the value does not say it.
    const char* standard = "";
    // Of --help and the docs: what it is, in one sentence without a full stop. In Markdown, of
    // which --help leaves out the marks.
    const char* sentence = "";
    // Of the docs alone: what else its reader has to know.
    const char* more = "";
    // What the example of a file gives it, where there is no default to show.
    const char* example = "";
};

struct Program {
    const char* name = "";     // fatwald
    const char* version = "";  // 0.1.0
    const char* prefix = "";   // of the names in the environment, as FATWAL_
    const char* purpose = "";
    // Of its manual page: what the exit status says, and the pages beside it.
    const char* exit_status = "";
    std::vector<std::string> see_also = {};
};

enum class Load : std::uint8_t {
    Done,   // the values are set
    Shown,  // --help or --version was asked for, and is printed
};

// Throws a Failure that names the setting when one is unknown, missing, or not what it can be.
[[nodiscard]] Load load(const Program& program, const std::vector<Setting>& settings, int argc,
                        const char* const* argv);

// The file of --config, in `argv` or the environment; empty: there is none. Throws as load() does.
[[nodiscard]] std::string config_file(const Program& program, const std::vector<Setting>& settings,
                                      int argc, const char* const* argv);

// Gives a setting, which is no list, what load() reads of this text.
void give(const Setting& setting, const std::string& text);

// What the setting is now, as a text that load() reads; of a list, with commas.
[[nodiscard]] std::string value_of(const Setting& setting);

// An example of the TOML file that explains each setting. All are comments, so it changes nothing;
// each shows its default.
[[nodiscard]] std::string example_of(const Program& program, const std::vector<Setting>& settings);

// The docs' table, in Markdown, with the values as defaults.
[[nodiscard]] std::string table_of(const std::vector<Setting>& settings);

}  // namespace fatwal::service
