// What the server warns of on the replication connection: the output plugin's WARNINGs, which mean
// a table or a setting that somebody has to look after. They go to fatwald's log, each as one line.
//
// A warning comes with each change that it is about, so a text that was logged is only counted for
// a minute, and then logged again with its count. The texts that are kept are bounded, and so are
// their lengths: whoever writes changes must not be able to fill the log, nor to forge a line in
// it.
//
// libpq calls receive() on whichever thread reads the connection: first the one that connects, then
// the event loop. The logger is the event loop's alone, so a lock hands the texts over to lines().
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace fatwal::sidecar {

class Notices {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kInterval{60};
    static constexpr std::size_t kTexts =
        64;  // that are logged in an interval; others are only counted
    static constexpr std::size_t kTextBytes = 1000;  // of one that are shown

    // Has the notices of the connection come here, for as long as it lives.
    void attach(PGconn* connection) { PQsetNoticeReceiver(connection, receive, this); }

    // The next lines of the log.
    [[nodiscard]] std::vector<std::string> lines(Time now);

    // One notice, as receive() passes it on.
    void add(const std::string& text);

private:
    static void receive(void* self, const PGresult* notice);
    void count(std::string text, std::uint64_t times, Time now, std::vector<std::string>& lines);

    struct LoggedText {
        Time at;
        std::uint64_t more = 0;  // times since then
    };
    std::mutex mutex_;                           // guards come_ and lost_
    std::map<std::string, std::uint64_t> come_;  // how often each has come since lines() was called
    std::uint64_t lost_ = 0;                     // beyond what come_ holds
    std::map<std::string, LoggedText> logged_;
    LoggedText others_;  // beyond kTexts
};

// `text` as one line of at most Notices::kTextBytes bytes: control characters become blanks.
[[nodiscard]] std::string one_line(std::string text);

}  // namespace fatwal::sidecar
