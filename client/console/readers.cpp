#include "client/console/readers.h"

#include <map>
#include <utility>
#include <variant>
#include <zmq.hpp>

#include "client/cli/control_socket.h"
#include "client/cli/event_line.h"
#include "client/console/answers.h"
#include "fatwal/client/subscription.h"

namespace fatwal::console {

namespace {

using service::HttpStream;
using service::server_sent_event;

constexpr std::chrono::milliseconds kWait{200};

client::SubscriptionOptions options_for(const std::vector<std::string>& control,
                                        const cli::KeyArguments& keys,
                                        const wire::AccountKey& account) {
    client::SubscriptionOptions options;
    options.control = control;
    options.keys = cli::load_keys(keys);
    options.account = account;
    options.name = "fatwal console";
    options.resync_after = std::chrono::seconds(0);
    options.max_transaction_bytes = Readers::kMostTransactionBytes;
    options.max_ahead_bytes = Readers::kMostAheadBytes;
    options.max_queue_bytes = Readers::kMostQueueBytes;
    return options;
}

cli::LineStyle style_for(const wire::AccountKey& account) {
    cli::LineStyle style;
    if (account.kind != wire::AccountKind::Operators) style.account = account.to_text();
    return style;
}

Json lost_json(const client::Lost& lost) {
    return {{"reason", lost.reason},
            {"hint", lost.error ? lost.error->detail + ' ' + lost.error->hint : std::string()}};
}

// Events in, server-sent events out.
class Tail {
public:
    Tail(HttpStream& stream, const service::Stop& stop, const wire::AccountKey& account)
        : stream_(stream), stop_(stop), style_(style_for(account)) {}

    // `cursor`: before the event.
    void print(const client::Event& event, const std::optional<client::Cursor>& cursor) {
        cursor_ = cursor ? cli::json_string(cursor->to_text()) : "null";
        std::visit(*this, event);
    }

    void operator()(const client::Joined& joined) {
        push("joined", text_of({{"epoch", joined.epoch}, {"sequence", joined.sequence}}), 0);
    }
    void operator()(const client::Transaction& transaction) {
        std::size_t left = transaction.size();
        std::string events;
        std::size_t count = 0;
        const auto flush = [&] {
            if (count > 0) batch(events, count);
            events.clear();
            count = 0;
        };
        transaction.for_each([&](const client::Change& change) {
            --left;
            if (dropped_ > 0 || stream_.closed()) {
                ++dropped_;
                return;
            }
            if (count++ > 0) events += ',';
            events += cli::change_line(transaction, change, left == 0, style_);
            if (events.size() >= Readers::kBatchBytes) flush();
        });
        flush();
    }
    void operator()(const client::Resync& resync) {
        batch(cli::resync_line(resync.reason, style_), 1);
    }
    void operator()(const client::StreamError& error) { batch(cli::error_line(error, style_), 1); }
    void operator()(const client::Lost& lost) { push("lost", text_of(lost_json(lost)), 0); }
    template <class Other>
    void operator()(const Other&) {}

    // As soon as there is room again, also when nothing else comes.
    void tell_dropped() {
        if (dropped_ > 0 &&
            stream_.push(server_sent_event("dropped", text_of({{"events", dropped_}}))))
            dropped_ = 0;
    }

private:
    void batch(const std::string& events, std::size_t count) {
        push("batch", "{\"cursor\":" + cursor_ + ",\"events\":[" + events + "]}", count);
    }
    void push(const char* name, const std::string& data, std::size_t count) {
        tell_dropped();
        if (dropped_ > 0 || !push_in_time(server_sent_event(name, data))) dropped_ += count;
    }
    bool push_in_time(const std::string& event) {
        constexpr std::chrono::milliseconds kLookAgain{20};
        for (auto left = Readers::kRoomWithin; left.count() > 0; left -= kLookAgain) {
            if (stream_.push(event)) return true;
            if (stream_.closed() || event.size() > Readers::kMostStreamBytes) return false;
            if (stop_.wait_for(kLookAgain)) return false;
        }
        return false;
    }

    HttpStream& stream_;
    const service::Stop& stop_;
    const cli::LineStyle style_;
    std::string cursor_;
    std::size_t dropped_ = 0;
};

// Rows in; a page of them when all are there.
class Rows {
public:
    void operator()(const client::SnapshotBegin&) {
        tables_.clear();
        count_ = 0;
        shown_bytes_ = 0;
    }
    void operator()(const client::SnapshotRows& rows) {
        rows.for_each([&](const client::Row& row) {
            const std::string text = row.json().value_or("null");
            Table& table = tables_[std::string(row.schema().schema()) + '.' +
                                   std::string(row.schema().table())];
            ++count_;
            ++table.rows;
            table.bytes += text.size();
            if (table.shown == Readers::kMostRowsOfTable ||
                shown_bytes_ + text.size() > Readers::kMostRowBytes)
                return;
            shown_bytes_ += text.size();
            if (table.shown++ > 0) table.first += ',';
            table.first += text;
        });
    }
    void operator()(const client::SnapshotEnd&) { done_ = true; }
    void operator()(const client::Lost& lost) {
        if (lost.error) failure_ = text_of({{"error", lost.reason}, {"hint", lost.error->hint}});
    }
    void operator()(const client::StreamError& error) {
        failure_ = text_of({{"error", error.message}, {"hint", error.hint}});
    }
    template <class Other>
    void operator()(const Other&) {}

