// `fatwal bundle`: an archive for whoever helps.
//
// It has what doctor finds and what that was found from. Each source is named here, so nothing gets
// in that was not meant to: no query reads a row of a published table, no connection string and no
// key is written. Accounts and names are hashed with a salt that only this process knows, so who
// reads the archive can tell two accounts apart and not try names out. What is free text (errors,
// logs, a settings file) passes without_secrets() besides.
//
// The files stand in a folder of the owner's alone until `tar` has packed them.
#include <fcntl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/control_client.h"
#include "client/cli/observation.h"
#include "client/cli/redaction.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::cli {

namespace {

namespace fs = std::filesystem;
using Ordered = nlohmann::ordered_json;

constexpr char kFolder[] = "fatwal-bundle";
constexpr std::uintmax_t kMostOfALog = 1 << 20;  // of its end

// Is gone at the end, however that comes.
class Scratch {
public:
    Scratch() {
        std::string pattern = (fs::temp_directory_path() / "fatwal-bundle-XXXXXX").string();
        if (mkdtemp(pattern.data()) == nullptr)
            throw std::runtime_error("no temporary folder can be made: " +
                                     std::generic_category().message(errno));
        path_ = pattern;
        fs::create_directory(path_ / kFolder);
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    [[nodiscard]] const fs::path& path() const { return path_; }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream file(path_ / kFolder / name, std::ios::binary);
        file << text;
        if (!file.flush()) throw std::runtime_error("cannot write " + (path_ / name).string());
    }

private:
    fs::path path_;
};

std::string dumped(const Ordered& json) {
    return json.dump(-1, ' ', false, Ordered::error_handler_t::replace);
}

std::string account_text(const wire::AccountKey& account, const Disguise& disguise) {
    if (account.kind == wire::AccountKind::Operators) return "(operators)";
    return disguise(account.to_text());
}

std::string holds_text(const Observed& observed) {
    std::string out;
    if (!observed.fatwald || !observed.fatwald->holds) return out;
    for (const wire::HoldEntry& each : *observed.fatwald->holds)
        out += dumped({{"account", account_text(each.account, observed.disguise)},
                       {"subscriber", observed.disguise(each.name)},
                       {"kind", each.kind},
                       {"from", wire::lsn_text(each.from)},
                       {"behind_bytes", each.behind},
                       {"held_seconds", each.held_s},
                       {"dropped_in_seconds", each.seconds_left},
                       {"dropped_after_bytes", each.bytes_left}}) +
               '\n';
    return out;
}

std::string subscribers_text(const DoctorArguments& arguments, const Disguise& disguise) {
    std::string out;
    ControlClient client(arguments.control, arguments.keys);
    wire::ListSubscribers request;
    for (;;) {
        const auto page = client.try_ask<wire::SubscriberList>(request);
        if (!page) return out + without_secrets(client.failure()) + '\n';
        for (const wire::SubscriberEntry& each : page->subscribers) {
            request.after = each.number;
            out += dumped({{"number", each.number},
                           {"account", account_text(each.account, disguise)},
                           {"subscriber", disguise(each.name)},
                           {"credential", each.credential.empty() ? std::string("(local)")
                                                                  : disguise(each.credential)},
                           {"state", each.state},
                           {"durable", each.durable},
                           {"lag_bytes", each.lag},
                           {"unread_bytes", each.unread},
                           {"attached_seconds", each.attached_s}}) +
                   '\n';
        }
        if (page->end || page->subscribers.empty()) return out;
    }
}

std::string text_of_file(const std::string& path, std::uintmax_t most) {
    std::ifstream file(path, std::ios::binary);
    std::error_code error;
    const std::uintmax_t size = fs::file_size(path, error);
    if (!file || error)
        throw std::runtime_error(
            path + " cannot be read: " +
            (error ? error.message() : std::generic_category().message(errno)));
    if (size > most) {
        file.seekg(static_cast<std::streamoff>(size - most));
        std::string cut;  // the rest of a line
        std::getline(file, cut);
    }
    return {std::istreambuf_iterator<char>(file), {}};
}

void fill(const Scratch& scratch, const BundleArguments& arguments, const Observed& observed) {
    std::string findings;
    for (const Finding& finding : diagnose(observed)) findings += finding_json(finding) + '\n';
    scratch.write("doctor.jsonl", findings);
    scratch.write(
        "versions.json",
        dumped({{"fatwal", observed.version},
                {"fatwald", observed.fatwald && observed.fatwald->status.contains("version")
                                ? observed.fatwald->status.at("version")
                                : std::string()}}) +
            '\n');
    if (observed.fatwald) {
        scratch.write("status.json", dumped(observed.fatwald->status) + '\n');
        scratch.write("holds.jsonl", holds_text(observed));
        if (observed.fatwald->failure.empty())
            scratch.write("subscribers.jsonl",
                          subscribers_text(arguments.doctor, observed.disguise));
    }
    if (observed.database)
        scratch.write(
            "database.json",
            observed.database->facts.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
                '\n');
    if (!arguments.settings.empty())
        scratch.write("settings.txt",
                      without_secrets(text_of_file(arguments.settings, kMostOfALog)));
    int number = 0;
    for (const std::string& log : arguments.logs) {
        std::string text = without_secrets(text_of_file(log, kMostOfALog));
        if (!arguments.accounts) text = with_disguised_names(text, observed.disguise);
        scratch.write("log-" + std::to_string(++number) + ".txt", text);
    }
}

// Nobody else can read it, and nothing that was there is lost.
int open_new(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    throw std::runtime_error("the archive " + path +
                             " cannot be written: " + std::generic_category().message(errno) +
                             (errno == EEXIST ? ". Give another name." : ""));
}

bool pack(const Scratch& scratch, int to) {
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("tar cannot be started: no process can be made");
    if (child == 0) {
        dup2(to, STDOUT_FILENO);
        execlp("tar", "tar", "-C", scratch.path().c_str(), "--owner=0", "--group=0", "-cz", kFolder,
               static_cast<char*>(nullptr));
        std::fputs("tar is not to be found. Install it or set PATH.\n", stderr);
        _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

int bundle(const BundleArguments& arguments) {
    if (arguments.doctor.control.empty() && arguments.doctor.database.empty()) {
        std::fputs("nothing to collect: give --control ENDPOINT, --database CONNINFO or both\n",
                   stderr);
        return 2;
    }
    Observed observed = observe(arguments.doctor);
    std::uint64_t salt = 0;
    if (getrandom(&salt, sizeof salt, 0) != static_cast<ssize_t>(sizeof salt)) {
        std::perror("fatwal: getrandom");
        return 1;
    }
    if (!arguments.accounts)
        observed.disguise = [salt](const std::string& name) {
            return name.empty() ? name : hashed_name(name, salt);
        };
    redact(observed);
    const Scratch scratch;
    fill(scratch, arguments, observed);
    const int fd = open_new(arguments.file);
    const bool packed = pack(scratch, fd) && ::fsync(fd) == 0;
    ::close(fd);
    if (!packed) {
        ::unlink(arguments.file.c_str());
        std::fprintf(stderr, "fatwal: the archive %s could not be written\n",
                     arguments.file.c_str());
        return 1;
    }
    std::fprintf(stderr, "Wrote %s. Look through it before you send it: tar -xzf %s\n",
                 arguments.file.c_str(), arguments.file.c_str());
    return 0;
}

}  // namespace fatwal::cli
