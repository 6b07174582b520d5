#include "manual/manual.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string_view>
#include <utility>

namespace fatwal::manual {
namespace {

using Texts = std::vector<std::string>;

std::string joined(const Texts& texts, std::string_view between) {
    std::string all;
    for (const std::string& text : texts) all.append(all.empty() ? "" : between).append(text);
    return all;
}

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
    std::string out;
    for (std::size_t at = 0;;) {
        const std::size_t found = text.find(what, at);
        out += text.substr(at, found - at);
        if (found == std::string_view::npos) return out;
        out += by;
        at = found + what.size();
    }
}

// An option, as the pages and the shells need it.
struct Known {
    Texts flags;        // --help, -h; empty of an argument without a flag
    std::string value;  // FILE; empty: it takes none
    Texts values;       // what the value can be, if that is known
    bool several = false;
    bool needed = false;
    std::string about;
    std::string variable;  // of the environment
    std::string standard;
    std::string more;
};

// CLI11 writes what IsMember allows as "{json,text}" into the type's name.
Texts members_in(const std::string& type) {
    const auto begin = type.find('{');
    const auto end = type.find('}', begin);
    if (begin == std::string::npos || end == std::string::npos) return {};
    return CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
}

bool names_a_file(const std::string& name) {
    for (const char* ending :
         {"file", "dir", "socket", "config", "generate", "output-header", "output-source"})
        if (name.ends_with(ending)) return true;
    return false;
}

Known known(const CLI::Option& option, const Program& program) {
    Known out;
    for (const std::string& name : option.get_lnames()) out.flags.push_back("--" + name);
    for (const std::string& name : option.get_snames()) out.flags.push_back("-" + name);
    const std::string name = option.get_single_name();
    if (option.get_items_expected_max() > 0) {
        out.values = members_in(option.get_type_name());
        out.value = names_a_file(name) ? "FILE" : "VALUE";
        out.several = option.get_items_expected_max() > 1;
    }
    out.needed = option.get_required();
    out.about = option.get_description();
    out.variable = option.get_envname();
    out.standard = option.get_default_str();
    const auto notes = program.options.find(out.flags.empty() ? name : out.flags.front());
    if (notes == program.options.end()) return out;
    if (!notes->second.values.empty()) out.values = notes->second.values;
    out.more = notes->second.more;
    return out;
}

// A command, with the options that may stand behind its name: its own, and where CLI11 lets them
// fall through those of the command above.
struct Command {
    Texts path;  // durable, list
    std::string about;
    std::vector<Known> options;
    std::vector<Command> commands;
};

Command command_of(const CLI::App& app, const Program& program, Texts path,
                   const std::vector<Known>& inherited) {
    Command out{std::move(path), app.get_description(), {}, {}};
    std::set<std::string> flags;
    for (const CLI::Option* option : app.get_options()) {
        out.options.push_back(known(*option, program));
        const Texts& own = out.options.back().flags;
        flags.insert(own.begin(), own.end());
    }
    for (const Known& option : inherited)
        if (app.get_fallthrough() && !option.flags.empty() && !flags.contains(option.flags.front()))
            out.options.push_back(option);
    for (const CLI::App* each : app.get_subcommands([](const CLI::App*) { return true; })) {
        Texts below = out.path;
        below.push_back(each->get_name());
        out.commands.push_back(command_of(*each, program, below, out.options));
    }
    return out;
}

template <class Visit>
void each_command(const Command& command, Visit&& visit) {
    visit(command);
    for (const Command& below : command.commands) each_command(below, visit);
}

// Manual pages
// -------------------------------------------------------------------------------------------------

// `text` as roff reads it: a backslash and a hyphen mean something there, and so does a line that
// begins with a dot or a quote.
std::string roff(std::string_view text) {
    std::string out = replaced(replaced(text, "\\", "\\e"), "-", "\\-");
    out = replaced(out, "…", "...");
    if (!out.empty() && (out[0] == '.' || out[0] == '\'')) out.insert(0, "\\&");
    return out;
}

std::string upper(std::string text) {
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return text;
}

std::string sentence(std::string text) {
    if (!text.empty() && text.back() != '.') text += '.';
    if (!text.empty() && !text.starts_with("fatwal")) text[0] = upper(text.substr(0, 1))[0];
    return text;
}

std::string man_option(const Known& option) {
    std::string heads;
    for (const std::string& flag : option.flags)
        heads += (heads.empty() ? "\\fB" : ", \\fB") + roff(flag) + "\\fR";
    if (!option.value.empty()) heads += (heads.empty() ? "\\fI" : " \\fI") + option.value + "\\fR";
    std::string text = sentence(option.about);
    const bool says_values = option.about.find(joined(option.values, ", ")) != std::string::npos;
    if (!option.values.empty() && !says_values)
        text += " One of " + joined(option.values, ", ") + ".";
    if (!option.more.empty()) text += " " + sentence(option.more);
    if (option.needed) text += " Needed.";
    if (!option.standard.empty()) text += " Default: " + option.standard + ".";
    std::string out = ".TP\n" + heads + "\n" + roff(text) + "\n";
    if (!option.variable.empty()) out += "In the environment \\fB" + option.variable + "\\fR.\n";
    return out;
}

std::string page_name(const Command& command, const Program& program) {
    return command.path.empty() ? program.name : program.name + "-" + joined(command.path, "-");
}

std::string reference(const std::string& page) {
    const auto bracket = page.find('(');
    return "\\fB" + roff(page.substr(0, bracket)) + "\\fR" + page.substr(bracket);
}

std::string page_of(const Command& command, const Program& program) {
    const std::string section = std::to_string(program.section);
    const std::string name = page_name(command, program);
    const std::string words =
        program.name + (command.path.empty() ? "" : " " + joined(command.path, " "));
    std::string about = command.about;
    about = about.substr(0, about.find_first_of(".;"));
    if (!about.empty()) about[0] = static_cast<char>(std::tolower(about[0]));
    std::string out = ".TH \"" + roff(upper(name)) + "\" \"" + section + "\" \"\" \"" +
                      program.name + " " + program.version + "\" \"fatwal\"\n.SH NAME\n" +
                      roff(name) + " \\- " + roff(about) + "\n.SH SYNOPSIS\n.B " + roff(words) +
                      "\n";
    if (!command.commands.empty()) out += "\\fICOMMAND\\fR\n";
    out += "[\\fIOPTION\\fR]...";
    for (const Known& option : command.options)
        if (option.flags.empty()) out += " \\fI" + option.value + "\\fR";
    out += "\n.SH DESCRIPTION\n" + roff(sentence(command.about)) + "\n";
    if (!command.commands.empty()) {
        out += ".SH COMMANDS\n";
        for (const Command& below : command.commands) {
            const std::string page = page_name(below, program) + "(" + section + ")";
            out += ".TP\n\\fB" + below.path.back() + "\\fR\n" + roff(sentence(below.about)) + "\n" +
                   reference(page) + "\n";
        }
    }
    out += ".SH OPTIONS\n";
    for (const Known& option : command.options) out += man_option(option);
    for (const Section& each : program.sections) {
        out += ".SH " + each.title + "\n";
        for (const std::string& line : CLI::detail::split(each.text, '\n'))
            out += line.empty() ? ".PP\n" : roff(line) + "\n";
    }
    Texts see_also;
    if (!command.path.empty()) see_also.push_back(reference(program.name + "(" + section + ")"));
    for (const std::string& page : program.see_also) see_also.push_back(reference(page));
    if (!see_also.empty()) out += ".SH SEE ALSO\n" + joined(see_also, ", ") + "\n";
    return out;
}

// Completions
// -------------------------------------------------------------------------------------------------

std::string function_name(const Command& command, const Program& program) {
    return "_" + replaced(page_name(command, program), "-", "_");
}

// The words before the cursor choose the command, and the one before it an option whose value is to
// come: both are cases of `path`, as " durable list --name".
std::string bash_completion(const Command& top, const Program& program) {
    Texts paths;
    std::string values;
    std::string words;
    const auto quoted = [](const std::string& text) { return '"' + text + '"'; };
    each_command(top, [&](const Command& command) {
        const std::string path = command.path.empty() ? "" : " " + joined(command.path, " ");
        if (!path.empty()) paths.push_back(quoted(path));
        Texts all;
        for (const Command& below : command.commands) all.push_back(below.path.back());
        for (const Known& option : command.options) {
            all.insert(all.end(), option.flags.begin(), option.flags.end());
            if (option.value.empty() || option.flags.empty()) continue;
            Texts cases;
            for (const std::string& flag : option.flags) cases.push_back(quoted(path + " " + flag));
            values += "        " + joined(cases, " | ") + ")";
            if (!option.values.empty())
                values += " mapfile -t COMPREPLY < <(compgen -W '" + joined(option.values, " ") +
                          "' -- \"$word\");";
            else if (option.value != "FILE")
                values += " compopt +o default;";
            values += " return ;;\n";
        }
        words += "        " + quoted(path) + ") words='" + joined(all, " ") + "' ;;\n";
    });
    const std::string function = function_name(top, program);
    std::string out = "# Completion of " + program.name + " for bash.\n" + function +
                      "() {\n"
                      "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
                      " path= words= i\n"
                      "    # bash splits --option=value at the sign.\n"
                      "    if [ \"$word\" = = ]; then\n"
                      "        word=\n"
                      "    elif [ \"$before\" = = ]; then\n"
                      "        before=${COMP_WORDS[COMP_CWORD-2]}\n"
                      "    fi\n";
    if (!paths.empty())
        out +=
            "    for ((i = 1; i < COMP_CWORD; ++i)); do\n"
            "        case \"$path ${COMP_WORDS[i]}\" in\n            " +
            joined(paths, " | ") +
            ") path+=\" ${COMP_WORDS[i]}\" ;;\n"
            "        esac\n"
            "    done\n";
    out += "    case \"$path $before\" in\n" + values +
           "    esac\n"
           "    case \"$path\" in\n" +
           words +
           "    esac\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
           "}\n"
           "complete -o default -F " +
           function + " " + program.name + "\n";
    return out;
}

// In single quotes, where brackets and colons would end what _arguments describes.
std::string zsh_text(std::string_view text) {
    std::string out(text.substr(0, text.find(';')));
    for (const char* each : {"\\", "[", "]", ":"})
        out = replaced(out, each, std::string("\\") + each);
    return replaced(out, "'", "'\\''");
}

std::string zsh_option(const Known& option) {
    std::string value;
    if (!option.values.empty())
        value = ":value:(" + joined(option.values, " ") + ")";
    else if (option.value == "FILE")
        value = ":file:_files";
    else if (!option.value.empty())
        value = ":value: ";
    if (option.flags.empty()) return "        '1" + value + "'";
    std::string out;
    for (const std::string& flag : option.flags) {
        const bool ends = flag == "--help" || flag == "-h" || flag == "--version";
        out += out.empty() ? "        " : " \\\n        ";
        out += ends ? "'(- *)" : option.several ? "'*" : "'";
        out += flag + (value.empty() ? "[" : "=[") + zsh_text(option.about) + "]" + value + "'";
    }
    return out;
}

std::string zsh_completion(const Command& top, const Program& program) {
    std::string out = "#compdef " + program.name + "\n";
    each_command(top, [&](const Command& command) {
        out += "\n" + function_name(command, program) + "() {\n";
        if (!command.commands.empty())
            out += "    local curcontext=$curcontext state line\n    typeset -A opt_args\n";
        out += "    _arguments -C -s";
        for (const Known& option : command.options) out += " \\\n" + zsh_option(option);
        if (command.commands.empty()) {
            out += "\n}\n";
            return;
        }
        out +=
            " \\\n        '1: :->command' '*:: :->arguments'\n    case $state in\n"
            "        command)\n            local -a commands=(\n";
        for (const Command& below : command.commands)
            out += "                '" + below.path.back() + ":" + zsh_text(below.about) + "'\n";
        out +=
            "            )\n            _describe command commands\n            ;;\n"
            "        arguments)\n            case $line[1] in\n";
        for (const Command& below : command.commands)
            out += "                " + below.path.back() + ") " + function_name(below, program) +
                   " ;;\n";
        out += "            esac\n            ;;\n    esac\n}\n";
    });
    return out + "\n" + function_name(top, program) + " \"$@\"\n";
}

void write(const std::filesystem::path& folder, const CLI::App& app, const Program& program) {
    for (const auto& [name, text] : files_of(app, program)) {
        const auto path = folder / name;
        std::error_code failed;
        std::filesystem::create_directories(path.parent_path(), failed);
        if (!(std::ofstream(path) << text).flush())
            throw CLI::FileError("cannot write " + path.string(), CLI::ExitCodes::FileError);
    }
}

}  // namespace

std::map<std::string, std::string> files_of(const CLI::App& app, const Program& program) {
    const Command top = command_of(app, program, {}, {});
    const std::string section = std::to_string(program.section);
    std::map<std::string, std::string> files = program.files;
    each_command(top, [&](const Command& command) {
        files["man/man" + section + "/" + page_name(command, program) + "." + section] =
            page_of(command, program);
    });
    files["bash-completion/completions/" + program.name] = bash_completion(top, program);
    files["zsh/site-functions/_" + program.name] = zsh_completion(top, program);
    return files;
}

void add_generate(CLI::App& app, Program program) {
    app.add_option_function<std::string>(
           "--generate",
           [&app, program = std::move(program)](const std::string& folder) {
               write(folder, app, program);
               throw CLI::Success();
           },
           "write the manual pages and the completions of bash and zsh into a folder, and end")
        ->type_name("FOLDER")
        ->trigger_on_parse();
}

}  // namespace fatwal::manual
