// commit_latency MODE CONNINFO RATE WRITERS SECONDS [CONTROL]: inserts rows into `change`, each in
// a transaction of its own, RATE a second on a fixed schedule, and receives them in the same
// process, so that one clock tells. MODE: fatwal (at CONTROL), pgoutput, relay or notify. Prints,
// in microseconds from before the COMMIT to the row here, the median and the 99th percentile, then
// the rate that was achieved, and how many rows did not come: "P50 P99 RATE LOST". The first two
// seconds are not in the figures; what is lost is of all.
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "fatwal/client/subscription.h"

namespace {

using namespace fatwal;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kWarmUpSeconds = 2;
constexpr auto kNews = 5s;  // without any, what has not come is lost

[[noreturn]] void fail(const char* what, const char* why = "") {
    std::fprintf(stderr, "%s %s\n", what, why);
    std::_Exit(1);
}

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

class Connection {
public:
    explicit Connection(const std::string& conninfo)
        : connection_(PQconnectdb(conninfo.c_str()), PQfinish) {
        if (PQstatus(get()) != CONNECTION_OK) fail("connect:", PQerrorMessage(get()));
    }
    [[nodiscard]] PGconn* get() const { return connection_.get(); }

    void run(const char* sql) const {
        const Result result(PQexec(get(), sql), PQclear);
        const auto status = PQresultStatus(result.get());
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_BOTH)
            fail(sql, PQerrorMessage(get()));
    }
    void wait(std::chrono::milliseconds timeout) const {
        pollfd readable{PQsocket(get()), POLLIN, 0};
        if (poll(&readable, 1, static_cast<int>(timeout.count())) > 0 && PQconsumeInput(get()) == 0)
            fail("receive:", PQerrorMessage(get()));
    }

private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

using Taken = std::function<void(std::int64_t)>;

class Receiver {
public:
    Receiver() = default;
    virtual ~Receiver() = default;
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;
    // Waits for rows, for at most `timeout`.
    virtual void take(std::chrono::milliseconds timeout, const Taken& taken) = 0;
};

class Fatwal : public Receiver {
public:
    explicit Fatwal(const char* control) : subscription_(context_, options(control)) {
        const auto event = subscription_.next(10s);
        if (!event || !std::holds_alternative<client::Joined>(*event)) fail("did not join");
    }
    void take(std::chrono::milliseconds timeout, const Taken& taken) override {
        const auto event = subscription_.next(timeout);
        if (!event || std::holds_alternative<client::CaughtUp>(*event)) return;
        const auto* transaction = std::get_if<client::Transaction>(&*event);
        if (transaction == nullptr) fail("something else than a transaction came");
        transaction->for_each([&](const client::Change& change) {
            if (!change.new_row) fail("a change without a row");
            const auto n = change.new_row->integer("n");
            const auto account = change.new_row->integer("account_id");
            const auto filler = change.new_row->text("filler");
            if (!n || account != 1 || !filler || filler->empty())
                fail("a row that cannot be decoded");
            taken(*n);
        });
    }

private:
    static client::SubscriptionOptions options(const char* control) {
        client::SubscriptionOptions options;
        options.control = {control};
        options.account = wire::AccountKey::from_text("1");
        options.name = "commit_latency";
        options.snapshots = false;
        return options;
    }

    zmq::context_t context_;
    client::Subscription subscription_;
};

// Parses of the protocol what `n` needs, and tells a row when its message is here: it does not wait
// for the transaction to be whole.
class Pgoutput : public Receiver {
public:
    explicit Pgoutput(const std::string& conninfo)
        : connection_(conninfo + " replication=database") {
        connection_.run(
            "CREATE_REPLICATION_SLOT commit_latency TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT");
        connection_.run(
            "START_REPLICATION SLOT commit_latency LOGICAL 0/0 (proto_version '2', "
            "publication_names 'p', binary 'true')");
    }
    void take(std::chrono::milliseconds timeout, const Taken& taken) override {
        connection_.wait(timeout);
        char* bytes = nullptr;
        int length = 0;
        while ((length = PQgetCopyData(connection_.get(), &bytes, 1)) > 0) {
            const std::unique_ptr<char, decltype(&PQfreemem)> owned(bytes, PQfreemem);
            message({bytes, static_cast<std::size_t>(length)}, taken);
        }
        if (length < 0) fail("the stream has ended:", PQerrorMessage(connection_.get()));
        if (Clock::now() >= confirm_at_) confirm();
    }

private:
    static constexpr std::size_t kHeader = 25;

