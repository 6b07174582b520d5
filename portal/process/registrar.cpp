#include "portal/process/registrar.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <deque>
#include <utility>
#include <vector>

#include "portal/process/background_thread.h"
#include "portal/process/clock.h"
#include "portal/process/connection.h"
#include "portal/process/token_row.h"

namespace fatwal::process {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// A lock that is not had within this time is held for longer, so the other accounts go on.
constexpr milliseconds kLockWithin{50};
constexpr Connection::Limits kRegistrarLimits{std::chrono::seconds(3), kLockWithin};
constexpr std::size_t kMostTokens = 1000;  // of one query
constexpr milliseconds kDatabaseAgain{500};
constexpr milliseconds kFirstPause{50};  // of an account
constexpr milliseconds kLongestPause{1000};

constexpr char kRegisterClient[] =
    "SELECT outcome, field, client_id, host(client_ipv4), host(client_ipv6) FROM "
    "register_client($1, $2, $3)";
constexpr char kRegisterGateway[] =
    "SELECT outcome, field, gateway_id, host(gateway_ipv4), host(gateway_ipv6) FROM "
    "register_gateway($1, $2, $3)";

unsigned status_of(std::string_view outcome) {
    if (outcome == "created") return 201;
    if (outcome == "renewed") return 200;
    if (outcome == "invalid_token" || outcome == "token_expired") return 401;
    if (outcome == "external_id_taken" || outcome == "public_key_taken") return 409;
    if (outcome == "try_again") return 503;
    return 403;
}

Registrar::Answer refusal(const std::string& reason) {
    return {status_of(reason), {{"reason", reason}}};
}

// Another attempt may find another state: somebody holds a lock, or has made a row by hand at the
// same time (a unique or foreign key).
bool passes(const SqlError& error) {
    for (const char* state : {"55P03", "57014", "40001", "40P01", "23505", "23503"})
        if (error.state == state) return true;
    return false;
}

}  // namespace

class Registrar::Work {
public:
    using Report = std::function<void(Number, Answer)>;  // called on the thread

    struct Request {
        Number number = 0;
        Registration registration;
        Tick until;
    };

