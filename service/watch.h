// How a process is seen from outside: the pages that an HttpServer answers, of what the process's
// loop has left there.
//
//     loop, once a second ──report──► Watch ◄── GET ── Prometheus, a probe, a person
//
// The loop makes a Report of plain numbers and hands it over; the server's thread writes the page
// of it. They share a pointer behind a lock that is held for as long as a pointer is copied, so no
// request holds the loop.
//
//   /metrics                 the Report, and what the system says of the process
//   /metrics/accounts?top=N  the accounts of which most came, at most kMostAccounts. The loop lists
//                            them only while somebody asks; the answer waits for its next turn
//   /healthz                 200 while the loop turns: it reported within kAlive
//   /readyz                  200 and a word when the process does its work: streaming, standby;
//                            503, a word and why when it does not: what its last attempt ended
//                            with
//
// Where a token is asked for, /healthz and /readyz answer without it too, for probes that cannot
// send one; then with the word alone.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "service/http.h"
#include "service/metrics_text.h"

namespace fatwal::service {

// Whether a process does its work.
struct Readiness {
    bool ready = false;
    std::string word;  // streaming, standby, …
    std::string why;   // with what mends it; empty: nothing is wrong
};

// What a loop leaves. Once handed over it is not changed any more.
class Report {
public:
    Report() = default;
    virtual ~Report() = default;
    Report(const Report&) = delete;
    Report& operator=(const Report&) = delete;

    // Unknown: the process has no list of them. NotListed: it lists them when somebody asks.
    enum class Accounts : std::uint8_t { Unknown, NotListed, Listed };

    virtual void write(MetricsText& text) const = 0;
    // The first `top` of its accounts, once they are Listed.
    virtual void write_accounts(MetricsText& /*text*/, std::size_t /*top*/) const {}

    Readiness readiness;
    Accounts accounts = Accounts::Unknown;
};

// How long the turns of a loop take: all of them, and the longest of the last minute or two.
class TurnTimes {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::minutes kWindow{1};

    void took(std::chrono::nanoseconds duration, Time now);
    [[nodiscard]] const Histogram& histogram() const { return histogram_; }
    [[nodiscard]] double longest() const {
        return std::chrono::duration<double>(std::max(longest_, before_)).count();
    }

private:
    Histogram histogram_{latency_bounds()};
    std::chrono::nanoseconds longest_{0};  // since begun_
    std::chrono::nanoseconds before_{0};   // in the window before
    Time begun_;
};

class Watch {
public:
    static constexpr std::chrono::seconds kAlive{10};
    static constexpr std::size_t kMostAccounts = 500;
    // Accounts are listed for so long after somebody asked for them.
    static constexpr std::chrono::seconds kListFor{90};

    // Listens at once; throws a Failure when it cannot. `prefix` begins the names of what the
    // system says of the process: fatwal, fatwal_channel.
    Watch(const HttpOptions& options, std::string prefix, std::chrono::milliseconds alive = kAlive);

    [[nodiscard]] std::uint16_t port() const { return server_.port(); }
    // The loop, once a second.
    void report(std::shared_ptr<const Report> report);
    // Whether the next report is to list accounts.
    [[nodiscard]] bool wants_accounts() const;

private:
    struct Seen {
        std::shared_ptr<const Report> report;
        std::chrono::steady_clock::time_point at;
    };
    [[nodiscard]] Seen seen() const;
    [[nodiscard]] std::optional<HttpAnswer> answer(const HttpQuery& query);
    [[nodiscard]] std::optional<HttpAnswer> accounts(const HttpQuery& query, const Seen& seen);
    [[nodiscard]] HttpAnswer metrics(const Seen& seen) const;
    [[nodiscard]] HttpAnswer health(const Seen& seen) const;
    [[nodiscard]] HttpAnswer readiness(const HttpQuery& query, const Seen& seen) const;

    const std::string prefix_;
    const std::chrono::milliseconds alive_;
    mutable std::mutex mutex_;
    Seen seen_;
    std::atomic<std::int64_t> accounts_asked_{0};  // when, in ms of the steady clock; 0: never
    HttpServer server_;                            // last: its thread uses the rest
};

}  // namespace fatwal::service
