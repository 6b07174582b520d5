#include "portal/process/feed.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "fatwal/wire/invariant.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::process {
namespace {

using Clock = std::chrono::steady_clock;

// For which one account's stream is at work before others have their turn.
constexpr auto kStreamSlice = std::chrono::milliseconds(5);
constexpr int kChangesAtATime = 100;  // between two looks at the clock

}  // namespace

struct Feed::Applying {
    explicit Applying(client::Transaction from) : transaction(std::move(from)) {}
    client::Transaction transaction;
    client::Transaction::Reader reader{transaction};
    std::vector<access::RowChange> changes;  // those that were read last
};

Feed::Feed(boost::asio::io_context& io, Feeds& feeds, const Settings& settings,
           std::optional<access::Uuid> account, Handlers handlers)
    : io_(io),
      feeds_(feeds),
      settings_(settings),
      account_(account),
      handlers_(std::move(handlers)),
      state_(account.value_or(access::Uuid{})),
      retry_(io),
      stale_(io),
      revoke_(io) {}

Feed::~Feed() { stop(); }

void Feed::start() {
    if (subscription_) return;
    if (!feeds_.fault().empty()) return put_aside();
    client::SubscriptionOptions options;
    options.control = settings_.control;
    options.keys = settings_.keys;
    if (account_) options.account = wire::AccountKey::from_text(account_->to_text());
    options.name = settings_.name;
    options.durable = true;
    options.not_before = shown_;
    for (const std::string_view table : access::published_tables())
        options.resync_tables.push_back("public." + std::string(table));
    subscription_ = feeds_.subscribe(std::move(options), shared_from_this());
}

void Feed::publication_changed(wire::Lsn at) {
    // The stream does not bring a snapshot of before to what was not published.
    if (shown_) shown_->next = std::max(shown_->next, at);
    if (!feeds_.fault().empty()) return put_aside();
    state_.quarantine("what is published was changed, and rows may have changed unseen");
    start_over();
}

void Feed::put_aside() {
    state_.quarantine(feeds_.fault());
    retry_.cancel();
    // What changes meanwhile is not in the stream: there is nothing to continue.
    if (subscription_) subscription_->forget();
    unsubscribe();
    lost(feeds_.fault());
}

void Feed::stop() {
    handlers_ = {};
    retry_.cancel();
    stale_.cancel();
    revoke_.cancel();
    if (subscription_) subscription_->forget();
    unsubscribe();
}

void Feed::unsubscribe() {
    joined_ = false;
    applying_.reset();
    owed_.reset();
    if (subscription_) feeds_.remove(*subscription_);
    subscription_.reset();
}

// What goes wrong with an account's rows puts that account aside.
template <class Work>
void Feed::guarded(Work work) {
    try {
        work();
    } catch (const std::exception& error) {
        state_.quarantine(error.what());
        start_over();
    }
}

void Feed::read() {
    const auto until = Clock::now() + kStreamSlice;
    while (subscription_ && !is_busy() && Clock::now() < until) {
        auto event = subscription_->next(std::chrono::milliseconds(0));
        if (!event) return;
        guarded([&] { handle(*event); });
    }
    if (subscription_ && is_busy()) subscription_->pause();
}

void Feed::go_on() {
    if (subscription_ && !is_busy()) subscription_->resume();
}

void Feed::apply(client::Transaction transaction) {
    FATWAL_INVARIANT(!applying_, "a transaction is whole before the next one begins");
    state_.begin_transaction(transaction.commit_lsn);
    applying_ = std::make_unique<Applying>(std::move(transaction));
    apply_on(Clock::now() + kStreamSlice);
}

void Feed::apply_on(Clock::time_point until) {
    Applying& now = *applying_;
    while (!now.reader.done()) {
        if (Clock::now() >= until) return apply_later();
        now.changes.clear();
        for (int i = 0; i < kChangesAtATime; ++i) {
            const auto change = now.reader.next();
            if (!change) break;
            access::typed_change(*change, now.changes, unknown_);
        }
        for (const access::RowChange& change : now.changes) state_.change(change);
    }
    if (Clock::now() >= until) return apply_later();
    const auto committed = now.transaction.commit_time;
    applying_.reset();
    applied(state_.end_transaction(), committed);
}

void Feed::apply_later() {
    boost::asio::post(io_, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self) return;
        if (self->applying_) self->guarded([&] { self->apply_on(Clock::now() + kStreamSlice); });
        if (self->applying_) return;
        self->handlers_.applied();
        self->go_on();
    });
}

void Feed::applied(access::Affected affected, access::Instant committed) {
    FATWAL_INVARIANT(!applying_, "a transaction is shown when it is whole");
    log(affected);
    shown_ = subscription_->cursor();
    if (affected.quarantined) return start_over();
    if (handlers_.transaction && state_.live())
        handlers_.transaction(std::move(affected), committed);
    acknowledge();
}

void Feed::acknowledge() {
    if (!subscription_) return;
    if (is_busy())
        owed_ = subscription_->cursor();
    else
        subscription_->ack();
}

