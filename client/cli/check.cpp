#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include <zmq.hpp>

#include "commands.h"
#include "fatwal/wire/control.h"

namespace fatwal::cli {

namespace {

constexpr int kTimeoutMs = 2000;
constexpr char kQuery[] =
    "SELECT requirement, CASE WHEN ok THEN 'ok' ELSE 'NOT OK' END AS state, found, mend FROM "
    "fatwal.check()";

int check_sidecar(const std::string& control) {
    zmq::context_t context;
    zmq::socket_t socket(context, zmq::socket_type::dealer);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::rcvtimeo, kTimeoutMs);
    socket.connect(control);
    const std::string request = wire::encode({1, wire::Status{}});
    socket.send(zmq::message_t(request.data(), request.size()), zmq::send_flags::dontwait);
    zmq::message_t reply;
    if (!socket.recv(reply)) {
        std::fprintf(stderr, "fatwald does not answer at %s. Is it running, with this --control?\n",
                     control.c_str());
        return 1;
    }
    const auto decoded =
        wire::decode_control({static_cast<const std::byte*>(reply.data()), reply.size()});
    const auto* status =
        decoded.message ? std::get_if<wire::StatusReply>(&decoded.message->body) : nullptr;
    if (status == nullptr) {
        std::fprintf(stderr, "fatwald's answer is not understood: it may be of another version\n");
        return 1;
    }
    std::puts("fatwald");
    for (const auto& [name, value] : status->values)
        std::printf("  %-18s %s\n", name.c_str(), value.c_str());
    std::fflush(stdout);
    return 0;
}

// By psql, which every client installation has: the command line does not link libpq.
int check_database(const std::string& database) {
    const pid_t child = fork();
    if (child == 0) {
        execlp("psql", "psql", "-X", "-d", database.c_str(), "-c", kQuery,
               static_cast<char*>(nullptr));
        std::fprintf(stderr, "psql is not to be found; run this in the database: %s;\n", kQuery);
        _exit(1);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0) return 1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

}  // namespace

int check(const CheckArguments& arguments) {
    if (arguments.control.empty() && arguments.database.empty()) {
        std::fprintf(stderr,
                     "nothing to check: give --control ENDPOINT, --database CONNINFO or both\n");
        return 2;
    }
    const int sidecar = arguments.control.empty() ? 0 : check_sidecar(arguments.control);
    const int database = arguments.database.empty() ? 0 : check_database(arguments.database);
    return sidecar != 0 || database != 0 ? 1 : 0;
}

}  // namespace fatwal::cli
