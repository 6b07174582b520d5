// The manual pages of a program and the completions of bash and zsh, made of what CLI11 knows of
// its options. So an option is described once, where it is read:
//
//     CLI::App app{"Shows what fatwal streams."};
//     app.add_flag("--yes", yes, "do it");
//     manual::add_generate(app, {.name = "fatwal", .version = "0.1.0"});
//
// `fatwal --generate FOLDER` then writes below FOLDER, in the places that they have below
// /usr/share:
//
//     man/man1/fatwal.1, man/man1/fatwal-tail.1 …     a page of its own for each command
//     bash-completion/completions/fatwal
//     zsh/site-functions/_fatwal
//
// CMake runs it after a build (install_manual) and installs what it wrote.
//
// What CLI11 does not know stands in Program. Its texts are plain.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace fatwal::manual {

struct Section {
    std::string title;  // EXIT STATUS
    std::string text;   // paragraphs, a line each
};

// What else there is to say of an option.
struct OptionNotes {
    std::vector<std::string> values;  // that it can have, if they are few
    std::string more;                 // sentences for its manual page
};

struct Program {
    std::string name;  // fatwald
    std::string version;
    int section = 1;
    std::map<std::string, OptionNotes> options = {};  // by their flags: --log-level
    std::vector<Section> sections = {};               // of the program's page
    std::vector<std::string> see_also = {};           // fatwal(1)
    std::map<std::string, std::string> files = {};    // other files to write: path, text
};

// Adds the option --generate FOLDER. When it is given, parse() writes the files and throws
// CLI::Success; if one cannot be written, CLI::FileError.
void add_generate(CLI::App& app, Program program);

// Each file that --generate writes: its path below the folder, and its text.
[[nodiscard]] std::map<std::string, std::string> files_of(const CLI::App& app,
                                                          const Program& program);

}  // namespace fatwal::manual