    Work(std::string database, std::size_t most_of_account, Report report)
        : database_(std::move(database)),
          most_of_account_(most_of_account),
          report_(std::move(report)) {
        thread_.start("registrar", [this] { loop(); });
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

    void add(Request request) {
        thread_.change([&] { arrived_.push_back(std::move(request)); });
    }

private:
    // Of one account, its tokens proven.
    struct Queue {
        std::deque<Request> requests;  // never empty
        Tick not_before = Tick::min();
        milliseconds pause = kFirstPause;
        bool failed = false;  // the last attempt
    };
    using Queues = std::map<Uuid, Queue>;

    void loop() {
        std::unique_ptr<Connection> connection;
        while (wait()) {
            try {
                if (!connection || !connection->open())
                    connection = std::make_unique<Connection>(database_, kRegistrarLimits);
                prove(*connection);
                const auto turn = next_turn();
                if (turn != queues_.end()) serve(*connection, turn);
            } catch (const std::exception& error) {
                spdlog::error("cannot register devices: {}", error.what());
                connection.reset();
                database_at_ = Clock::now() + kDatabaseAgain;
            }
        }
    }

    // Until there is something to do; false at the end.
    bool wait() {
        drop_late();
        Tick due = Tick::max();
        for (const auto& [account, queue] : queues_) due = std::min(due, due_at(queue));
        if (!unproven_.empty()) due = Tick::min();
        // A database that was away is left alone for a moment, whoever comes meanwhile.
        if (!thread_.sleep_until(database_at_) ||
            !thread_.wait_until(due, [this] { return !arrived_.empty(); }))
            return false;
        thread_.with_lock([this] {
            for (; !arrived_.empty(); arrived_.pop_front())
                unproven_.push_back(std::move(arrived_.front()));
        });
        return true;
    }

    // Those were answered when their time was over.
    void drop_late() {
        const auto now = Clock::now();
        const auto is_late = [&](const Request& request) { return request.until <= now; };
        std::erase_if(unproven_, is_late);
        for (auto at = queues_.begin(); at != queues_.end();) {
            std::erase_if(at->second.requests, is_late);
            at = at->second.requests.empty() ? queues_.erase(at) : std::next(at);
        }
    }

    void prove(Connection& connection) {
        if (unproven_.empty()) return;
        const std::size_t count = std::min(unproven_.size(), kMostTokens);
        std::vector<Uuid> ids;
        for (std::size_t i = 0; i < count; ++i)
            ids.push_back(unproven_[i].registration.token.token_id);
        const auto [rows, unreadable] = read_tokens(connection, ids);
        const auto now = wall_clock();
        for (std::size_t i = 0; i < count; ++i) {
            Request request = std::move(unproven_.front());
            unproven_.pop_front();
            const auto& [role, token, remote_ip, device] = request.registration;
            if (unreadable.contains(token.token_id)) {
                report_(request.number, refusal("try_again"));
                continue;
            }
            const auto found = rows.find(token.token_id);
            // The database knows whose the token is already.
            const auto reason = token_refusal(token, role, std::nullopt,
                                              found == rows.end() ? nullptr : &found->second, now);
            if (reason)
                report_(request.number, refusal(*reason));
            else
                enqueue(std::move(request));
        }
    }

    void enqueue(Request request) {
        const auto queue = queues_.try_emplace(*request.registration.token.account_id).first;
        if (queue->second.requests.size() >= most_of_account_)
            return report_(request.number, refusal("try_again"));
        queue->second.requests.push_back(std::move(request));
    }

    // Those whose attempts fail take half of the time at most, however many they are and however
    // long an attempt takes: as long as the last one took, none of them has a turn.
    [[nodiscard]] Tick due_at(const Queue& queue) const {
        return queue.failed ? std::max(queue.not_before, failed_until_) : queue.not_before;
    }

    // Accounts go in turns.
    Queues::iterator next_turn() {
        const auto now = Clock::now();
        const auto is_due = [&](const auto& entry) { return due_at(entry.second) <= now; };
        const auto begin = queues_.upper_bound(turn_);
        auto out = std::find_if(begin, queues_.end(), is_due);
        if (out == queues_.end()) {
            out = std::find_if(queues_.begin(), begin, is_due);
            if (out == begin) return queues_.end();
        }
        turn_ = out->first;
        return out;
    }

    void serve(Connection& connection, Queues::iterator turn) {
        Queue& queue = turn->second;
        const Request& request = queue.requests.front();
        Answer answer = refusal("try_again");
        const Tick begin = Clock::now();
        try {
            answer = carry_out(connection, request.registration);
            queue.pause = kFirstPause;
            queue.failed = false;
        } catch (const SqlError& error) {
            // A connection that is lost may have been lost by this very attempt.
            if (!connection.open() || passes(error)) {
                const Tick end = Clock::now();
                queue.not_before = end + queue.pause;
                queue.pause = std::min(queue.pause * 2, kLongestPause);
                queue.failed = true;
                failed_until_ = end + (end - begin);
                if (!connection.open()) throw;
                return;
            }
            // A database without the functions registers nobody.
            if (error.state == "42883") answer = {404, {{"reason", "not_found"}}};
            spdlog::error("account {}: cannot register a device: {}", turn->first.to_text(),
                          error.what());
        }
        report_(request.number, std::move(answer));
        queue.requests.pop_front();
        if (queue.requests.empty()) queues_.erase(turn);
    }

    static Answer carry_out(Connection& connection, const Registration& registration) {
        const auto row =
            connection.run(registration.role == Role::Client ? kRegisterClient : kRegisterGateway,
                           {registration.token.account_id->to_text(),
                            registration.token.token_id.to_text(), registration.device});
        const auto text = [&](int column) { return std::string(PQgetvalue(row.get(), 0, column)); };
        const unsigned status = status_of(text(0));
        if (status < 300) return {status, {{"id", text(2)}, {"ipv4", text(3)}, {"ipv6", text(4)}}};
        Answer out = refusal(text(0));
        if (PQgetisnull(row.get(), 0, 1) == 0) out.fields["field"] = text(1);
        return out;
    }

    std::string database_;
    std::size_t most_of_account_;
    Report report_;
    std::deque<Request> arrived_;  // shared with the thread
    // Of the thread.
    std::deque<Request> unproven_;
    Queues queues_;
    Uuid turn_;                        // whose turn was the last
    Tick database_at_ = Tick::min();   // not before, as it was away
    Tick failed_until_ = Tick::min();  // the same of accounts whose last attempt failed
    BackgroundThread thread_;
};

Registrar::Registrar(boost::asio::io_context& io, const std::string& database,
                     std::chrono::seconds patience, std::size_t most, Unproven unproven)
    : io_(io),
      patience_(patience),
      most_(most),
      unproven_(std::move(unproven)),
      deadline_(io),
      work_(std::make_unique<Work>(
          database, std::max<std::size_t>(most / 4, 1), [this](Number number, Answer answer) {
              boost::asio::post(io_, [this, number, answer = std::move(answer)]() mutable {
                  answered(number, std::move(answer));
              });
          })) {}

Registrar::~Registrar() = default;

void Registrar::ask(Registration registration, Done done) {
    if (waiting_.size() >= most_)
        return boost::asio::post(io_, [done = std::move(done)] { done(refusal("try_again")); });
    const Number number = ++last_;
    const Tick until = Clock::now() + patience_;
    waiting_.emplace(number, Waiting{std::move(done), until, registration.remote_ip});
    work_->add({number, std::move(registration), until});
    if (waiting_.size() == 1) keep_deadline();
}

void Registrar::answered(Number number, Answer answer) {
    const auto waiting = waiting_.extract(number);
    if (!waiting) return;
    const auto reason = answer.fields.find("reason");
    if (reason != answer.fields.end() && reason->second == "invalid_token" &&
        waiting.mapped().remote_ip)
        unproven_(*waiting.mapped().remote_ip);
    waiting.mapped().done(std::move(answer));
}

// The timer is set for the oldest; when it comes and that one was answered, for the oldest then.
void Registrar::keep_deadline() {
    if (waiting_.empty()) return;
    deadline_.expires_at(waiting_.begin()->second.until);
    deadline_.async_wait([this](boost::system::error_code error) {
        if (error) return;
        while (!waiting_.empty() && waiting_.begin()->second.until <= Clock::now())
            answered(waiting_.begin()->first, refusal("try_again"));
        keep_deadline();
    });
}

}  // namespace fatwal::process
