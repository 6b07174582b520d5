// What holds for the list of settings of each program.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "service/settings.h"

namespace fatwal::test {

// A file that is there as long as this.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::string& text)
        : path_(testing::TempDir() + "settings-" + std::to_string(getpid()) + ".toml") {
        std::ofstream(path_) << text;
    }
    ~TemporaryFile() { std::remove(path_.c_str()); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

// A variable of the environment that is set as long as this.
class Variable {
public:
    Variable(std::string name, const std::string& value) : name_(std::move(name)) {
        setenv(name_.c_str(), value.c_str(), 1);
    }
    ~Variable() { unsetenv(name_.c_str()); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    std::string name_;
};

struct Anything {
    template <class T>
    operator T() const;  // NOLINT(google-explicit-constructor): never called
};

// How many members a struct has, without bases.
template <class Struct, class... Before>
constexpr std::size_t members_of() {
    if constexpr (requires { Struct{Before{}..., Anything{}}; })
        return members_of<Struct, Before..., Anything>();
    else
        return sizeof...(Before);
}

// A value that the setting can have and does not have.
inline std::string another_value(const service::Setting& setting) {
    const std::string now = service::value_of(setting);
    if (const auto* choice = std::get_if<service::Choice>(&setting.value))
        return choice->names[(choice->current + 1) % choice->names.size()];
    if (std::holds_alternative<bool*>(setting.value)) return now == "true" ? "false" : "true";
    if (setting.range.most != 0)
        return std::to_string(setting.range.least + (std::to_string(setting.range.least) == now));
    return "x" + now;
}

inline service::Load load(const service::Program& program,
                          const std::vector<service::Setting>& settings,
                          const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{program.name};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return service::load(program, settings, static_cast<int>(argv.size()), argv.data());
}

// Gives each setting another value by its flag, its variable, and its name in the file with
// underscores and with hyphens; it has to arrive in the place from which the program reads it.
template <class Settings>
void expect_each_setting_is_read(const service::Program& program,
                                 std::vector<service::Setting> (*specifications)(Settings&)) {
    Settings untouched;
    for (const service::Setting& setting : specifications(untouched)) {
        const std::string name = setting.name;
        const std::string wanted = another_value(setting);
        std::string hyphens = name;
        std::string variable = program.prefix;
        for (char& c : hyphens) {
            variable += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
            if (c == '_') c = '-';
        }
        std::string rest;  // what else is needed
        for (const service::Setting& other : specifications(untouched))
            if (other.needed && other.name != name) rest += std::string(other.name) + " = 'x'\n";
        const auto expect_read = [&](const std::string& in_file, const char* way,
                                     std::vector<std::string> arguments = {}) {
            const TemporaryFile file(in_file + rest);
            arguments.insert(arguments.end(), {"--config", file.path()});
            Settings settings;
            const auto loaded = specifications(settings);
            EXPECT_EQ(load(program, loaded, arguments), service::Load::Done);
            for (const service::Setting& other : specifications(settings)) {
                if (other.name == name) {
                    EXPECT_EQ(service::value_of(other), wanted) << name << ' ' << way;
                }
            }
        };
        expect_read(name + " = '" + wanted + "'\n", "in the file");
        expect_read(hyphens + " = '" + wanted + "'\n", "in the file, with hyphens");
        expect_read("", "as a flag", {"--" + hyphens, wanted});
        const Variable environment(variable, wanted);
        expect_read("", "in the environment");
    }
}

// The example of a file explains each setting with its default, changes nothing as it is, and is
// read when the comment signs before all names are taken away.
template <class Settings>
void expect_example(const service::Program& program,
                    std::vector<service::Setting> (*specifications)(Settings&)) {
    Settings settings;
    const std::string example = service::example_of(program, specifications(settings));
    std::string counted;
    std::istringstream lines(example);
    for (std::string line; std::getline(lines, line);) {
        EXPECT_TRUE(line.empty() || line[0] == '#') << line;
        EXPECT_LE(line.size(), 100U) << line;
        if (line.size() > 1 && line[1] != ' ') counted += line.substr(1) + '\n';
    }
    for (const service::Setting& setting : specifications(settings))
        EXPECT_NE(('\n' + counted).find('\n' + std::string(setting.name) + " = "),
                  std::string::npos)
            << setting.name;
    // Some have no value that could be shown: 0 for "it follows from others".
    std::string text;
    std::istringstream settable(counted);
    for (std::string line; std::getline(settable, line);)
        if (!line.starts_with("send_high_water_mark")) text += line + '\n';
    const TemporaryFile file(text);
    Settings read;
    ASSERT_EQ(load(program, specifications(read), {"--config", file.path()}), service::Load::Done);
    const auto before = specifications(settings);
    const auto after = specifications(read);
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (*before[i].example == '\0') {
            EXPECT_EQ(service::value_of(before[i]), service::value_of(after[i])) << before[i].name;
        }
    }
}

// docs/configuration.md has the table between `<!-- settings of NAME -->` and `<!-- end -->`. With
// FATWAL_UPDATE_GOLDEN set it is written there.
inline void expect_documented(const std::string& name, const std::string& table) {
    const std::string path = FATWAL_GOLDEN_DIR "/../../docs/configuration.md";
    std::ifstream file(path);
    std::stringstream page;
    page << file.rdbuf();
    std::string text = page.str();
    const std::string mark = "<!-- settings of " + name + " -->\n";
    const auto begin = text.find(mark);
    const auto end = text.find("<!-- end -->", begin);
    ASSERT_TRUE(begin != std::string::npos && end != std::string::npos) << path << ": " << mark;
    const auto from = begin + mark.size();
    if (std::getenv("FATWAL_UPDATE_GOLDEN") != nullptr)
        std::ofstream(path) << text.replace(from, end - from, table);
    else
        EXPECT_EQ(text.substr(from, end - from), table)
            << "docs/configuration.md: write it with FATWAL_UPDATE_GOLDEN=1";
}

}  // namespace fatwal::test
