#include "sidecar/postgres/stream.h"

#include <poll.h>

#include <array>
#include <bit>

#include <spdlog/spdlog.h>

#include "sidecar/postgres/network_order.h"

namespace fatwal::sidecar {

namespace {

constexpr int kDataHeaderBytes = 1 + 8 + 8 + 8;  // 'w', start, end, time
constexpr int kDataSentAt = 1 + 8 + 8;
constexpr int kKeepaliveSentAt = 1 + 8;
constexpr int kKeepaliveBytes = 1 + 8 + 8 + 1;  // 'k', end, time, reply requested

std::uint64_t now_since_postgres_epoch() {
    const auto unix_time = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(unix_time).count() -
        wire::kPostgresEpochUnixSeconds * 1'000'000);
}

}  // namespace

std::optional<PluginMessage> CopyData::next() {
    if (!left_) return std::nullopt;
    PluginMessage received{nullptr, wire::take_message(rest_)};
    left_ = !rest_.empty();
    if (received.message.size() == whole_.size()) received.buffer = std::move(buffer_);
    return received;
}

Stream::Stream(Connection connection, const Settings& settings)
    : connection_(std::move(connection)) {
    if (settings.plugin == Plugin::Pgoutput)
        decoder_ = std::make_unique<pgoutput::Decoder>(pgoutput::Decoder::Options{
            static_cast<std::size_t>(settings.frame_bytes), settings.messages, settings.slot});
}

bool Stream::learn(pgoutput::RelationFacts facts, bool insist) {
    waits_ = !decoder_->learn(std::move(facts), insist);
    return !waits_;
}

Stream::Next Stream::next() {
    if (decoder_) return next_decoded();
    if (auto received = data_.next()) return {std::move(*received)};
    return receive();
}

// A message of pgoutput may bring none, one or several of ours.
Stream::Next Stream::next_decoded() {
    for (;;) {
        if (const auto message = decoder_->next()) return {PluginMessage{nullptr, *message}};
        if (!held_) {
            Next received = receive();
            auto* data = std::get_if<PluginMessage>(&received.message);
            if (data == nullptr) return received;
            held_ = std::move(*data);
        }
        const pgoutput::Decoder::Fed fed = decoder_->feed(held_->message);
        for (const std::string& line : decoder_->take_warnings()) spdlog::warn("{}", line);
        if (fed == pgoutput::Decoder::Fed::Wants) {
            waits_ = true;
            return {};
        }
        if (fed == pgoutput::Decoder::Fed::Malformed) {
            malformed_ = Failure{"the output plugin pgoutput sent a message that is not understood",
                                 std::to_string(held_->message.size()) + " bytes.",
                                 "Is the server's version newer than this fatwald?", false};
            malformed_->decoding = true;
            return {{}, true};
        }
        held_.reset();
    }
}

// What of libpq is next. Of data the whole, when the messages of pgoutput are read, else its first
// message.
Stream::Next Stream::receive() {
    for (;;) {
        char* raw = nullptr;
        const int length = PQgetCopyData(connection_.get(), &raw, 1);
        if (length == 0) return {};
        if (length < 0) return {{}, true};
        std::unique_ptr<char, FreeCopyData> buffer(raw);
        if (raw[0] == 'w' && length >= kDataHeaderBytes) {
            sent_ = from_network<wire::Microseconds>(raw + kDataSentAt);
            if (decoder_) {
                const std::string_view data(raw + kDataHeaderBytes,
                                            static_cast<std::size_t>(length - kDataHeaderBytes));
                return {PluginMessage{std::move(buffer), wire::as_bytes(data)}};
            }
            data_ = CopyData(std::move(buffer), kDataHeaderBytes, static_cast<std::size_t>(length));
            return {std::move(*data_.next())};
        }
        if (raw[0] == 'k' && length >= kKeepaliveBytes) {
            sent_ = from_network<wire::Microseconds>(raw + kKeepaliveSentAt);
            return {Keepalive{from_network<std::uint64_t>(raw + 1), raw[kKeepaliveBytes - 1] != 0}};
        }
        // Another message type is a newer protocol's; what we need of it comes as 'w' and 'k'.
    }
}

bool Stream::confirm(wire::Lsn received, wire::Lsn confirmed, Reply reply) {
    std::array<char, 1 + 8 + 8 + 8 + 8 + 1> message{};
    message[0] = 'r';
    char* at = to_network(message.data() + 1, std::uint64_t{received});
    at = to_network(at, std::uint64_t{confirmed});
    at = to_network(at, std::uint64_t{confirmed});
    at = to_network(at, now_since_postgres_epoch());
    *at = reply == Reply::Wanted ? 1 : 0;
    PGconn* connection = connection_.get();
    if (PQputCopyData(connection, message.data(), static_cast<int>(message.size())) != 1)
        return false;
    return PQflush(connection) >= 0;
}

void Stream::finish(std::chrono::steady_clock::time_point deadline) {
    PGconn* connection = connection_.get();
    // What still comes is nobody's.
    decoder_.reset();
    held_.reset();
    waits_ = false;
    if (PQputCopyEnd(connection, nullptr) != 1) return;
    for (;;) {
        const int unsent = PQflush(connection);
        if (unsent < 0) return;
        const auto next_message = next();
        if (next_message.ended) return;
        if (!std::holds_alternative<std::monostate>(next_message.message)) continue;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                              deadline - std::chrono::steady_clock::now())
                              .count();
        if (left <= 0) return;
        pollfd wait = {fd(), static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN), 0};
        if (poll(&wait, 1, static_cast<int>(left)) <= 0 || !read_socket()) return;
    }
}

Failure Stream::failure() {
    if (malformed_) return *malformed_;
    PGconn* connection = connection_.get();
    // The stream has ended, or the connection is lost: the result is there, or never comes.
    const Result result(PQisBusy(connection) == 0 ? PQgetResult(connection) : nullptr);
    Failure failure = failure_of("the stream has ended", connection, result.get());
    if (failure.detail.empty()) failure.detail = "The server closed it.";
    if (PQstatus(connection) != CONNECTION_OK) failure.fatal = false;
    if (failure.decoding && failure.hint.empty())
        failure.hint =
            "No account receives anything until it can be decoded. If nothing can mend that: "
            "fatwal "
            "slot skip, which says what it costs.";
    return failure;
}

}  // namespace fatwal::sidecar
