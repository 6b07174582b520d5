#include "client/cli/psql.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace fatwal::cli {

namespace {

constexpr int kNotFound = 127;

enum class Errors { ToStderr, ToOutput, Apart };

struct Pipe {
    int read = -1;
    int write = -1;

    Pipe() {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0)
            throw std::runtime_error("no pipe to psql can be made");
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
[[noreturn]] void become_psql(std::vector<std::string>& arguments, int in, int out, int errors) {
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
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

void write_all(int to, std::string_view text) {
    while (!text.empty()) {
        const ssize_t length = write(to, text.data(), text.size());
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(length));
    }
}

struct Done {
    std::string output;
    std::string errors;  // of Errors::Apart
    bool succeeded = false;
};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::string text_in(std::FILE* file) {
    std::string text;
    std::array<char, 4096> part;
    std::rewind(file);
    while (const std::size_t length = std::fread(part.data(), 1, part.size(), file))
        text.append(part.data(), length);
    return text;
}

Done psql(std::vector<std::string> arguments, const std::string& script, Errors errors) {
    Pipe in;
    Pipe out;
    // A file and no third pipe: it never fills, so nobody has to read it meanwhile.
    const File apart(errors == Errors::Apart ? std::tmpfile() : nullptr, std::fclose);
    if (errors == Errors::Apart && apart == nullptr)
        throw std::runtime_error("no temporary file for psql's errors can be made");
    const int to = errors == Errors::Apart      ? fileno(apart.get())
                   : errors == Errors::ToOutput ? out.write
                                                : STDERR_FILENO;
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("psql cannot be started: no process can be made");
    if (child == 0) {
        Pipe::close_end(in.write);
        Pipe::close_end(out.read);
        become_psql(arguments, in.read, out.write, to);
    }
    Pipe::close_end(in.read);
    Pipe::close_end(out.write);
    // psql may be gone already: then the write fails and its exit status says why.
    std::signal(SIGPIPE, SIG_IGN);
    // Both at once: either pipe may be full while psql waits for the other.
    std::thread writer([&] {
        write_all(in.write, script);
        Pipe::close_end(in.write);
    });
    Done done{read_all(out.read), {}, false};
    writer.join();
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return done;
    if (apart != nullptr) done.errors = text_in(apart.get());
    done.succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return done;
}

std::vector<std::string> arguments_for(
    const std::string& database,
    const std::vector<std::pair<std::string, std::string>>& variables) {
    std::vector<std::string> arguments{"psql", "-X",     "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                                       "-d",   database, "-f", "-"};
    for (const auto& [name, value] : variables) {
        arguments.emplace_back("-v");
        arguments.push_back(name);
        arguments.back().append("=").append(value);
    }
    return arguments;
}

// The connection string, or the name of a database, as one that asks for replication.
std::string replicating(const std::string& database) {
    if (database.starts_with("postgresql://") || database.starts_with("postgres://"))
        return database + (database.find('?') == std::string::npos ? "?" : "&") +
               "replication=database";
    if (database.find('=') != std::string::npos) return database + " replication=database";
    std::string quoted;
    for (const char c : database) {
        if (c == '\'' || c == '\\') quoted += '\\';
        quoted += c;
    }
    return "dbname='" + quoted + "' replication=database";
}

}  // namespace

std::optional<std::string> run_psql(
    const std::string& database, const std::vector<std::pair<std::string, std::string>>& variables,
    const std::string& script) {
    Done done = psql(arguments_for(database, variables), script, Errors::ToStderr);
    if (!done.succeeded) return std::nullopt;
    return std::move(done.output);
}

PsqlAnswer ask_psql(const std::string& database,
                    const std::vector<std::pair<std::string, std::string>>& variables,
                    const std::string& script) {
    Done done = psql(arguments_for(database, variables), script, Errors::Apart);
    if (done.succeeded) return {std::move(done.output), {}};
    for (char& c : done.errors)
        if (c == '\n' || c == '\t') c = ' ';
    done.errors.erase(done.errors.find_last_not_of(' ') + 1);
    return {std::nullopt, std::move(done.errors)};
}

PsqlAnswer PsqlSession::ask(const std::string& script, std::chrono::milliseconds within) {
    // psql prints it when the script is done. No value has a line of its own like it.
    static constexpr std::string_view kDone = "\n-- fatwal: done --\n";
    const auto until = std::chrono::steady_clock::now() + within;
    if (child_ < 0) begin();
    write_all(in_, script + "\n\\echo\n\\echo '" + std::string(kDone.substr(1, kDone.size() - 2)) +
                       "'\n");
    std::string text;
    while (read_some(text, until))
        if (text.ends_with(kDone)) return {text.substr(0, text.size() - kDone.size()), {}};
    const bool late = std::chrono::steady_clock::now() >= until;
    end();
    if (late) return {std::nullopt, "the database has not answered within the time for it"};
    for (char& c : text)
        if (c == '\n' || c == '\t') c = ' ';
    text.erase(text.find_last_not_of(' ') + 1);
    return {std::nullopt, text.empty() ? "psql has ended" : text};
}

void PsqlSession::begin() {
    Pipe in;
    Pipe out;
    std::vector<std::string> arguments = arguments_for(database_, {});
    arguments.emplace_back("-w");  // nobody is there to type a password
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("psql cannot be started: no process can be made");
    if (child == 0) become_psql(arguments, in.read, out.write, out.write);
    std::signal(SIGPIPE, SIG_IGN);
    child_ = child;
    in_ = std::exchange(in.write, -1);
    out_ = std::exchange(out.read, -1);
}

void PsqlSession::end() {
    if (child_ < 0) return;
    Pipe::close_end(in_);
    Pipe::close_end(out_);
    kill(child_, SIGKILL);
    while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
    child_ = -1;
}

bool PsqlSession::read_some(std::string& to, std::chrono::steady_clock::time_point until) const {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd readable{out_, POLLIN, 0};
    if (left <= left.zero() || poll(&readable, 1, static_cast<int>(left.count())) <= 0)
        return false;
    std::array<char, 65536> part;
    const ssize_t length = read(out_, part.data(), part.size());
    if (length <= 0) return false;
    to.append(part.data(), static_cast<std::size_t>(length));
    return true;
}

// A server refuses such a connection too, for a lack of rights, but in words of its own.
bool is_pooled(const std::string& database) {
    const Done done =
        psql({"psql", "-X", "-w", "-d", replicating(database), "-c", "IDENTIFY_SYSTEM"}, {},
             Errors::ToOutput);
    return !done.succeeded && (done.output.find("startup parameter") != std::string::npos ||
                               done.output.find("pgbouncer") != std::string::npos);
}

}  // namespace fatwal::cli
