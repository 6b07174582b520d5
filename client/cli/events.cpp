// fatwal events: the newest lines of fatwald's log, as fatwald keeps them in memory. Each request
// names the number of the last line that was printed, so --follow repeats none. Numbers are of one
// process, which the reply names by its start: behind a restart they begin again.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "client/cli/commands.h"
#include "client/cli/control_client.h"
#include "client/cli/event_line.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::cli {

namespace {

constexpr std::chrono::seconds kFollowInterval{1};

std::string level_text(std::uint8_t level) {
    switch (static_cast<wire::EventLevel>(level)) {
        case wire::EventLevel::Info: return "info";
        case wire::EventLevel::Warning: return "warning";
        case wire::EventLevel::Error: return "error";
        case wire::EventLevel::Critical: return "critical";
    }
    return std::to_string(level);
}

std::string time_text(std::int64_t unix_us) {
    std::string out;
    wire::render_timestamp(unix_us - wire::kPostgresEpochUnixSeconds * 1'000'000, true,
                           wire::sink_to(out));
    return out;
}

class Printer {
public:
    explicit Printer(bool json) : json_(json) {}

    // All that fatwald has behind what was printed; false when it does not answer.
    bool print_new(ControlClient& client) {
        for (;;) {
            const auto page = client.try_ask<wire::EventList>(wire::ListEvents{after_});
            if (!page) return false;
            if (page->start != start_) {
                const bool asked_for_all = after_ == 0;
                start_ = page->start;
                after_ = 0;
                if (!asked_for_all) continue;
            }
            for (const wire::EventEntry& event : page->events) print(event);
            if (page->end || page->events.empty()) return true;
        }
    }

private:
    void print(const wire::EventEntry& event) {
        if (after_ != 0 && event.number != after_ + 1)
            std::fprintf(stderr, "%llu lines are missing: fatwald keeps only the newest\n",
                         static_cast<unsigned long long>(event.number - after_ - 1));
        after_ = event.number;
        const std::string time = time_text(event.unix_us);
        const std::string level = level_text(event.level);
        if (json_)
            std::printf(
                "{\"start\":\"%s\",\"number\":%llu,\"time\":\"%s\",\"level\":\"%s\","
                "\"text\":%s}\n",
                time_text(static_cast<std::int64_t>(start_)).c_str(),
                static_cast<unsigned long long>(event.number), time.c_str(), level.c_str(),
                json_string(event.text).c_str());
        else
            std::printf("%s %-8s %s\n", time.c_str(), level.c_str(), event.text.c_str());
    }

    bool json_;
    std::uint64_t start_ = 0;
    std::uint64_t after_ = 0;
};

// Whether the next request may be answered: fatwald restarts, or reads its credentials.
bool may_pass(const ControlClient& client) {
    return !client.refused() || client.refused() == wire::ErrorCode::NotStreaming;
}

}  // namespace

int events(const EventsArguments& arguments) {
    ControlClient client(arguments.control, arguments.keys);
    Printer printer(arguments.json);
    bool answered = true;
    for (;;) {
        const bool answers = printer.print_new(client);
        if (std::fflush(stdout) != 0) return 1;
        if (!answers && answered) std::fprintf(stderr, "%s\n", client.failure().c_str());
        answered = answers;
        if (!arguments.follow) return answers ? 0 : 1;
        if (!answers && !may_pass(client)) return 1;
        std::this_thread::sleep_for(kFollowInterval);
    }
}

}  // namespace fatwal::cli
