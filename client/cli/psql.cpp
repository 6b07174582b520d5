#include "client/cli/psql.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace fatwal::cli {

namespace {

using Clock = std::chrono::steady_clock;
using Arguments = std::vector<std::string>;

constexpr int kNotFound = 127;
constexpr char kConnectWithin[] = "10";  // seconds, unless the environment says another
constexpr std::size_t kMostErrors = 65536;
constexpr Clock::time_point kNever = Clock::time_point::max();

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

std::string one_line(std::string text) {
    for (char& c : text)
        if (c == '\n' || c == '\t') c = ' ';
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

int digit_of(char c) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto at = kDigits.find(static_cast<char>(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c));
    return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape = text[i] == '%' && i + 2 < text.size() && digit_of(text[i + 1]) >= 0 &&
                            digit_of(text[i + 2]) >= 0;
        out += escape ? static_cast<char>(digit_of(text[i + 1]) * 16 + digit_of(text[i + 2]))
                      : text[i];
        if (escape) i += 2;
    }
    return out;
}

// postgresql://user:PASSWORD@host/db?password=PASSWORD
Conninfo split_uri(std::string text) {
    Conninfo out;
    const auto begin = text.find("://") + 3;
    const auto at = text.find_first_of("@/", begin);
    if (at != std::string::npos && text[at] == '@') {
        const auto colon = text.find(':', begin);
        if (colon < at) {
            out.password =
                percent_decoded(std::string_view(text).substr(colon + 1, at - colon - 1));
            text.erase(colon, at - colon);
        }
    }
    constexpr std::string_view kParameter = "password=";
    for (auto from = text.find('?'); from != std::string::npos && from + 1 < text.size();) {
        const auto end = std::min(text.find('&', from + 1), text.size());
        if (text.compare(from + 1, kParameter.size(), kParameter) == 0) {
            const auto value = from + 1 + kParameter.size();
            out.password = percent_decoded(std::string_view(text).substr(value, end - value));
            // With the separator behind it, or the one before the last.
            if (end < text.size())
                text.erase(from + 1, end - from);
            else
                text.erase(from);
            continue;
        }
        from = end < text.size() ? end : std::string::npos;
    }
    out.text = std::move(text);
    return out;
}

// host=a password='it\'s' dbname = b
Conninfo split_keywords(const std::string& text) {
    constexpr std::string_view kBlanks = " \t\n\r\f\v";
    Conninfo out;
    std::size_t at = 0;
    while ((at = text.find_first_not_of(kBlanks, at)) != std::string::npos) {
        const auto begin = at;
        const auto equals = text.find('=', at);
        if (equals == std::string::npos) return {text, std::nullopt};  // psql says what is wrong
        std::string name = text.substr(at, equals - at);
        name.erase(name.find_last_not_of(kBlanks) + 1);
        at = std::min(text.find_first_not_of(kBlanks, equals + 1), text.size());
        std::string value;
        const bool quoted = at < text.size() && text[at] == '\'';
        if (quoted) ++at;
        for (; at < text.size(); ++at) {
            const char c = text[at];
            if (quoted ? c == '\'' : kBlanks.find(c) != std::string_view::npos) break;
            if (c == '\\' && at + 1 < text.size()) ++at;
            value += text[at];
        }
        if (quoted && at < text.size()) ++at;
        if (name == "password")
            out.password = value;
        else
            out.text += (out.text.empty() ? "" : " ") + text.substr(begin, at - begin);
    }
    return out;
}

bool is_uri(const std::string& database) {
    return database.starts_with("postgresql://") || database.starts_with("postgres://");
}

// A psql that runs. What it is to read goes in, and what it says comes out, at the same time: any
// pipe may be full while psql waits for another.
class Child {
public:
    enum class End { Said, Ended, Late };