    [[nodiscard]] bool done() const { return done_; }
    [[nodiscard]] const std::string& failure() const { return failure_; }
    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::string text() const {
        std::string out = "{\"tables\":[";
        for (const auto& [name, table] : tables_) {
            if (out.back() != '[') out += ',';
            out +=
                "{\"table\":" + cli::json_string(name) + ",\"rows\":" + std::to_string(table.rows) +
                ",\"bytes\":" + std::to_string(table.bytes) + ",\"first\":[" + table.first + "]}";
        }
        return out + "]}";
    }

private:
    struct Table {
        std::uint64_t rows = 0;
        std::uint64_t bytes = 0;  // of their JSON
        std::string first;        // objects, with commas between
        std::size_t shown = 0;
    };
    std::map<std::string, Table> tables_;
    std::uint64_t count_ = 0;
    std::size_t shown_bytes_ = 0;
    bool done_ = false;
    std::string failure_;
};

}  // namespace

service::HttpAnswer Readers::begin(Body body) {
    const std::lock_guard lock(mutex_);
    readers_.remove_if([](const Reader& reader) { return reader.done.load(); });
    if (readers_.size() >= kMost)
        return refusal(503, "as many accounts are followed as may be", "Close a page of one.");
    Reader& reader = readers_.emplace_back();
    reader.stream = std::make_shared<HttpStream>(kMostStreamBytes);
    reader.thread.start("reader", [&reader, body = std::move(body)](const service::Stop& stop) {
        try {
            body(stop, *reader.stream);
        } catch (const std::exception& error) {
            reader.stream->push(
                server_sent_event("failed", text_of({{"error", error.what()}, {"hint", ""}})));
        }
        reader.stream->end();
        reader.done = true;
    });
    return {.type = service::kEventStream, .stream = reader.stream};
}

service::HttpAnswer Readers::tail(const wire::AccountKey& account, const std::string& from) {
    std::optional<client::Cursor> cursor;
    if (!from.empty()) {
        cursor = client::Cursor::from_text(from);
        if (!cursor)
            return refusal(400, "from is no position",
                           "Take the link that the console has made, whole.");
    }
    return begin([this, account, cursor](const service::Stop& stop, HttpStream& stream) {
        zmq::context_t context;
        client::SubscriptionOptions options = options_for(control_, keys_, account);
        options.snapshots = false;
        options.cursor = cursor;
        client::Subscription subscription(context, std::move(options));
        Tail tail(stream, stop, account);
        while (!stop.requested() && !stream.closed()) {
            const auto before = subscription.cursor();
            if (const auto event = subscription.next(kWait)) tail.print(*event, before);
            tail.tell_dropped();
        }
    });
}

service::HttpAnswer Readers::rows(const wire::AccountKey& account) {
    return begin([this, account](const service::Stop& stop, HttpStream& stream) {
        zmq::context_t context;
        client::Subscription subscription(context, options_for(control_, keys_, account));
        Rows rows;
        const auto end = std::chrono::steady_clock::now() + kRowsWithin;
        auto said = std::chrono::steady_clock::now();
        while (!stop.requested() && !stream.closed()) {
            if (const auto event = subscription.next(kWait)) std::visit(rows, *event);
            if (!rows.failure().empty()) {
                stream.push(server_sent_event("failed", rows.failure()));
                return;
            }
            if (rows.done()) {
                if (!stream.push(server_sent_event("done", rows.text())))
                    stream.push(server_sent_event(
                        "failed", text_of({{"error", "the rows are too many for a page"},
                                           {"hint", "fatwal tail --snapshot prints them"}})));
                return;
            }
            if (std::chrono::steady_clock::now() >= end) {
                stream.push(server_sent_event(
                    "failed", text_of({{"error", "the snapshot has not come in time"},
                                       {"hint", "fatwal doctor says whether snapshots fail"}})));
                return;
            }
            if (std::chrono::steady_clock::now() - said < kWait) continue;
            said = std::chrono::steady_clock::now();
            stream.push(server_sent_event("progress", text_of({{"rows", rows.count()}})));
        }
    });
}

}  // namespace fatwal::console