    static std::uint64_t read(std::string_view bytes, std::size_t at, std::size_t size) {
        if (bytes.size() < at + size) fail("a message that is too short");
        std::uint64_t out = 0;
        for (std::size_t i = at; i < at + size; ++i)
            out = out << 8U | static_cast<unsigned char>(bytes[i]);
        return out;
    }
    void message(std::string_view bytes, const Taken& taken) {
        if (bytes[0] == 'k' && read(bytes, 17, 1) != 0) confirm();
        if (bytes[0] != 'w' || bytes.size() <= kHeader) return;
        const std::string_view change = bytes.substr(kHeader);
        if (change[0] == 'I') {
            // The first column, in binary, of eight bytes.
            if (read(change, 8, 1) != 'b' || read(change, 9, 4) != 8)
                fail("a row that cannot be decoded");
            taken(static_cast<std::int64_t>(read(change, 13, 8)));
        }
        if (change[0] == 'C') had_ = read(change, 10, 8);
    }
    void confirm() {
        std::string status = "r";
        const auto append = [&](std::uint64_t value) {
            for (unsigned shift = 64; shift > 0; shift -= 8)
                status += static_cast<char>(value >> (shift - 8));
        };
        for (int i = 0; i < 3; ++i) append(had_);
        append(0);  // the time, which the server only shows
        status += '\0';
        if (PQputCopyData(connection_.get(), status.data(), static_cast<int>(status.size())) != 1 ||
            PQflush(connection_.get()) != 0)
            fail("confirm:", PQerrorMessage(connection_.get()));
        confirm_at_ = Clock::now() + 1s;
    }

    Connection connection_;
    std::uint64_t had_ = 0;  // where the last transaction ends
    Clock::time_point confirm_at_;
};

// What a publisher between the server and the receiver costs at the least: a thread that has the
// rows by pgoutput sends each through a PUB socket, with as many bytes as fatwal's message of such
// a row has, and does nothing else.
class Relay : public Receiver {
public:
    explicit Relay(const std::string& conninfo) : from_(conninfo), folder_(make_folder()) {
        const std::string endpoint = "ipc://" + folder_ + "/relay.sock";
        pub_.set(zmq::sockopt::xpub_verbose, 1);
        pub_.bind(endpoint);
        sub_.set(zmq::sockopt::subscribe, "");
        sub_.connect(endpoint);
        zmq::message_t subscribed;
        (void)pub_.recv(subscribed);
        thread_ = std::jthread([this](const std::stop_token& stop) {
            while (!stop.stop_requested())
                from_.take(100ms, [&](std::int64_t n) {
                    std::array<char, kMessage> message{};
                    std::memcpy(message.data(), &n, sizeof n);
                    pub_.send(zmq::buffer(message));
                });
        });
    }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;
    ~Relay() override { std::filesystem::remove_all(folder_); }

    void take(std::chrono::milliseconds timeout, const Taken& taken) override {
        sub_.set(zmq::sockopt::rcvtimeo, static_cast<int>(timeout.count()));
        zmq::message_t message;
        if (!sub_.recv(message)) return;
        std::int64_t n = 0;
        std::memcpy(&n, message.data(), sizeof n);
        taken(n);
    }

private:
    static constexpr std::size_t kMessage = 360;

    static std::string make_folder() {
        std::string folder = (std::filesystem::temp_directory_path() / "fatwal-XXXXXX").string();
        if (mkdtemp(folder.data()) == nullptr) fail("make a folder:", std::strerror(errno));
        return folder;
    }

