#include "portal/process/doorkeeper.h"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>

#include "portal/process/background_thread.h"
#include "portal/process/clock.h"
#include "portal/process/connection.h"
#include "portal/process/envelope.h"

namespace fatwal::process {
namespace {

constexpr Connection::Limits kDoorLimits{std::chrono::seconds(3), std::chrono::seconds(1)};
constexpr std::size_t kMostTokensAtOnce = 1000;  // tokens of one query
constexpr std::chrono::milliseconds kRetry{500};

}  // namespace

class Doorkeeper::Lookup {
public:
    using Done = std::function<void(Answer)>;  // called on the thread

    Lookup(std::string database, Done done)
        : database_(std::move(database)), done_(std::move(done)) {
        thread_.start("doorkeeper", [this] { loop(); });
    }
    Lookup(const Lookup&) = delete;
    Lookup& operator=(const Lookup&) = delete;

    // One query at a time: not before `done_` was called for the last one.
    void ask(std::vector<Uuid> tokens) {
        thread_.change([&] { asked_ = std::move(tokens); });
    }

private:
    void loop() {
        std::unique_ptr<Connection> connection;
        const auto has_work = [this] { return !under_way_.empty() || !asked_.empty(); };
        while (thread_.wait_until(BackgroundThread::kNever, has_work)) {
            if (under_way_.empty()) thread_.with_lock([this] { under_way_.swap(asked_); });
            Answer answer;
            answer.asked = under_way_;
            try {
                if (!connection || !connection->open())
                    connection = std::make_unique<Connection>(database_, kDoorLimits);
                answer.tokens = read_tokens(*connection, answer.asked);
            } catch (const std::exception& error) {
                spdlog::error("cannot look tokens up: {}", error.what());
                connection.reset();
                answer.failed = true;
            }
            done_(std::move(answer));
            under_way_.clear();
        }
    }

    std::string database_;
    Done done_;
    std::vector<Uuid> asked_;      // shared with the thread
    std::vector<Uuid> under_way_;  // of the thread, until they are answered
    BackgroundThread thread_;
};

Doorkeeper::Doorkeeper(boost::asio::io_context& io, std::string database,
                       std::chrono::seconds patience, std::size_t most, Proven proven,
                       Unproven unproven)
    : io_(io),
      patience_(patience),
      most_(most),
      proven_(std::move(proven)),
      unproven_(std::move(unproven)),
      retry_(io),
      lookup_(std::make_unique<Lookup>(std::move(database), [this](Answer answer) {
          boost::asio::post(io_, [this, answer = std::move(answer)] { answered(answer); });
      })) {}

Doorkeeper::~Doorkeeper() {
    for (auto& [token, waiting] : waiting_) waiting.link->close("going_away");
}

void Doorkeeper::ask(JoinRequest request, std::shared_ptr<Link> link) {
    if (waiting_.size() >= most_) return disconnect(*link, "try_again");
    const Uuid token = request.token.token_id;
    link->closed = [this, token, which = link.get()] {
        const auto [begin, end] = waiting_.equal_range(token);
        for (auto at = begin; at != end; ++at)
            if (at->second.link.get() == which) {
                unproven_(at->second.request);
                waiting_.erase(at);
                return;
            }
    };
    waiting_.emplace(token, Waiting{std::move(request), std::move(link),
                                    std::chrono::steady_clock::now() + patience_});
    if (!looking_) look();
}

void Doorkeeper::look() {
    std::vector<Uuid> tokens;
    for (auto at = waiting_.begin(); at != waiting_.end() && tokens.size() < kMostTokensAtOnce;
         at = waiting_.upper_bound(at->first))
        tokens.push_back(at->first);
    looking_ = !tokens.empty();
    if (looking_) lookup_->ask(std::move(tokens));
}

void Doorkeeper::answered(const Answer& answer) {
    looking_ = false;
    if (answer.failed) {
        const auto now = std::chrono::steady_clock::now();
        std::vector<std::shared_ptr<Link>> late;
        std::erase_if(waiting_, [&](const auto& entry) {
            if (entry.second.until > now) return false;
            late.push_back(entry.second.link);
            return true;
        });
        for (const auto& link : late) disconnect(*link, "try_again");
        return look_later();
    }
    const auto now = wall_clock();
    for (const Uuid& id : answer.asked) {
        const auto found = answer.tokens.found.find(id);
        const TokenRow* row = found == answer.tokens.found.end() ? nullptr : &found->second;
        const bool is_unreadable = answer.tokens.unreadable.contains(id);
        // What is called here may close others of them.
        while (const auto node = waiting_.extract(id)) {
            Waiting waiting = std::move(node.mapped());
            waiting.link->closed = nullptr;
            if (is_unreadable) {
                disconnect(*waiting.link, "try_again");
                continue;
            }
            const auto reason = token_refusal(waiting.request.token, waiting.request.role,
                                              waiting.request.device_id, row, now);
            if (!reason) {
                proven_(std::move(waiting.request), std::move(waiting.link));
                continue;
            }
            if (*reason == "invalid_token") unproven_(waiting.request);
            disconnect(*waiting.link, *reason);
        }
    }
    if (!waiting_.empty()) look();
}

void Doorkeeper::look_later() {
    looking_ = true;
    retry_.expires_after(kRetry);
    retry_.async_wait([this](boost::system::error_code error) {
        if (!error) look();
    });
}

}  // namespace fatwal::process
