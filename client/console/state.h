// What the first page shows, made of what was observed: no I/O.
//
//     State state;
//     stream.push(state.update(seen));    // each second or so
//
// fatwald and Postgres count from their start; the rates are differences of two observations that
// lie kRateOver or more apart, so one slow answer makes no peak.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/diagnosis.h"
#include "client/console/json.h"

namespace fatwal::console {

// One observation.
struct Seen {
    std::int64_t at_ms = 0;  // since 1970
    std::vector<std::string> endpoints;
    std::vector<cli::Observed::Fatwald> fatwalds;     // in the order of the endpoints
    bool asks_database = false;                       // one was named
    std::optional<cli::Observed::Database> database;  // nothing: it has not answered yet
    Json slot;                                        // as kSlotQuery gives it, or null
    std::string slot_name;                            // of --slot
};

// One JSON object: the slot :'slot', the end of the WAL and what bounds the slot.
extern const char kSlotQuery[];

class State {
public:
    static constexpr std::chrono::seconds kRateOver{5};
    static constexpr std::size_t kMostPoints = 1800;
    static constexpr std::chrono::seconds kPointEvery{2};
    static constexpr std::size_t kMostHolds = 50;

    explicit State(std::string version) : version_(std::move(version)) {}

    [[nodiscard]] Json update(const Seen& seen);
    // {"points": [...]}, the oldest first.
    [[nodiscard]] Json history() const;

private:
    using Status = std::map<std::string, std::string>;
    // Counts of the fatwald that streams.
    struct Counts {
        std::int64_t at_ms = 0;
        std::string start;  // of the process: its counts begin with it
        std::map<std::string, double> values;
        std::map<double, double> latencies;  // how many, by their upper bound in seconds
    };
    [[nodiscard]] Json flow(const Seen& seen, const Status* status);
    void count(std::int64_t at_ms, const Status& status);

    const std::string version_;
    std::deque<Counts> counts_;
    std::deque<Json> points_;
};

// Which of them is shown: the one that streams, else one that answers. Nothing: none answers.
[[nodiscard]] std::optional<std::size_t> active_of(
    const std::vector<cli::Observed::Fatwald>& fatwalds);

[[nodiscard]] Json hold_json(const wire::HoldEntry& hold);

// The one sentence: the worst that was found, or that all is well.
[[nodiscard]] Json verdict_of(const Seen& seen, std::optional<std::size_t> active,
                              const std::vector<cli::Finding>& findings);

}  // namespace fatwal::console