    Pgoutput from_;
    std::string folder_;
    // As between two processes: with threads for input and output of its own on either side.
    zmq::context_t context_;
    zmq::context_t receivers_context_;
    zmq::socket_t pub_{context_, zmq::socket_type::xpub};
    zmq::socket_t sub_{receivers_context_, zmq::socket_type::sub};
    std::jthread thread_;
};

// Takes `n` out of the JSON without parsing the rest of it.
class Notify : public Receiver {
public:
    explicit Notify(const std::string& conninfo) : connection_(conninfo) {
        connection_.run("LISTEN account_1");
    }
    void take(std::chrono::milliseconds timeout, const Taken& taken) override {
        connection_.wait(timeout);
        while (PGnotify* notification = PQnotifies(connection_.get())) {
            const std::unique_ptr<PGnotify, decltype(&PQfreemem)> owned(notification, PQfreemem);
            const char* n = std::strstr(notification->extra, "\"n\":");
            if (n == nullptr) fail("a row that cannot be decoded");
            taken(std::strtoll(n + 4, nullptr, 10));
        }
    }

private:
    Connection connection_;
};

std::int64_t microseconds(Clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

// Row n is due n / rate seconds after the start, and taken by the first writer that is free. What
// was not begun when the time is over is not written at all.
class Writers {
public:
    Writers(std::string conninfo, bool notifies, std::int64_t rate, std::int64_t seconds)
        : conninfo_(std::move(conninfo)),
          notifies_(notifies),
          rate_(rate),
          seconds_(seconds),
          sent_(static_cast<std::size_t>(rate * seconds)) {}

    void start(int count) {
        std::vector<Connection> connections;
        for (int i = 0; i < count; ++i) connections.emplace_back(conninfo_);
        start_ = Clock::now() + 100ms;
        running_ = count;
        for (Connection& connection : connections)
            threads_.emplace_back([this, mine = std::move(connection)] {
                write(mine);
                --running_;
            });
    }
    [[nodiscard]] bool running() const { return running_ > 0; }
    // In microseconds, before the COMMIT; 0 before that.
    [[nodiscard]] std::int64_t sent(std::int64_t n) const {
        return sent_[static_cast<std::size_t>(n)];
    }
    [[nodiscard]] std::int64_t start_time() const { return microseconds(start_); }
    // Rows, sent or not.
    [[nodiscard]] std::int64_t most() const { return static_cast<std::int64_t>(sent_.size()); }

private:
    void write(const Connection& connection) {
        const std::string filler(200, 'x');
        const std::string insert = "INSERT INTO change (n, account_id, filler) VALUES ($1, 1, $2)";
        const std::string statement = !notifies_
                                          ? insert
                                          : "WITH written AS (" + insert +
                                                " RETURNING *) SELECT pg_notify('account_1', "
                                                "row_to_json(written)::text) FROM written";
        connection.run(("PREPARE change (bigint, text) AS " + statement).c_str());
        for (std::int64_t n = next_++; n < most(); n = next_++) {
            std::this_thread::sleep_until(start_ +
                                          std::chrono::microseconds(n * 1'000'000 / rate_));
            if (Clock::now() > start_ + std::chrono::seconds(seconds_)) return;
            connection.run(
                ("BEGIN; EXECUTE change (" + std::to_string(n) + ", '" + filler + "')").c_str());
            sent_[static_cast<std::size_t>(n)] = microseconds(Clock::now());
            connection.run("COMMIT");
        }
    }

    std::string conninfo_;
    bool notifies_;
    std::int64_t rate_;
    std::int64_t seconds_;
    std::vector<std::atomic<std::int64_t>> sent_;
    std::atomic<std::int64_t> next_ = 0;
    Clock::time_point start_;
    std::atomic<int> running_ = 0;
    std::vector<std::jthread> threads_;
};

std::unique_ptr<Receiver> receiver(std::string_view mode, const std::string& conninfo,
                                   const char* control) {
    if (mode == "fatwal") return std::make_unique<Fatwal>(control);
    if (mode == "pgoutput") return std::make_unique<Pgoutput>(conninfo);
    if (mode == "relay") return std::make_unique<Relay>(conninfo);
    if (mode == "notify") return std::make_unique<Notify>(conninfo);
    fail("no such mode:", mode.data());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 6 || argc > 7) return 2;
    const std::string_view mode = argv[1];
    const std::string conninfo = argv[2];
    const std::int64_t rate = std::atoll(argv[3]);
    const auto from = receiver(mode, conninfo, argc == 7 ? argv[6] : "");
    const std::int64_t seconds = std::atoll(argv[5]);
    Writers writers(conninfo, mode == "notify", rate, kWarmUpSeconds + seconds);
    writers.start(std::atoi(argv[4]));

    std::vector<std::int64_t> came(static_cast<std::size_t>(writers.most()));
    std::int64_t count = 0;
    auto news = Clock::now();
    std::int64_t sent = -1;  // not known while there are writers
    while (count != sent && (sent < 0 || Clock::now() < news + kNews)) {
        from->take(100ms, [&](std::int64_t n) {
            if (n < 0 || n >= writers.most() || writers.sent(n) == 0)
                fail("a row that was not written");
            std::int64_t& at = came[static_cast<std::size_t>(n)];
            if (at != 0) fail("a row came twice");
            at = microseconds(Clock::now());
            news = Clock::now();
            ++count;
        });
        if (sent >= 0 || writers.running()) continue;
        sent = 0;
        for (std::int64_t n = 0; n < writers.most(); ++n) sent += writers.sent(n) != 0 ? 1 : 0;
    }

    std::vector<std::int64_t> delays;
    std::int64_t counted = 0;
    for (std::int64_t n = 0; n < writers.most(); ++n) {
        if (writers.sent(n) < writers.start_time() + kWarmUpSeconds * 1'000'000) continue;
        ++counted;
        if (const std::int64_t at = came[static_cast<std::size_t>(n)]; at != 0)
            delays.push_back(at - writers.sent(n));
    }
    if (delays.empty()) fail("no rows came");
    std::sort(delays.begin(), delays.end());
    std::printf("%lld %lld %.1f %lld\n", static_cast<long long>(delays[delays.size() / 2]),
                static_cast<long long>(delays[delays.size() * 99 / 100]),
                static_cast<double>(counted) / static_cast<double>(seconds),
                static_cast<long long>(sent - count));
    return 0;
}