    // `arguments` without the database.
    Child(const std::string& database, Arguments arguments, Errors errors) {
        const Conninfo conninfo = split_password(database);
        arguments.insert(arguments.begin(), {"psql", "-X", "-d", conninfo.text});
        std::vector<char*> pointers;
        pointers.reserve(arguments.size() + 1);
        for (std::string& argument : arguments) pointers.push_back(argument.data());
        pointers.push_back(nullptr);
        id_ = fork();
        if (id_ < 0) throw std::runtime_error("psql cannot be started: no process can be made");
        if (id_ == 0) become_psql(pointers.data(), conninfo.password, errors);
        Pipe::close_end(in_.read);
        Pipe::close_end(out_.write);
        Pipe::close_end(errors_.write);
        // psql may be gone already: then the write fails and its exit status says why.
        std::signal(SIGPIPE, SIG_IGN);
    }
    ~Child() {
        if (id_ <= 0) return;
        kill(id_, SIGKILL);
        (void)wait();
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    // Until psql has ended, the time is over, or `said` finds what it waits for in the output.
    End run(std::string_view input, Clock::time_point until,
            const std::function<bool(const std::string&)>& said) {
        while (out_.read >= 0) {
            if (said && said(output_)) return End::Said;
            if (input.empty() && !said) Pipe::close_end(in_.write);
            std::array<pollfd, 3> ready{{{input.empty() ? -1 : in_.write, POLLOUT, 0},
                                         {out_.read, POLLIN, 0},
                                         {errors_.read, POLLIN, 0}}};
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
            if (until != kNever && left <= left.zero()) return End::Late;
            if (poll(ready.data(), ready.size(),
                     until == kNever ? -1 : static_cast<int>(left.count())) < 0 &&
                errno != EINTR)
                return End::Ended;
            if (ready[0].revents != 0) write_some(input);
            if (ready[1].revents != 0) read_some(out_.read, output_, std::string::npos);
            if (ready[2].revents != 0) read_some(errors_.read, said_errors_, kMostErrors);
        }
        return End::Ended;
    }

    // Of one that has ended.
    [[nodiscard]] bool succeeded() {
        while (errors_.read >= 0) read_some(errors_.read, said_errors_, kMostErrors);
        const int status = wait();
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    [[nodiscard]] std::string take_output() { return std::exchange(output_, {}); }
    [[nodiscard]] std::string take_errors() { return std::exchange(said_errors_, {}); }

private:
    // In the child. Does not return.
    [[noreturn]] void become_psql(char** arguments, const std::optional<std::string>& password,
                                  Errors errors) const {
        dup2(in_.read, STDIN_FILENO);
        dup2(out_.write, STDOUT_FILENO);
        if (errors != Errors::ToStderr)
            dup2(errors == Errors::Apart ? errors_.write : out_.write, STDERR_FILENO);
        setenv("PGCLIENTENCODING", "UTF8", 1);
        setenv("PGCONNECT_TIMEOUT", kConnectWithin, 0);
        // Arguments can be read by everybody on the machine; an environment by its user.
        if (password) setenv("PGPASSWORD", password->c_str(), 1);
        execvp("psql", arguments);
        std::fprintf(stderr,
                     "psql is not to be found. Install it (postgresql-client) or set PATH.\n");
        _exit(kNotFound);
    }

    void write_some(std::string_view& input) {
        const ssize_t length =
            write(in_.write, input.data(), std::min<std::size_t>(input.size(), PIPE_BUF));
        if (length < 0 && errno == EINTR) return;
        input.remove_prefix(length < 0 ? input.size() : static_cast<std::size_t>(length));
    }
    // At the end the descriptor is closed. What passes `most` is not kept.
    static void read_some(int& from, std::string& to, std::size_t most) {
        std::array<char, 65536> part;
        const ssize_t length = read(from, part.data(), part.size());
        if (length < 0 && errno == EINTR) return;
        if (length <= 0) return Pipe::close_end(from);
        if (to.size() < most) to.append(part.data(), static_cast<std::size_t>(length));
    }
    int wait() {
        int status = 0;
        while (waitpid(id_, &status, 0) < 0)
            if (errno != EINTR) break;
        id_ = -1;
        return status;
    }

    Pipe in_;
    Pipe out_;
    Pipe errors_;
    pid_t id_ = -1;
    std::string output_;
    std::string said_errors_;
};

constexpr char kTooLate[] = "the database has not answered in time";

Clock::time_point until_in(std::chrono::milliseconds within) {
    return within == kWithoutLimit ? kNever : Clock::now() + within;
}

Arguments arguments_for(const std::vector<std::pair<std::string, std::string>>& variables) {
    Arguments arguments{"-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"};
    for (const auto& [name, value] : variables) {
        arguments.emplace_back("-v");
        arguments.push_back(name);
        arguments.back().append("=").append(value);
    }
    return arguments;
}

// The connection string, or the name of a database, as one that asks for replication.
std::string replicating(const std::string& database) {
    if (is_uri(database))
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

Conninfo split_password(const std::string& database) {
    if (is_uri(database)) return split_uri(database);
    if (database.find('=') != std::string::npos) return split_keywords(database);
    return {database, std::nullopt};
}

std::optional<std::string> run_psql(
    const std::string& database, const std::vector<std::pair<std::string, std::string>>& variables,
    const std::string& script, std::chrono::milliseconds within) {
    Child child(database, arguments_for(variables), Errors::ToStderr);
    if (child.run(script, until_in(within), {}) == Child::End::Late) {
        std::fprintf(stderr, "fatwal: %s\n", kTooLate);
        return std::nullopt;
    }
    if (!child.succeeded()) return std::nullopt;
    return child.take_output();
}

PsqlAnswer ask_psql(const std::string& database,
                    const std::vector<std::pair<std::string, std::string>>& variables,
                    const std::string& script, std::chrono::milliseconds within) {
    Child child(database, arguments_for(variables), Errors::Apart);
    if (child.run(script, until_in(within), {}) == Child::End::Late)
        return {std::nullopt, kTooLate};
    if (child.succeeded()) return {child.take_output(), {}};
    return {std::nullopt, one_line(child.take_errors())};
}

class PsqlSession::Running : public Child {
public:
    using Child::Child;
};

PsqlSession::PsqlSession(std::string database) : database_(std::move(database)) {}
PsqlSession::~PsqlSession() = default;

PsqlAnswer PsqlSession::ask(const std::string& script, std::chrono::milliseconds within) {
    // psql prints it when the script is done. No value has a line of its own like it.
    static constexpr std::string_view kDone = "\n-- fatwal: done --\n";
    if (!child_) {
        Arguments arguments = arguments_for({});
        arguments.emplace_back("-w");  // nobody is there to type a password
        child_ = std::make_unique<Running>(database_, std::move(arguments), Errors::Apart);
    }
    const auto end = child_->run(
        script + "\n\\echo\n\\echo '" + std::string(kDone.substr(1, kDone.size() - 2)) + "'\n",
        until_in(within), [](const std::string& output) { return output.ends_with(kDone); });
    std::string text = child_->take_output();
    // Of a script that is done they are warnings, such as of a collation's version.
    const std::string errors = one_line(child_->take_errors());
    if (end == Child::End::Said) return {text.substr(0, text.size() - kDone.size()), {}};
    const bool late = end == Child::End::Late;
    if (!late) (void)child_->succeeded();
    const std::string more = late ? std::string() : one_line(child_->take_errors());
    child_.reset();
    if (late) return {std::nullopt, kTooLate};
    const std::string all = errors + (errors.empty() || more.empty() ? "" : " ") + more;
    return {std::nullopt, all.empty() ? "psql has ended" : all};
}

// A server refuses such a connection too, for a lack of rights, but in words of its own.
bool is_pooled(const std::string& database, std::chrono::milliseconds within) {
    Child child(replicating(database), {"-w", "-c", "IDENTIFY_SYSTEM"}, Errors::ToOutput);
    if (child.run({}, until_in(within), {}) == Child::End::Late || child.succeeded()) return false;
    const std::string said = child.take_output();
    return said.find("startup parameter") != std::string::npos ||
           said.find("pgbouncer") != std::string::npos;
}

}  // namespace fatwal::cli
