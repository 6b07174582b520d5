#include "reread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <system_error>

#include "fatwal/wire/frame.h"
#include "fatwal/wire/schema.h"
#include "fatwal/wire/text_sink.h"
#include "stream.h"

namespace fatwal {

namespace {

constexpr std::size_t kMostHeldBytes = std::size_t{4} * 1024 * 1024;
constexpr std::size_t kItemBytes = 128;
constexpr std::chrono::seconds kStatusInterval{5};

}  // namespace

Reread::Reread(const Settings& settings, wire::AccountKey account, wire::Lsn from, int event)
    : settings_(settings),
      account_(std::move(account)),
      from_(from),
      event_(event),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      done_(from) {
    if (stop_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    thread_ = std::thread([this] { read_to_end(); });
}

Reread::~Reread() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    eventfd_write(stop_, 1);
    room_.notify_one();
    thread_.join();
    close(stop_);
}

std::optional<Reread::Item> Reread::take() {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) return std::nullopt;
    Item item = std::move(items_.front().first);
    bytes_ -= items_.front().second;
    items_.pop_front();
    room_.notify_one();
    return item;
}

// False when nobody wants more.
bool Reread::put(Item item, std::size_t bytes) {
    {
        const std::lock_guard lock(mutex_);
        if (stopping_) return false;
        if (std::holds_alternative<Reached>(item) && !items_.empty() && std::holds_alternative<Reached>(items_.back().first)) {
            items_.back().first = std::move(item);
            return true;
        }
        items_.emplace_back(std::move(item), bytes + kItemBytes);
        bytes_ += bytes + kItemBytes;
    }
    eventfd_write(event_, 1);
    return true;
}

void Reread::read_to_end() {
    try {
        read();
    } catch (Failure& failure) {
        (void)put(std::move(failure), 0);
    }
}

void Reread::read() {
    Connection connection = connect(settings_, ConnectAs::Replication, stop_);
    PGconn* server = connection.get();
    const std::string what = "cannot read the log again";
    if (PQstatus(server) != CONNECTION_OK) {
        Failure failure = failure_of(what, server);
        failure.fatal = false;
        throw failure;
    }
    for (const char* setting : kTextSettings) (void)run(server, what, setting);
    const std::string copy = (settings_.slot + "_reread").substr(0, 40) + "_" + std::to_string(PQbackendPID(server));
    const Result copied = run(server, what,
                              "SELECT lsn <= '" + wire::lsn_text(from_) + "' FROM pg_copy_logical_replication_slot(" +
                                  quote_literal(settings_.slot) + ", " + quote_literal(copy) + ", true)");
    // Postgres would begin where the slot stands, without a word.
    if (std::string(PQgetvalue(copied.get(), 0, 0)) != "t") throw Failure{what, "It is confirmed already.", {}};
    const Result started(PQexec(server, start_replication(settings_, copy, from_).c_str()));
    if (PQresultStatus(started.get()) != PGRES_COPY_BOTH) throw failure_of(what, server, started.get());
    if (PQsetnonblocking(server, 1) != 0) throw failure_of(what, server);
    Stream stream(std::move(connection));
    auto next_status = std::chrono::steady_clock::now();
    for (;;) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= next_status) {
            if (!stream.confirm(done_, done_)) throw stream.failure();
            next_status = now + kStatusInterval;
        }
        bool full = false;
        {
            std::unique_lock lock(mutex_);
            if (bytes_ >= kMostHeldBytes) room_.wait_for(lock, kStatusInterval, [this] { return stopping_ || bytes_ < kMostHeldBytes; });
            if (stopping_) return;
            full = bytes_ >= kMostHeldBytes;
        }
        if (full) continue;
        auto [message, state] = stream.next();
        if (state == Stream::State::Ended) throw stream.failure();
        if (const auto* received = std::get_if<Received>(&message)) {
            take_message(received->message);
        } else if (const auto* keepalive = std::get_if<Keepalive>(&message)) {
            done_ = std::max(done_, keepalive->wal_end);
            (void)put(Reached{done_}, 0);
            if (keepalive->reply_requested && !stream.confirm(done_, done_)) throw stream.failure();
        } else {
            std::array<pollfd, 2> wait = {pollfd{stream.fd(), POLLIN, 0}, pollfd{stop_, POLLIN, 0}};
            (void)poll(wait.data(), wait.size(), static_cast<int>(std::chrono::milliseconds(kStatusInterval).count()));
            if (!stream.read_socket()) throw stream.failure();
        }
    }
}

void Reread::take_message(wire::Bytes message) {
    const auto copy = [&] { return zmq::message_t(message.data(), message.size()); };
    if (const auto frame = wire::FrameView::parse_header(message)) {
        const bool everyone = frame->account().kind == wire::AccountKind::Everyone;
        if (everyone || frame->account() == account_.view())
            (void)put(Message{copy(), frame->has(wire::kLastOfAccount), frame->commit_lsn()}, message.size());
        if (frame->has(wire::kLastOfTransaction)) {
            done_ = std::max(done_, frame->end_lsn());
            (void)put(Reached{done_}, 0);
        }
        return;
    }
    if (wire::SchemaView::parse(message)) {
        (void)put(Message{copy(), false, 0}, message.size());
        return;
    }
    throw Failure{"the output plugin sent a message that is not understood", {}, {}};
}

}  // namespace fatwal
