#include "service/watch.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace fatwal::service {

namespace {

constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::size_t kUsualTop = 50;

std::int64_t milliseconds_now() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::uint64_t open_descriptors() {
    constexpr char kFolder[] = "/proc/self/fd";
    // Since Linux 6.2 the folder's size is the number of its entries; before it is 0.
    struct stat folder {};
    if (stat(kFolder, &folder) == 0 && folder.st_size > 0)
        return static_cast<std::uint64_t>(folder.st_size);
    std::error_code error;
    const std::filesystem::directory_iterator listing(kFolder, error);
    return error ? 0
                 : static_cast<std::uint64_t>(
                       std::distance(listing, std::filesystem::directory_iterator()));
}

std::uint64_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t pages = 0;
    file >> pages >> pages;  // the second is what is resident
    return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// What needs nothing of the loop.
void write_process(MetricsText& text, const std::string& prefix) {
    rlimit limit{};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    rusage usage{};
    (void)getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    text.gauge(prefix + "_open_descriptors", "File descriptors that are open", open_descriptors());
    text.gauge(prefix + "_descriptor_limit", "File descriptors that may be open",
               limit.rlim_cur == RLIM_INFINITY ? std::uint64_t{1} << 63
                                               : static_cast<std::uint64_t>(limit.rlim_cur));
    text.gauge(prefix + "_resident_memory_bytes", "Memory of the process that is resident",
               resident_bytes());
    text.counter(prefix + "_cpu_seconds_total", "Processor time of the process",
                 seconds(usage.ru_utime) + seconds(usage.ru_stime));
}

std::string plain(const Readiness& readiness, bool trusted) {
    if (readiness.why.empty() || !trusted) return readiness.word + '\n';
    return readiness.word + ": " + readiness.why + '\n';
}

}  // namespace

void TurnTimes::took(std::chrono::nanoseconds duration, Time now) {
    histogram_.observe(duration);
    if (now - begun_ >= kWindow) {
        before_ = now - begun_ < 2 * kWindow ? longest_ : std::chrono::nanoseconds{0};
        longest_ = {};
        begun_ = now;
    }
    longest_ = std::max(longest_, duration);
}

Watch::Watch(const HttpOptions& options, std::string prefix, std::chrono::milliseconds alive)
    : prefix_(std::move(prefix)),
      alive_(alive),
      seen_{nullptr, std::chrono::steady_clock::now()},
      server_(options, [this](const HttpQuery& query) { return answer(query); }) {}

void Watch::report(std::shared_ptr<const Report> report) {
    Seen next{std::move(report), std::chrono::steady_clock::now()};
    const std::lock_guard lock(mutex_);
    std::swap(seen_, next);
}

bool Watch::wants_accounts() const {
    const auto asked = accounts_asked_.load(std::memory_order_relaxed);
    return asked != 0 && milliseconds_now() - asked < std::chrono::milliseconds(kListFor).count();
}

Watch::Seen Watch::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

std::optional<HttpAnswer> Watch::answer(const HttpQuery& query) {
    const Seen now = seen();
    if (query.path == "/healthz") return health(now);
    if (query.path == "/readyz") return readiness(query, now);
    if (!query.trusted) return HttpAnswer{401, "send Authorization: Bearer TOKEN\n"};
    if (query.path != "/metrics" && query.path != "/metrics/accounts")
        return HttpAnswer{404, "/metrics, /metrics/accounts?top=50, /healthz or /readyz\n"};
    if (!now.report) return std::nullopt;  // the loop has not begun
    return query.path == "/metrics" ? metrics(now) : accounts(query, now);
}

HttpAnswer Watch::metrics(const Seen& seen) const {
    MetricsText text;
    seen.report->write(text);
    text.gauge(prefix_ + "_report_age_seconds",
               "Since the loop reported last, which it does once a second",
               std::chrono::duration<double>(std::chrono::steady_clock::now() - seen.at).count());
    write_process(text, prefix_);
    return {200, text.take(), kMetricsType};
}

std::optional<HttpAnswer> Watch::accounts(const HttpQuery& query, const Seen& seen) {
    if (seen.report->accounts == Report::Accounts::Unknown)
        return HttpAnswer{404, "this process has no list of accounts\n"};
    std::size_t top = kUsualTop;
    if (const auto given = query.parameters.find("top"); given != query.parameters.end()) {
        const char* const end = given->second.data() + given->second.size();
        const auto [read, error] = std::from_chars(given->second.data(), end, top);
        if (error != std::errc() || read != end || top == 0 || top > kMostAccounts)
            return HttpAnswer{400, "top is 1 to " + std::to_string(kMostAccounts) + '\n'};
    }
    accounts_asked_.store(milliseconds_now(), std::memory_order_relaxed);
    if (seen.report->accounts == Report::Accounts::NotListed) return std::nullopt;
    MetricsText text;
    seen.report->write_accounts(text, top);
    return HttpAnswer{200, text.take(), kMetricsType};
}

HttpAnswer Watch::health(const Seen& seen) const {
    const auto age = std::chrono::steady_clock::now() - seen.at;
    if (age <= alive_) return {200, "ok\n"};
    return {503, "the loop has not turned for " +
                     std::to_string(std::chrono::duration_cast<std::chrono::seconds>(age).count()) +
                     " s\n"};
}

HttpAnswer Watch::readiness(const HttpQuery& query, const Seen& seen) const {
    if (HttpAnswer alive = health(seen); alive.status != 200) return alive;
    if (!seen.report) return {503, "starting\n"};
    const Readiness& found = seen.report->readiness;
    return {found.ready ? 200U : 503U, plain(found, query.trusted)};
}

}  // namespace fatwal::service
