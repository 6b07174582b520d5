#include "client/cli/psql.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace fatwal::cli {

namespace {

constexpr int kNotFound = 127;

struct Pipe {
    int read = -1;
    int write = -1;

    Pipe() {
        std::array<int, 2> ends{};
        if (pipe(ends.data()) != 0) throw std::runtime_error("no pipe to psql can be made");
        read = ends[0];
        write = ends[1];
    }
    ~Pipe() {
        close_end(read);
        close_end(write);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;

    static void close_end(int& end) {
        if (end >= 0) close(end);
        end = -1;
    }
};

// In the child. Does not return.
[[noreturn]] void become_psql(std::vector<std::string>& arguments, int in, int out) {
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    setenv("PGCLIENTENCODING", "UTF8", 1);
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    execvp("psql", pointers.data());
    std::fprintf(stderr, "psql is not to be found. Install it (postgresql-client) or set PATH.\n");
    _exit(kNotFound);
}

std::string read_all(int from) {
    std::string text;
    std::array<char, 65536> part;
    while (true) {
        const ssize_t length = read(from, part.data(), part.size());
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) return text;
        text.append(part.data(), static_cast<std::size_t>(length));
    }
}

}  // namespace

std::optional<std::string> run_psql(
    const std::string& database, const std::vector<std::pair<std::string, std::string>>& variables,
    const std::string& script) {
    std::vector<std::string> arguments{"psql", "-X",     "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                                       "-d",   database, "-f", "-"};
    for (const auto& [name, value] : variables) {
        arguments.emplace_back("-v");
        arguments.push_back(name);
        arguments.back().append("=").append(value);
    }
    Pipe in;
    Pipe out;
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("psql cannot be started: no process can be made");
    if (child == 0) {
        Pipe::close_end(in.write);
        Pipe::close_end(out.read);
        become_psql(arguments, in.read, out.write);
    }
    Pipe::close_end(in.read);
    Pipe::close_end(out.write);
    // psql may be gone already: then the write fails and its exit status says why.
    std::signal(SIGPIPE, SIG_IGN);
    const bool written =
        write(in.write, script.data(), script.size()) == static_cast<ssize_t>(script.size());
    Pipe::close_end(in.write);
    std::string output = read_all(out.read);
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return std::nullopt;
    if (!written || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
    return output;
}

}  // namespace fatwal::cli
