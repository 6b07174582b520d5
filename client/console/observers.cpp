#include "client/console/observers.h"

#include <algorithm>
#include <utility>

#include "client/cli/control_client.h"
#include "client/cli/observation.h"
#include "client/cli/psql.h"
#include "client/cli/scripts.h"
#include "client/console/state.h"

namespace fatwal::console {

namespace {

using Clock = std::chrono::steady_clock;

// A name that a slot can have: nothing in it needs quotes.
bool is_slot_name(const std::string& name) {
    return !name.empty() && name.size() < 64 &&
           std::all_of(name.begin(), name.end(), [](unsigned char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
           });
}

}  // namespace

FatwaldObserver::FatwaldObserver(std::string endpoint, cli::KeyArguments keys)
    : endpoint_(std::move(endpoint)), keys_(std::move(keys)) {
    thread_.start("fatwald", [this](const service::Stop& stop) { loop(stop); });
}

void FatwaldObserver::loop(const service::Stop& stop) {
    // A socket whose handshake was refused does not come back, so a failure has another one made.
    std::unique_ptr<cli::ControlClient> client;
    do {
        cli::Observed::Fatwald now;
        try {
            if (!client)
                client = std::make_unique<cli::ControlClient>(endpoint_, keys_, kReplyWithin);
            now = cli::observe_fatwald(*client, kMostHolds);
            if (now.failure.empty())
                read_events(*client);
            else
                client.reset();
        } catch (const std::exception& error) {
            client.reset();
            now.failure = error.what();
        }
        const std::lock_guard lock(mutex_);
        seen_ = std::move(now);
    } while (!stop.wait_for(kEvery));
}

cli::Observed::Fatwald FatwaldObserver::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

// A fatwald that is older answers with an error, and has none.
void FatwaldObserver::read_events(cli::ControlClient& client) {
    for (;;) {
        auto page = client.try_ask<wire::EventList>(wire::ListEvents{after_});
        if (!page) return;
        if (page->start != start_) {
            const bool asked_for_all = after_ == 0;
            start_ = page->start;
            after_ = 0;
            if (!asked_for_all) continue;
        }
        const bool ends = page->end || page->events.empty();
        const std::lock_guard lock(mutex_);
        for (wire::EventEntry& event : page->events) {
            after_ = event.number;
            events_.push_back(std::move(event));
        }
        if (events_.size() > kMostEvents)
            events_.erase(events_.begin(), events_.end() - kMostEvents);
        if (ends) return;
    }
}

std::vector<wire::EventEntry> FatwaldObserver::take_events() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
}

DatabaseObserver::DatabaseObserver(std::string database, std::string slot)
    : database_(std::move(database)), is_named_(!slot.empty()), slot_(std::move(slot)) {
    thread_.start("database", [this](const service::Stop& stop) { loop(stop); });
}

void DatabaseObserver::loop(const service::Stop& stop) {
    cli::PsqlSession session(database_);
    Clock::time_point doctor_at = Clock::now();
    std::optional<bool> pooled;
    do {
        const auto begun = Clock::now();
        std::optional<cli::Observed::Database> doctor;
        if (begun >= doctor_at) {
            doctor = cli::observe_database(
                [&] { return session.ask(cli::kDoctorScript, kAnswerWithin); });
            if (!pooled && doctor->failure.empty()) pooled = cli::is_pooled(database_);
            doctor->pooled = pooled.value_or(false);
            const auto took = Clock::now() - begun;
            // A database that is away is asked again with the slot.
            doctor_at =
                Clock::now() + (doctor->failure.empty()
                                    ? std::max<Clock::duration>(kDoctorEvery, took * kDoctorAtMost)
                                    : Clock::duration::zero());
        }
        std::string slot;
        {
            const std::lock_guard lock(mutex_);
            if (doctor) seen_.doctor = std::move(doctor);
            slot = slot_;
        }
        Json now;
        if (is_slot_name(slot)) {
            const auto answer =
                session.ask("\\set slot " + slot + '\n' + kSlotQuery, kAnswerWithin);
            if (answer.output) {
                now = Json::parse(*answer.output, nullptr, false);
                now = now.is_object() ? std::move(now) : Json();
                if (now.is_object()) now["at"] = unix_ms();
            } else {
                doctor_at = Clock::now();
            }
        }
        const std::lock_guard lock(mutex_);
        seen_.slot = std::move(now);
    } while (!stop.wait_for(kSlotEvery));
}

DatabaseObserver::Seen DatabaseObserver::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

void DatabaseObserver::set_slot(const std::string& slot) {
    const std::lock_guard lock(mutex_);
    if (!is_named_) slot_ = slot;
}

}  // namespace fatwal::console
