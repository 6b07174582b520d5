// `fatwal console`: fatwald and what hangs on it, in a browser, live. A process of its own that
// asks by the control protocol and the database as anybody may, so nothing that happens here
// reaches the slot.
//
//     FatwaldObserver, DatabaseObserver ──seen──► state thread ──server-sent events──► browsers
//     browsers ──GET──► HttpServer ──► Pages ──► Jobs (lists, channels), Readers (tails, rows)
//
// Everything that waits has a thread of its own and a deadline; everything that is kept has a
// bound. A browser that does not read loses events.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <list>
#include <memory>
#include <stdexcept>

#include "client/cli/commands.h"
#include "client/console/observers.h"
#include "client/console/pages.h"
#include "client/console/state.h"
#include "service/failure.h"
#include "service/helper_thread.h"
#include "service/log.h"

namespace fatwal::console {

namespace {

constexpr std::size_t kMostHappenings = 1000;
constexpr std::chrono::milliseconds kTurnEvery{200};  // who joins waits for so long
constexpr std::chrono::milliseconds kStateEvery{1000};
constexpr std::chrono::milliseconds kStateEveryUnseen{2000};  // for the history

Json happening_json(std::uint64_t number, const std::string& endpoint, const wire::EventEntry& of) {
    constexpr const char* kLevels[] = {"info", "warning", "error", "critical"};
    return {
        {"id", number},
        {"at", of.unix_us / 1000},
        {"level", of.level == 0 || of.level > std::size(kLevels) ? "info" : kLevels[of.level - 1]},
        {"endpoint", endpoint},
        {"text", of.text}};
}

class Console {
public:
    explicit Console(const cli::ConsoleArguments& arguments)
        : arguments_(arguments), state_(FATWAL_VERSION) {
        for (const std::string& endpoint : arguments.control)
            fatwalds_.push_back(std::make_unique<FatwaldObserver>(endpoint, arguments.keys));
        if (!arguments.database.empty())
            database_ = std::make_unique<DatabaseObserver>(arguments.database, arguments.slot);
        auto options = service::http_options(arguments.http, arguments.http_token_file);
        if (!options)
            throw service::Failure("--http is empty", "There is nothing to listen at.",
                                   "Give --http 127.0.0.1:7490.");
        options->most_body_bytes = 4096;
        options->headers = Pages::headers();
        pages_ = std::make_unique<Pages>(
            arguments, *options,
            Pages::Handlers{[this](std::shared_ptr<service::HttpStream> stream) {
                                const std::lock_guard lock(mutex_);
                                joining_.push_back(std::move(stream));
                            },
                            [this] { return active(); }});
        server_ = std::make_unique<service::HttpServer>(
            *options, [this](const service::HttpQuery& query) { return pages_->answer(query); });
        thread_.start("state", [this](const service::Stop& stop) { loop(stop); });
    }

    [[nodiscard]] std::uint16_t port() const { return server_->port(); }

private:
    void loop(const service::Stop& stop) {
        do {
            turn();
        } while (!stop.wait_for(kTurnEvery));
    }

    void turn() {
        Json happened = Json::array();
        for (const auto& fatwald : fatwalds_)
            for (const wire::EventEntry& each : fatwald->take_events())
                happened.push_back(happening_json(++happening_, fatwald->endpoint(), each));
        for (const Json& each : happened) {
            happenings_.push_back(each);
            if (happenings_.size() > kMostHappenings) happenings_.pop_front();
        }
        const auto now = std::chrono::steady_clock::now();
        const bool due = now >= next_;
        if (due) {
            next_ = now + (readers_.empty() ? kStateEveryUnseen : kStateEvery);
            state_text_ = service::server_sent_event("state", text_of(state_.update(see())));
        }
        if (!happened.empty()) tell(service::server_sent_event("happened", text_of(happened)));
        if (due) tell(state_text_);
        std::list<std::shared_ptr<service::HttpStream>> joining;
        {
            const std::lock_guard lock(mutex_);
            joining.swap(joining_);
        }
        for (const auto& stream : joining) {
            stream->push(service::server_sent_event("history", text_of(state_.history())));
            stream->push(service::server_sent_event("happened", text_of(Json(happenings_))));
            stream->push(state_text_);
        }
        readers_.splice(readers_.end(), joining);
    }

    void tell(const std::string& event) {
        readers_.remove_if([](const auto& stream) { return stream->closed(); });
        for (const auto& stream : readers_) stream->push(event);
    }

    [[nodiscard]] Seen see() {
        Seen out;
        out.at_ms = unix_ms();
        out.slot_name = arguments_.slot;
        for (const auto& fatwald : fatwalds_) {
            out.endpoints.push_back(fatwald->endpoint());
            out.fatwalds.push_back(fatwald->seen());
        }
        const auto index = active_of(out.fatwalds);
        {
            const std::lock_guard lock(mutex_);
            active_ = index.value_or(0);
        }
        out.asks_database = database_ != nullptr;
        if (!database_) return out;
        if (index) {
            const auto& status = out.fatwalds[*index].status;
            if (const auto slot = status.find("slot"); slot != status.end())
                database_->set_slot(slot->second);
        }
        DatabaseObserver::Seen database = database_->seen();
        out.database = std::move(database.doctor);
        out.slot = std::move(database.slot);
        return out;
    }

    [[nodiscard]] std::string active() {
        const std::lock_guard lock(mutex_);
        return arguments_.control[active_];
    }

    const cli::ConsoleArguments arguments_;
    std::vector<std::unique_ptr<FatwaldObserver>> fatwalds_;
    std::unique_ptr<DatabaseObserver> database_;  // none: without the database
    std::mutex mutex_;
    std::size_t active_ = 0;
    std::list<std::shared_ptr<service::HttpStream>> joining_;
    // Of the thread.
    State state_;
    std::string state_text_;
    std::deque<Json> happenings_;
    std::uint64_t happening_ = 0;
    std::chrono::steady_clock::time_point next_;
    std::list<std::shared_ptr<service::HttpStream>> readers_;

    std::unique_ptr<Pages> pages_;
    std::unique_ptr<service::HttpServer> server_;  // its thread uses the pages
    service::HelperThread thread_;                 // last: its loop uses the others
};

}  // namespace

}  // namespace fatwal::console

namespace fatwal::cli {

int console(const ConsoleArguments& arguments) {
    constexpr unsigned kEndWithin = 3;  // seconds
    // Before any thread: each inherits it, so that they all leave the signals to sigwait().
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    setenv("PGAPPNAME", "fatwal console", 0);
    setenv("PGCONNECT_TIMEOUT", "5", 0);
    service::begin_log("fatwal console", service::LogLevel::Info, service::LogFormat::Text);
    try {
        const console::Console running(arguments);
        const std::string address = arguments.http.substr(0, arguments.http.rfind(':'));
        std::printf("The console is at http://%s:%u/\n", address.c_str(), running.port());
        std::fflush(stdout);
        if (!arguments.ready_file.empty() &&
            !(std::ofstream(arguments.ready_file) << running.port() << '\n'))
            throw std::runtime_error("--ready-file " + arguments.ready_file + " cannot be written");
        int signal = 0;
        sigwait(&ends, &signal);
        // Who is asked may not answer; nothing is lost when it is not waited for.
        std::signal(SIGALRM, [](int) { _exit(0); });
        alarm(kEndWithin);
        return 0;
    } catch (const service::Failure& failure) {
        throw std::runtime_error(failure.text());
    }
}

}  // namespace fatwal::cli