void Feed::handed_over() {
    if (subscription_ && owed_) subscription_->ack(*owed_);
    owed_.reset();
    go_on();
}

void Feed::handle(client::Event& event) {
    const std::string name = account_ ? account_->to_text() : "operators";
    if (std::holds_alternative<client::SnapshotBegin>(event)) {
        state_.begin_snapshot();
        refused_ = false;
    } else if (const auto* rows = std::get_if<client::SnapshotRows>(&event)) {
        rows->for_each([&](const client::Row& row) {
            if (auto change = access::typed_row(row))
                state_.snapshot_row(std::move(*change));
            else
                ++unknown_;
        });
    } else if (std::holds_alternative<client::SnapshotEnd>(event)) {
        const auto cursor = subscription_->cursor();
        state_.end_rows(cursor ? access::Position{cursor->history, cursor->next - 1}
                               : access::Position{});
        // The snapshot was void: another one is tried, as the table may be mended meanwhile.
        if (state_.status() != access::AccountState::Status::CatchingUp) return start_over();
        subscription_->ack();
    } else if (std::holds_alternative<client::CaughtUp>(event)) {
        go_live();
    } else if (auto* transaction = std::get_if<client::Transaction>(&event)) {
        apply(std::move(*transaction));
    } else if (const auto* resync = std::get_if<client::Resync>(&event)) {
        spdlog::warn("account {}: {}; a new snapshot is taken", name, resync->reason);
        state_.quarantine(resync->reason);
        doubt();
    } else if (std::holds_alternative<client::Joined>(event)) {
        joined_ = true;
        lost_ = false;
        stale_.cancel();
        if (state_.live()) believe();
    } else if (const auto* lost_event = std::get_if<client::Lost>(&event)) {
        spdlog::warn("account {}: {}", name, lost_event->reason);
        if (lost_event->error && lost_event->error->code == wire::ErrorCode::SnapshotFailed)
            refused_ = true;
        lost(lost_event->reason);
    } else if (const auto* error = std::get_if<client::StreamError>(&event)) {
        spdlog::error("account {}: {}", name, error->message);
    }
}

void Feed::go_live() {
    // A promoted server's history continues that of the one before.
    const auto cursor = subscription_->cursor();
    if (cursor && state_.follow(cursor->history) && handlers_.snapshot) return handlers_.snapshot();
    if (state_.status() != access::AccountState::Status::CatchingUp) return;
    log(state_.go_live());
    believe();
    spdlog::info("account {}: rows as of {}",
                 account_ ? account_->to_text() : std::string("operators"),
                 wire::lsn_text(state_.position().lsn));
    shown_ = subscription_->cursor();
    pause_.well(std::chrono::steady_clock::now());
    if (handlers_.snapshot) handlers_.snapshot();
    acknowledge();
}

void Feed::log(const access::Affected& affected) const {
    for (const auto& issue : affected.issues)
        spdlog::error("account {}: the row {} of {} is left out: {}", state_.account_id().to_text(),
                      issue.key, issue.table, issue.reason);
    for (const auto& ignored : affected.ignored_settings)
        spdlog::warn("account {}: the setting {}", state_.account_id().to_text(), ignored);
    if (affected.bad_rows > affected.issues.size())
        spdlog::error("account {}: {} rows are left out in all", state_.account_id().to_text(),
                      affected.bad_rows);
}

void Feed::doubt() {
    if (settings_.revoke_after_s == 0 || std::exchange(doubts_, true)) return;
    revoke_.expires_after(std::chrono::seconds(settings_.revoke_after_s));
    revoke_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
        const auto self = weak.lock();
        if (!self || error || !self->doubts_ || !self->handlers_.revoke) return;
        spdlog::error("account {}: nothing certain is known for {} s: what was granted ends",
                      self->state_.account_id().to_text(), self->settings_.revoke_after_s);
        self->handlers_.revoke();
    });
}

void Feed::believe() {
    doubts_ = false;
    revoke_.cancel();
}

void Feed::lost(const std::string& reason) {
    doubt();
    if (std::exchange(lost_, true)) return;
    stale_.expires_after(std::chrono::seconds(settings_.stale_after_s));
    stale_.async_wait([weak = weak_from_this(), reason](boost::system::error_code error) {
        const auto self = weak.lock();
        if (!self || error || !self->lost_ || !self->state_.live()) return;
        self->state_.quarantine("nothing was heard for " +
                                std::to_string(self->settings_.stale_after_s) + " s: " + reason);
        self->start_over();
    });
}

// The subscription resumes where it stands; only a new one begins with a snapshot.
void Feed::start_over() {
    doubt();
    const auto pause = pause_.failed(std::chrono::steady_clock::now());
    spdlog::error("account {}: {}; again in {} ms", state_.account_id().to_text(), state_.reason(),
                  pause.count());
    unsubscribe();
    retry_.expires_after(pause);
    retry_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
        const auto self = weak.lock();
        if (self && !error && self->handlers_.snapshot) self->start();
    });
}

}  // namespace fatwal::process
