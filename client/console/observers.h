// What is asked again and again, each on a thread of its own, so that a fatwald or a database that
// does not answer holds up nothing else: the pages show what was seen last, and its failure.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/diagnosis.h"
#include "client/console/json.h"
#include "service/helper_thread.h"

namespace fatwal::cli {
class ControlClient;
}

namespace fatwal::console {

class FatwaldObserver {
public:
    static constexpr std::chrono::milliseconds kEvery{1000};
    static constexpr std::chrono::milliseconds kReplyWithin{2000};
    static constexpr std::size_t kMostHolds = 200;    // the worst
    static constexpr std::size_t kMostEvents = 1000;  // that wait to be taken

    FatwaldObserver(std::string endpoint, cli::KeyArguments keys);

    [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
    // Without status and without failure: it was not asked yet.
    [[nodiscard]] cli::Observed::Fatwald seen() const;
    // The lines of its log that came since the last call, the oldest first.
    [[nodiscard]] std::vector<wire::EventEntry> take_events();

private:
    void loop(const service::Stop& stop);
    void read_events(cli::ControlClient& client);

    const std::string endpoint_;
    const cli::KeyArguments keys_;
    mutable std::mutex mutex_;
    cli::Observed::Fatwald seen_;
    std::vector<wire::EventEntry> events_;
    // Of the thread: the last line that came, and of which process.
    std::uint64_t start_ = 0;
    std::uint64_t after_ = 0;
    service::HelperThread thread_;  // last: its loop uses the others
};

class DatabaseObserver {
public:
    static constexpr std::chrono::milliseconds kSlotEvery{1000};
    static constexpr std::chrono::seconds kDoctorEvery{10};
    // The doctor's questions are asked so seldom that they take at most this part of the time.
    static constexpr int kDoctorAtMost = 20;
    static constexpr std::chrono::seconds kAnswerWithin{10};

    // `slot`: of --slot, or empty.
    DatabaseObserver(std::string database, std::string slot);

    struct Seen {
        std::optional<cli::Observed::Database> doctor;  // nothing: not asked yet
        Json slot;  // of kSlotQuery, with "at" in ms since 1970; null: not known
    };
    [[nodiscard]] Seen seen() const;
    // The slot that fatwald names; without effect where --slot names one.
    void set_slot(const std::string& slot);

private:
    void loop(const service::Stop& stop);

    const std::string database_;
    const bool is_named_;  // by --slot
    mutable std::mutex mutex_;
    std::string slot_;
    Seen seen_;
    service::HelperThread thread_;  // last: its loop uses the others
};

}  // namespace fatwal::console
