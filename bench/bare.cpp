// bare FOLDER SOCKETS SUBSCRIBERS BYTES RATE COUNT: what sending costs by ZeroMQ alone. COUNT
// messages of two parts (a header of 32 bytes and BYTES) go to SOCKETS publishers in turn (ipc, in
// FOLDER), each with so many subscribers, at RATE a second, each at its time. Prints the
// microseconds of processor that a message took, and how many arrived: "us N had N".
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <zmq.hpp>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Run {
    std::string folder;
    int sockets, subscribers;
    std::size_t bytes;
    double rate;
    long count;

    [[nodiscard]] std::string endpoint(int i) const {
        return "ipc://" + folder + "/" + std::to_string(i);
    }
};

// Each of the subscribers receives all publishers. Writes how many messages came to `out`, once
// none has come for a while.
void subscribe(const Run& run, int out) {
    zmq::context_t context;
    context.set(zmq::ctxopt::max_sockets, run.subscribers + 16);
    std::vector<zmq::socket_t> sockets;
    std::vector<zmq::pollitem_t> wait;
    for (int i = 0; i < run.subscribers; ++i) {
        zmq::socket_t& socket = sockets.emplace_back(context, zmq::socket_type::sub);
        socket.set(zmq::sockopt::rcvhwm, 0);
        socket.set(zmq::sockopt::subscribe, "");
        for (int n = 0; n < run.sockets; ++n) socket.connect(run.endpoint(n));
        wait.push_back({socket.handle(), 0, ZMQ_POLLIN, 0});
    }
    long had = 0;
    auto last = Clock::now();
    while (had == 0 || Clock::now() - last < 2s) {
        if (zmq::poll(wait, 500ms) == 0) continue;
        last = Clock::now();
        for (std::size_t i = 0; i < wait.size(); ++i) {
            zmq::message_t message;
            while ((wait[i].revents & ZMQ_POLLIN) != 0 &&
                   sockets[i].recv(message, zmq::recv_flags::dontwait))
                had += message.more() ? 0 : 1;
        }
    }
    (void)!write(out, &had, sizeof had);
}

double processor_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) return 2;
    const Run run{argv[1],
                  std::atoi(argv[2]),
                  std::atoi(argv[3]),
                  std::strtoul(argv[4], nullptr, 10),
                  std::atof(argv[5]),
                  std::atol(argv[6])};
    int ends[2];
    if (pipe(ends) != 0) return 1;
    const pid_t child = fork();
    if (child == 0) {
        subscribe(run, ends[1]);
        _exit(0);
    }
    zmq::context_t context;
    context.set(zmq::ctxopt::max_sockets, run.sockets + 16);
    std::vector<zmq::socket_t> sockets;
    for (int i = 0; i < run.sockets; ++i) {
        zmq::socket_t& socket = sockets.emplace_back(context, zmq::socket_type::xpub);
        socket.set(zmq::sockopt::sndhwm, 0);
        socket.set(zmq::sockopt::xpub_verbose, true);  // each subscriber is notified of
        socket.bind(run.endpoint(i));
    }
    for (zmq::socket_t& socket : sockets)
        for (int i = 0; i < run.subscribers; ++i) {
            zmq::message_t subscription;
            (void)socket.recv(subscription);
        }
    const double before = processor_seconds();
    const auto start = Clock::now();
    const std::string header(32, 'h');
    const std::string payload(run.bytes, 'x');
    for (long n = 0; n < run.count; ++n) {
        const auto due =
            start + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(static_cast<double>(n) / run.rate));
        std::this_thread::sleep_until(due);
        zmq::socket_t& socket = sockets[static_cast<std::size_t>(n % run.sockets)];
        socket.send(zmq::message_t(header.data(), header.size()), zmq::send_flags::sndmore);
        socket.send(zmq::message_t(payload.data(), payload.size()), zmq::send_flags::none);
    }
    std::this_thread::sleep_for(500ms);
    const double took = processor_seconds() - before;
    long had = 0;
    (void)!read(ends[0], &had, sizeof had);
    waitpid(child, nullptr, 0);
    std::printf("us %.3f had %ld\n", took / static_cast<double>(run.count) * 1e6, had);
    return 0;
}
