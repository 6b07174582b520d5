// receive CONTROL ACCOUNT [COUNT]: follows an account from its snapshot on and decodes every value
// of every row. Prints, each line after the time in seconds since 1970:
//   snapshot begins
//   snapshot ends ROWS SECONDS    since it began, which is when the first rows were here, not when
//   it was asked for changes ROWS SECONDS          COUNT changed rows or, with the rest of their
//   transaction, more; since the first of them resync REASON, lost REASON
// Ends once it has had a snapshot and COUNT changed rows, without COUNT with SIGTERM. The status is
// 1 when a value could not be decoded.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <variant>

#include <zmq.hpp>

#include "fatwal/client/subscription.h"

namespace {

using namespace fatwal::client;
using fatwal::wire::TypeCode;
using Clock = std::chrono::system_clock;

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }
void print(const std::string& what) {
    std::printf("%.6f %s\n", seconds(Clock::now().time_since_epoch()), what.c_str());
    std::fflush(stdout);
}

// Whether the value could be read; a timestamp that microseconds since 1970 do not reach counts as
// one.
bool decode(const Row& row, std::uint16_t column) {
    switch (row.schema().columns()[column].code) {
        case TypeCode::Bool: return row.boolean(column).has_value();
        case TypeCode::Int2:
        case TypeCode::Int4:
        case TypeCode::Int8:
        case TypeCode::Oid: return row.integer(column).has_value();
        case TypeCode::Float4:
        case TypeCode::Float8: return row.floating(column).has_value();
        case TypeCode::Numeric: return row.numeric(column).has_value();
        case TypeCode::Bytea: return row.bytes(column).has_value();
        case TypeCode::Uuid: return row.uuid(column).has_value();
        case TypeCode::Jsonb: return row.jsonb(column).has_value();
        case TypeCode::Timestamp:
        case TypeCode::TimestampTz:
            return row.time(column).has_value() || row.state(column) == Row::State::Value;
        case TypeCode::Text:
        case TypeCode::Json:
        case TypeCode::Enum:
        case TypeCode::Other: return row.text(column).has_value();
        default: return row.json(column).has_value();
    }
}

class Receiver {
public:
    explicit Receiver(std::size_t most) : most_(most) {}

    [[nodiscard]] bool done() const { return snapshots_ > 0 && changes_ >= most_; }
    [[nodiscard]] std::size_t undecoded() const { return undecoded_; }

    void operator()(const Event& event) {
        if (std::holds_alternative<SnapshotBegin>(event)) {
            print("snapshot begins");
            began_ = Clock::now();
            rows_ = 0;
        } else if (const auto* rows = std::get_if<SnapshotRows>(&event)) {
            rows->for_each([this](const Row& row) { take(row); });
            rows_ += rows->size();
        } else if (std::holds_alternative<SnapshotEnd>(event)) {
            print("snapshot ends " + std::to_string(rows_) + " " +
                  std::to_string(seconds(Clock::now() - began_)));
            ++snapshots_;
        } else if (const auto* transaction = std::get_if<Transaction>(&event)) {
            take(*transaction);
        } else if (const auto* resync = std::get_if<Resync>(&event)) {
            print("resync " + resync->reason);
        } else if (const auto* lost = std::get_if<Lost>(&event)) {
            print("lost " + lost->reason);
        }
    }

private:
    void take(const Transaction& transaction) {
        const std::size_t before = changes_;
        transaction.for_each([this](const Change& change) {
            if (change.new_row) take(*change.new_row);
            if (change.old_row) take(*change.old_row);
            if (change.malformed) ++undecoded_;
            if (!change.new_row && !change.old_row) return;
            if (changes_ == 0) first_ = Clock::now();
            ++changes_;
        });
        if (before < most_ && changes_ >= most_ && most_ != 0)
            print("changes " + std::to_string(changes_) + " " +
                  std::to_string(seconds(Clock::now() - first_)));
    }
    void take(const Row& row) {
        for (std::uint16_t column = 0; column < row.schema().columns().size(); ++column)
            if (!decode(row, column) && !row.is_null(column) && !row.is_unavailable(column))
                ++undecoded_;
    }

    std::size_t most_;
    std::size_t snapshots_ = 0;
    std::size_t rows_ = 0;
    std::size_t changes_ = 0;
    std::size_t undecoded_ = 0;
    Clock::time_point began_;
    Clock::time_point first_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3 || argc > 4) return 2;
    std::signal(SIGTERM, stop);
    zmq::context_t context;
    SubscriptionOptions options;
    options.control = {argv[1]};
    options.account = fatwal::wire::AccountKey::from_text(argv[2]);
    options.name = "receive";
    Receiver receiver(argc == 4 ? std::strtoull(argv[3], nullptr, 10)
                                : std::numeric_limits<std::size_t>::max());
    Subscription subscription(context, options);
    while (stopped == 0 && !receiver.done())
        if (const auto event = subscription.next(std::chrono::milliseconds(100))) receiver(*event);
    if (receiver.undecoded() != 0)
        std::fprintf(stderr, "%zu values could not be decoded\n", receiver.undecoded());
    return receiver.undecoded() == 0 ? 0 : 1;
}
