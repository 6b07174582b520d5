#include "service/settings.h"

#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <list>
#include <string_view>

#include "manual/manual.h"
#include "service/failure.h"

namespace fatwal::service {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
    using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

using Texts = std::vector<std::string>;

std::string with(std::string_view name, char from, char to) {
    std::string out(name);
    std::replace(out.begin(), out.end(), from, to);
    return out;
}

std::string flag_of(const Setting& setting) { return "--" + with(setting.name, '_', '-'); }

std::string variable_of(const Program& program, const char* name) {
    std::string variable = program.prefix;
    for (const char* c = name; *c != '\0'; ++c)
        variable += static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
    return variable;
}

// Of the docs, behind what the setting is.
constexpr char kReloaded[] = ". SIGHUP reads it again";

bool is_list(const Setting& setting) {
    return std::holds_alternative<std::vector<std::string>*>(setting.value);
}

// 1024 is 1,024 to its reader from five digits on.
std::string grouped(std::int64_t number) {
    std::string text = std::to_string(number);
    if (text.size() < 5) return text;
    for (std::size_t at = text.size() - 3; at > 0 && at < text.size(); at -= std::min(at, 3UL))
        text.insert(at, 1, ',');
    return text;
}

std::string range_text(const Setting& setting) {
    if (const auto* choice = std::get_if<Choice>(&setting.value)) {
        std::string all;
        for (const std::string& name : choice->names) all += (all.empty() ? "" : ", ") + name;
        return all;
    }
    const auto [least, most] = setting.range;
    if (most == Range::kEnough) return least > 1 ? "at least " + grouped(least) : std::string();
    if (most == 0) return {};
    return grouped(setting.range.least) + " to " + grouped(setting.range.most);
}

std::string unit_and_range(const Setting& setting) {
    const std::string range = range_text(setting);
    const std::string unit = setting.unit;
    return unit + (unit.empty() || range.empty() ? "" : ", ") + range;
}

// Markdown without its marks: of a link its text.
std::string plain(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text.substr(i, 2) == "](")
            i = std::min(text.find(')', i), text.size());
        else if (text.substr(i, 2) == "**")
            ++i;
        else if (text[i] != '`' && text[i] != '[')
            out += text[i];
    }
    return out;
}

// As lines of a TOML file's comment.
std::string commented(const std::string& text) {
    constexpr std::size_t kColumns = 98;
    std::string out;
    std::string line;
    for (const std::string& word : CLI::detail::split(text, ' ')) {
        if (!line.empty() && line.size() + 1 + word.size() > kColumns) {
            out += "# " + line + "\n";
            line.clear();
        }
        line += (line.empty() ? "" : " ") + word;
    }
    return out + "# " + line + "\n";
}

// In Markdown.
std::string standard_of(const Setting& setting) {
    if (setting.needed) return "(none, needed)";
    if (*setting.standard != '\0') return setting.standard;
    const std::string text = value_of(setting);
    const bool is_text = std::holds_alternative<std::string*>(setting.value) ||
                         std::holds_alternative<Choice>(setting.value);
    return is_text && !text.empty() ? "`" + text + "`" : text;
}

manual::Program manual_of(const Program& program, const std::vector<Setting>& settings) {
    manual::Program out{.name = program.name, .version = program.version, .section = 8};
    for (const Setting& setting : settings) {
        manual::OptionNotes notes{.values = {}, .more = plain(setting.more)};
        if (setting.reloads) notes.more += (notes.more.empty() ? "" : ". ") + plain(kReloaded + 2);
        if (const auto* choice = std::get_if<Choice>(&setting.value)) notes.values = choice->names;
        if (std::holds_alternative<bool*>(setting.value)) notes.values = {"true", "false"};
        out.options[flag_of(setting)] = std::move(notes);
    }
    const std::string file = std::string("/etc/fatwal/") + program.name + ".toml";
    out.sections = {{"SETTINGS",
                     "The command line is before the environment, the environment before the file "
                     "of --config, the file before the default. In the file a setting has its "
                     "name with underscores."},
                    {"FILES", file + "\nThe file of --config that the systemd unit gives."},
                    {"EXIT STATUS", program.exit_status}};
    out.see_also = program.see_also;
    out.files["fatwal/" + std::string(program.name) + ".toml"] = example_of(program, settings);
    return out;
}

class Reader {
public:
    Reader(const Setting& setting, std::string where)
        : setting_(setting), where_(std::move(where)) {}

    void read(const Texts& texts) const {
        std::visit([&](const auto& value) { assign(value, texts); }, setting_.value);
    }

private:
    [[noreturn]] void refuse(const std::string& text, const std::string& wanted) const {
        throw Failure("the setting " + std::string(setting_.name) + " cannot be \"" + text + "\"",
                      where_ + " is to be " + wanted + ".");
    }

