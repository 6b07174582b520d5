#include "portal/process/join_queue.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "portal/process/directory.h"
#include "portal/process/envelope.h"
#include "portal/process/fleet.h"
#include "portal/process/settings.h"
#include "portal/process/work_queue.h"

namespace fatwal::process {

using Clock = std::chrono::steady_clock;

JoinQueue::Step JoinQueue::next_step(Patience& patience, const Rows& rows,
                                     std::chrono::seconds timeout, Tick now) {
    if (rows.wait_for_turn) patience.until = now + timeout;
    if (!rows.are_live) return patience.until <= now ? Step::TryAgain : Step::Wait;
    if (!patience.own_until) patience.own_until = now + kOwnRowsWithin;
    return rows.has_own || *patience.own_until <= now ? Step::Enter : Step::Wait;
}

JoinQueue::JoinQueue(const AccountContext& context, const Uuid& account,
                     const access::Presence& presence, Handlers handlers)
    : context_(context),
      account_(account),
      presence_(presence),
      handlers_(std::move(handlers)),
      timer_(context.io) {}

JoinQueue::~JoinQueue() {
    for (auto& waiting : waiting_) waiting.link->close("going_away");
}

void JoinQueue::add(JoinRequest request, std::shared_ptr<Link> link) {
    if (waiting_.size() >= kMost) return disconnect(*link, "full");
    link->closed = [this, run = handlers_.run, which = link.get()] {
        run([this, which] {
            waiting_.erase(
                std::remove_if(waiting_.begin(), waiting_.end(),
                               [&](const Waiting& one) { return one.link.get() == which; }),
                waiting_.end());
            handlers_.changed();
        });
    };
    const auto until = Clock::now() + std::chrono::seconds(context_.settings.join_timeout_s);
    waiting_.push_back({std::move(request), std::move(link), {until, {}}});
}

std::vector<JoinQueue::Waiting>::iterator JoinQueue::find(const Link* link) {
    return std::find_if(waiting_.begin(), waiting_.end(),
                        [&](const Waiting& one) { return one.link.get() == link; });
}

void JoinQueue::check() {
    const auto now = Clock::now();
    const std::chrono::seconds timeout(context_.settings.join_timeout_s);
    std::vector<Waiting> still;
    std::vector<Waiting> ready;
    for (Waiting& waiting : std::exchange(waiting_, {})) {
        const auto step =
            next_step(waiting.patience, handlers_.rows(waiting.request), timeout, now);
        if (step == Step::TryAgain)
            disconnect(*waiting.link, "try_again");
        else if (step == Step::Wait || waits_for_others(waiting) || waits_for_place(waiting))
            still.push_back(std::move(waiting));
        else
            ready.push_back(std::move(waiting));
    }
    waiting_ = std::move(still);
    enter(std::move(ready), now);
    if (!waiting_.empty()) check_later();
    handlers_.changed();
}

void JoinQueue::enter(std::vector<Waiting> ready, Tick now) {
    std::size_t entered = 0;
    const auto has_room = [&] { return handlers_.has_room(*ready[entered].link); };
    while (entered < ready.size() && has_room() &&
           (entered == 0 || (handlers_.is_shown() && Clock::now() < now + WorkQueue::kSlice))) {
        Waiting& waiting = ready[entered++];
        handlers_.enter(std::move(waiting.request), waiting.link);
    }
    ready.erase(ready.begin(), ready.begin() + static_cast<std::ptrdiff_t>(entered));
    entered = 0;
    if (ready.empty()) return;
    if (!has_room()) return wait_for_room(std::move(ready), now);
    std::move(ready.begin(), ready.end(), std::back_inserter(waiting_));
    boost::asio::post(context_.io,
                      [this, run = handlers_.run] { run([this] { handlers_.check(); }); });
}

void JoinQueue::wait_for_room(std::vector<Waiting> ready, Tick now) {
    for (Waiting& waiting : ready) {
        if (!waiting.room_until)
            waiting.room_until = now + std::chrono::seconds(context_.settings.join_timeout_s);
        if (*waiting.room_until <= now)
            disconnect(*waiting.link, "try_again");
        else
            waiting_.push_back(std::move(waiting));
    }
}

void JoinQueue::check_later() {
    timer_.expires_after(kCheckEvery);
    timer_.async_wait([this, run = handlers_.run](boost::system::error_code error) {
        if (!error) run([this] { handlers_.check(); });
    });
}

bool JoinQueue::waits_for_others(Waiting& waiting) {
    using There = Waiting::There;
    if (waiting.there == There::Unknown)
        waiting.there = context_.fleet.was_paused_lately() ? There::Doubtful : There::Sure;
    if (!context_.fleet.knows_the_others()) return true;
    if (waiting.there == There::Sure) return false;
    if (std::exchange(waiting.there, There::Asked) == There::Asked) return true;
    waiting.link->probe(kPingWithin,
                        [this, run = handlers_.run, which = waiting.link.get()](bool is_there) {
                            run([this, which, is_there] { probed(which, is_there); });
                        });
    return true;
}

void JoinQueue::probed(const Link* link, bool is_there) {
    const auto found = find(link);
    if (found == waiting_.end()) return;
    if (is_there) {
        found->there = Waiting::There::Sure;
    } else {
        disconnect(*found->link, "try_again");
        waiting_.erase(found);
    }
    handlers_.check();
}

bool JoinQueue::waits_for_place(Waiting& waiting) {
    if (waiting.request.role != Role::Gateway || handlers_.refusal(waiting.request)) return false;
    const Uuid& id = waiting.request.device_id;
    const auto* online = presence_.find(id);
    if (online == nullptr || online->process == 0) return false;
    if (waiting.contest && waiting.contest->generation == online->generation)
        return !waiting.contest->is_lost && Clock::now() < waiting.contest->until;
    waiting.contest = Contest{online->generation, Clock::now() + kContestWithin};
    if (online->process == context_.directory.own())
        handlers_.probe(id, online->generation, [this, id, generation = online->generation] {
            gateway_stays(id, generation);
        });
    else
        context_.fleet.send(online->process,
                            to_json(GatewayWanted{{account_, id, online->generation}}));
    return true;
}

void JoinQueue::gateway_stays(const Uuid& id, access::Generation generation) {
    for (Waiting& waiting : waiting_)
        if (waiting.request.device_id == id && waiting.contest &&
            waiting.contest->generation == generation)
            waiting.contest->is_lost = true;
    handlers_.check();
}

}  // namespace fatwal::process