    void assign(std::vector<std::string>* value, const Texts& texts) const { *value = texts; }
    void assign(std::string* value, const Texts& texts) const { *value = texts.back(); }
    void assign(bool* value, const Texts& texts) const {
        const std::string& text = texts.back();
        const auto is_one_of = [&](std::initializer_list<std::string_view> names) {
            return std::find(names.begin(), names.end(), text) != names.end();
        };
        if (is_one_of({"true", "on", "yes", "1"}))
            *value = true;
        else if (is_one_of({"false", "off", "no", "0"}))
            *value = false;
        else
            refuse(text, "true or false");
    }
    void assign(const Choice& choice, const Texts& texts) const {
        const auto found = std::find(choice.names.begin(), choice.names.end(), texts.back());
        if (found == choice.names.end()) refuse(texts.back(), "one of " + range_text(setting_));
        choice.set(static_cast<std::size_t>(found - choice.names.begin()));
    }
    template <class Number>
    void assign(Number* value, const Texts& texts) const {
        const std::string& text = texts.back();
        char* end = nullptr;
        errno = 0;
        const long long number = std::strtoll(text.c_str(), &end, 0);
        if (text.empty() || *end != '\0' || errno != 0 || number < setting_.range.least ||
            number > setting_.range.most)
            refuse(text, "a number from " + grouped(setting_.range.least) + " to " +
                             grouped(setting_.range.most));
        *value = static_cast<Number>(number);
    }

    const Setting& setting_;
    std::string where_;
};

// What the command line and the environment say. CLI11 writes --help, finds the flags and reads the
// variables; the values are texts to it.
class CommandLine {
public:
    CommandLine(const Program& program, const std::vector<Setting>& settings)
        : program_(program), app_(program.purpose) {
        app_.set_version_flag("--version", std::string(program.name) + " " + program.version);
        app_.add_option("--config", config_, "TOML file with any of the settings below")
            ->envname(variable_of(program, "config"))
            ->type_name("FILE");
        for (const Setting& setting : settings) add(setting);
        manual::add_generate(app_, manual_of(program, settings));
    }

    // False when --help or --version was printed.
    [[nodiscard]] bool parse(int argc, const char* const* argv) {
        try {
            app_.parse(argc, argv);
            return true;
        } catch (const CLI::Success& shown) {
            (void)app_.exit(shown);
            return false;
        } catch (const CLI::Error& error) {
            throw Failure(error.what(), {},
                          std::string(program_.name) + " --help lists the settings.");
        }
    }

    [[nodiscard]] const std::string& config() const { return config_; }

    // Calls give(setting, texts, where) for each setting that was given.
    template <class Give>
    void each(Give&& give) const {
        for (const Option& option : options_) {
            if (option.option->count() == 0) continue;
            Texts texts = option.texts;
            // A variable is one text.
            if (is_list(*option.setting) && texts.size() == 1)
                texts = CLI::detail::split(texts.front(), ',');
            give(*option.setting, texts,
                 flag_of(*option.setting) + " or " + variable_of(program_, option.setting->name));
        }
    }

private:
    struct Option {
        const Setting* setting;
        Texts texts;
        CLI::Option* option;
    };

    // "time to wait (ms, 100 to 10,000; default 1000)"
    static std::string about(const Setting& setting) {
        const std::string standard = standard_of(setting);
        std::string more = unit_and_range(setting);
        if (setting.needed) more += more.empty() ? "needed" : "; needed";
        if (!setting.needed && !standard.empty())
            more += (more.empty() ? "default " : "; default ") + standard;
        return plain(setting.sentence + (more.empty() ? more : " (" + more + ")"));
    }

    void add(const Setting& setting) {
        Option& added = options_.emplace_back(Option{&setting, {}, nullptr});
        added.option = app_.add_option(flag_of(setting), added.texts, about(setting))
                           ->envname(variable_of(program_, setting.name))
                           ->type_name("");
        if (!is_list(setting)) added.option->expected(1);
    }

    const Program& program_;
    CLI::App app_;
    std::string config_;
    std::list<Option> options_;  // CLI11 keeps pointers into them
};

class File {
public:
    explicit File(const std::string& path) : path_(path) {
        if (path.empty()) return;
        try {
            table_ = toml::parse_file(path);
        } catch (const toml::parse_error& error) {
            const auto line = error.source().begin.line;
            throw Failure("cannot read the configuration file \"" + path + "\"",
                          (line > 0 ? "Line " + std::to_string(line) + ": " : std::string()) +
                              std::string(error.description()),
                          line > 0 ? "It is TOML: a text stands in quotes, as slot = 'fatwal'; a "
                                     "list in brackets, as control = ['ipc:///a', 'ipc:///b']."
                                   : "");
        }
    }

    // Calls give(setting, texts, where) for each setting in the file.
    template <class Give>
    void each(const std::vector<Setting>& settings, Give&& give) const {
        for (const auto& [key, node] : table_) {
            const std::string written(key.str());
            const std::string name = with(written, '-', '_');
            const auto found =
                std::find_if(settings.begin(), settings.end(),
                             [&](const Setting& setting) { return name == setting.name; });
            if (found == settings.end())
                throw Failure("unknown setting \"" + written + "\"; known: " + names(settings));
            give(*found, texts_of(*found, node), written + " in \"" + path_ + "\"");
        }
    }

private:
    static Texts texts_of(const Setting& setting, const toml::node& node) {
        const auto* array = node.as_array();
        if (array == nullptr || !is_list(setting)) return {text_of(setting, node)};
        Texts texts;
        for (const toml::node& each : *array) texts.push_back(text_of(setting, each));
        return texts;
    }

    static std::string text_of(const Setting& setting, const toml::node& node) {
        if (const auto* text = node.as_string()) return text->get();
        if (const auto* number = node.as_integer()) return std::to_string(number->get());
        if (const auto* boolean = node.as_boolean()) return boolean->get() ? "true" : "false";
        throw Failure("setting \"" + std::string(setting.name) +
                      "\" must be a string, a number or a boolean" +
                      (is_list(setting) ? ", or a list of them" : ""));
    }

    static std::string names(const std::vector<Setting>& settings) {
        std::vector<std::string> sorted;
        sorted.reserve(settings.size());
        for (const Setting& setting : settings) sorted.emplace_back(setting.name);
        std::sort(sorted.begin(), sorted.end());
        std::string all;
        for (const std::string& name : sorted) all += (all.empty() ? "" : ", ") + name;
        return all;
    }

    std::string path_;
    toml::table table_;
};

}  // namespace

Load load(const Program& program, const std::vector<Setting>& settings, int argc,
          const char* const* argv) {
    CommandLine line(program, settings);
    if (!line.parse(argc, argv)) return Load::Shown;
    const File file(line.config());
    std::vector<const Setting*> given;
    const auto give = [&](const Setting& setting, const Texts& texts, const std::string& where) {
        if (std::find(given.begin(), given.end(), &setting) != given.end()) return;
        Reader(setting, where).read(texts);
        given.push_back(&setting);
    };
    line.each(give);
    file.each(settings, give);
    for (const Setting& setting : settings) {
        if (!setting.needed || std::find(given.begin(), given.end(), &setting) != given.end())
            continue;
        const std::string name = setting.name;
        throw Failure("no " + name + " is given", {},
                      "Give " + flag_of(setting) + " (" + setting.unit + "), or " +
                          variable_of(program, setting.name) + ", or " + name +
                          " in the file of --config.");
    }
    return Load::Done;
}

std::string config_file(const Program& program, const std::vector<Setting>& settings, int argc,
                        const char* const* argv) {
    CommandLine line(program, settings);
    (void)line.parse(argc, argv);
    return line.config();
}

void give(const Setting& setting, const std::string& text) {
    Reader(setting, setting.name).read({text});
}

std::string value_of(const Setting& setting) {
    return std::visit(
        Overloaded{[](const std::string* text) { return *text; },
                   [](const std::vector<std::string>* list) {
                       std::string all;
                       for (const std::string& text : *list) all += (all.empty() ? "" : ",") + text;
                       return all;
                   },
                   [](const bool* flag) { return std::string(*flag ? "true" : "false"); },
                   [](const Choice& choice) { return choice.names[choice.current]; },
                   [](const auto* number) { return std::to_string(*number); }},
        setting.value);
}

std::string example_of(const Program& program, const std::vector<Setting>& settings) {
    std::string out = commented(
        std::string("The settings of ") + program.name +
        ", each with its default. One counts when the # before its name is taken away. A text "
        "stands in quotes, a list of texts in brackets. The command line and the environment "
        "come before this file.");
    for (const Setting& setting : settings) {
        std::string about = setting.sentence;
        if (!about.starts_with("fatwal"))
            about[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(about[0])));
        if (const std::string range = unit_and_range(setting); !range.empty())
            about += " (" + range + ")";
        if (setting.needed) about += "; needed";
        if (setting.reloads) about += kReloaded;
        if (*setting.more != '\0') about += std::string(". ") + setting.more;
        const bool is_text = !std::holds_alternative<int*>(setting.value) &&
                             !std::holds_alternative<std::int64_t*>(setting.value) &&
                             !std::holds_alternative<bool*>(setting.value);
        std::string value = *setting.example != '\0' ? setting.example : value_of(setting);
        if (is_list(setting) && value.empty())
            value = "[]";
        else if (is_text)
            value.insert(0, is_list(setting) ? "['" : "'").append(is_list(setting) ? "']" : "'");
        out += "\n" + commented(plain(about)) + "#" + setting.name + " = " + value + "\n";
    }
    return out;
}

std::string table_of(const std::vector<Setting>& settings) {
    std::string table =
        "| setting | default | unit, range | meaning |\n| --- | --- | --- | --- |\n";
    for (const Setting& setting : settings) {
        std::string more = *setting.more == '\0' ? "" : std::string(". ") + setting.more;
        if (setting.reloads) more.insert(0, kReloaded);
        table += std::string("| `") + setting.name + "` | " + standard_of(setting) + " | " +
                 unit_and_range(setting) + " | " + setting.sentence + more + " |\n";
    }
    return table;
}

}  // namespace fatwal::service
