#include "worker/account.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "fatwal/channel/access.h"
#include "fatwal/channel/json_text.h"
#include "worker/process.h"

namespace fatwal::worker {
namespace {

using channel::Address;
using channel::Device;
using channel::Ids;
using channel::Json;
using Clock = std::chrono::steady_clock;

// A device can be faster than the row of its own token.
constexpr auto kOwnRowsWithin = std::chrono::seconds(2);
constexpr auto kLookEvery = std::chrono::milliseconds(200);
constexpr std::size_t kMostWaiting = 10'000;  // devices
// A device that is there answers a ping at once, over whatever radio.
constexpr auto kPingWithin = std::chrono::seconds(3);
// Until it is known of a gateway at another process.
constexpr auto kContestWithin = kPingWithin + std::chrono::seconds(1);

std::string envelope(const std::string& event, const Json& payload,
                     const std::optional<channel::Time>& committed) {
    std::string out = "{";
    if (committed)
        out += "\"committed_at\":" + std::to_string(committed->time_since_epoch().count()) + ',';
    return out + "\"event\":\"" + event + "\",\"payload\":" + text_of(payload) + '}';
}

// For which one account is at work before others have their turn.
constexpr auto kSlice = std::chrono::milliseconds(5);

Rates rates_of_account(const Settings& settings) {
    return {static_cast<double>(settings.account_messages_per_second),
            static_cast<double>(settings.account_flows_per_second),
            settings.account_messages_per_second * kBytesOfMessage};
}

// A gateway answers for all its clients.
Rates rates_of(Device device, const Settings& settings) {
    const Rates account = rates_of_account(settings);
    if (device == Device::Gateway) return {account.messages / 2, account.flows, account.bytes / 2};
    return {static_cast<double>(settings.client_messages_per_second),
            static_cast<double>(settings.client_flows_per_second),
            settings.client_messages_per_second * kBytesOfMessage};
}

// Calls the channel that the session has.
template <class Session, class Call>
auto call(Session& session, Call call_it) {
    if (auto* gateway = std::get_if<std::unique_ptr<channel::GatewayChannel>>(&session.channel))
        return call_it(**gateway);
    return call_it(*std::get<std::unique_ptr<channel::ClientChannel>>(session.channel));
}

// Of a gateway's session.
template <class Session>
channel::GatewayChannel& gateway_of(Session& session) {
    return *std::get<std::unique_ptr<channel::GatewayChannel>>(session.channel);
}

}  // namespace

void disconnect_link(Link& link, const std::string& reason) {
    link.send(envelope("disconnect", {{"reason", reason}}, {}));
    link.close(reason);
}

template <class Work>
void Account::guarded(Work work) {
    if (broken_) return;
    try {
        work();
    } catch (const std::exception& error) {
        broken_ = true;
        process_.broken(weak_from_this(), id_, error.what());
    }
}

Account::Account(Process& process, const Uuid& id, const channel::Presence& presence)
    : process_(process),
      id_(id),
      presence_(presence),
      limit_(rates_of_account(process.settings())),
      queues_(std::make_shared<QueueBudget>(
          (static_cast<std::size_t>(process.settings().max_queued_mib) << 20) / 4)),
      waiting_timer_(process.io()),
      empty_since_(Clock::now()) {}

Account::~Account() {
    // What was decided holds for those that stay, as the gateways of other processes.
    busy_ = true;
    guarded([&] {
        while (!tasks_.empty() || !steps_.empty()) work_off_one();
    });
    for (auto& waiting : waiting_) waiting.link->close("going_away");
    while (!sessions_.empty()) end(sessions_.begin()->second->address, "going_away");
    feed_->stop();
}

void Account::follow() {
    feed_ = std::make_shared<Feed>(
        process_.io(), process_.feeds(), process_.settings(), id_,
        Feed::Handlers{[this] { guarded([&] { snapshot(); }); },
                       [this](channel::Affected affected, channel::Time at) {
                           guarded([&] { transaction(std::move(affected), at); });
                       },
                       [this] { return is_sliced_ || broken_; },
                       [this] { guarded([&] { work(); }); },
                       [this] { guarded([&] { revoke(); }); }});
    guarded([&] { feed_->start(); });
}

std::shared_ptr<void> Account::hold() {
    ++holds_;
    empty_since_.reset();
    return {nullptr, [weak = weak_from_this()](void*) {
                const auto self = weak.lock();
                if (!self) return;
                --self->holds_;
                if (self->empty()) self->empty_since_ = Clock::now();
            }};
}

std::size_t Account::sessions(Device device) const {
    return static_cast<std::size_t>(
        std::count_if(sessions_.begin(), sessions_.end(),
                      [&](const auto& entry) { return entry.first.first == device; }));
}

void Account::join(JoinRequest request, std::shared_ptr<Link> link) {
    empty_since_.reset();
    if (broken_) return disconnect_link(*link, "try_again");
    if (waiting_.size() >= kMostWaiting) return disconnect_link(*link, "full");
    link->closed = [weak = weak_from_this(), which = link.get()] {
        if (const auto self = weak.lock()) {
            std::erase_if(self->waiting_,
                          [&](const Waiting& waiting) { return waiting.link.get() == which; });
            if (self->empty()) self->empty_since_ = Clock::now();
        }
    };
    waiting_.push_back({std::move(request),
                        std::move(link),
                        Clock::now() + std::chrono::seconds(process_.settings().join_timeout_s),
                        {},
                        {},
                        {},
                        Waiting::There::Unknown});
    guarded([&] { admit_waiting(); });
}

bool Account::knows(const JoinRequest& request) const {
    const auto& state = feed_->state();
    const bool device = request.role == Role::Client ? state.client(request.device_id) != nullptr
                                                     : state.gateway(request.device_id) != nullptr;
    return device && state.token(request.token.token_id) != nullptr;
}

void Account::admit_waiting() {
    admits_later_ = !is_whole();
    if (admits_later_) return;
    const auto now = Clock::now();
    std::vector<Waiting> still;
    std::vector<Waiting> ready;
    for (Waiting& waiting : std::exchange(waiting_, {})) {
        if (feed_->waits_for_turn())
            waiting.until = now + std::chrono::seconds(process_.settings().join_timeout_s);
        if (live() && !waiting.own_until) waiting.own_until = now + kOwnRowsWithin;
        const bool own_rows = live() && (knows(waiting.request) || *waiting.own_until <= now);
        if (own_rows && (waits_for_others(waiting) || contests(waiting)))
            still.push_back(std::move(waiting));
        else if (own_rows)
            ready.push_back(std::move(waiting));
        else if (!live() && waiting.until <= now)
            disconnect_link(*waiting.link, "try_again");
        else
            still.push_back(std::move(waiting));
    }
    waiting_ = std::move(still);
    // After a deploy all of an account's devices come at once. While what the last one is shown is
    // not in its queue yet, nobody knows whether there is room for the next.
    std::size_t admitted = 0;
    const auto has_room = [&] { return ready[admitted].link->has_room_for_first(*queues_); };
    while (admitted < ready.size() && has_room() &&
           (admitted == 0 || (tasks_.empty() && Clock::now() < now + kSlice))) {
        Waiting& waiting = ready[admitted++];
        admit(std::move(waiting.request), waiting.link);
    }
    ready.erase(ready.begin(), ready.begin() + static_cast<std::ptrdiff_t>(admitted));
    admitted = 0;
    if (!ready.empty() && !has_room()) {
        wait_for_room(std::move(ready));
    } else if (!ready.empty()) {
        std::move(ready.begin(), ready.end(), std::back_inserter(waiting_));
        boost::asio::post(process_.io(), [weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->guarded([&] { self->admit_waiting(); });
        });
    }
    if (!waiting_.empty()) look_later();
    if (empty() && !empty_since_) empty_since_ = now;
}

void Account::wait_for_room(std::vector<Waiting> ready) {
    const auto now = Clock::now();
    for (Waiting& waiting : ready) {
        if (!waiting.room_until)
            waiting.room_until = now + std::chrono::seconds(process_.settings().join_timeout_s);
        if (*waiting.room_until <= now)
            disconnect_link(*waiting.link, "try_again");
        else
            waiting_.push_back(std::move(waiting));
    }
}

void Account::look_later() {
    waiting_timer_.expires_after(kLookEvery);
    waiting_timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
        const auto self = weak.lock();
        if (self && !error) self->guarded([&] { self->admit_waiting(); });
    });
}

bool Account::knows_token(const DeviceToken& token) const {
    const auto* row = live() ? feed_->state().token(token.token_id) : nullptr;
    return row != nullptr && token.matches(row->secret_hash);
}

std::optional<std::string> Account::refusal(const JoinRequest& request) const {
    const auto& state = feed_->state();
    if (!knows_token(request.token)) return "invalid_token";
    const auto version = channel::Version::parse(request.version);
    if (!version) return "invalid_version";
    const auto& settings = process_.settings();
    const auto minimum =
        channel::Version::parse(request.role == Role::Client ? settings.minimum_client_version
                                                             : settings.minimum_gateway_version);
    if (minimum && *version < *minimum) return "version_too_old";
    const Uuid& token = request.token.token_id;
    return request.role == Role::Client
               ? channel::client_refusal(state, request.device_id, token, wall_clock())
               : channel::gateway_refusal(state, request.device_id, token, wall_clock());
}

// What came while this process was paused may be a device's that has gone elsewhere since: it is
// let in when it is known who is where, and only if it answers.
bool Account::waits_for_others(Waiting& waiting) {
    using There = Waiting::There;
    if (waiting.there == There::Unknown)
        waiting.there = process_.fleet().was_paused_lately() ? There::Doubtful : There::Sure;
    if (!process_.fleet().knows_the_others()) return true;
    if (waiting.there == There::Sure) return false;
    if (std::exchange(waiting.there, There::Asked) == There::Asked) return true;
    waiting.link->probe(
        kPingWithin, [weak = weak_from_this(), which = waiting.link.get()](bool there) {
            const auto self = weak.lock();
            if (!self) return;
            const auto found =
                std::find_if(self->waiting_.begin(), self->waiting_.end(),
                             [&](const Waiting& one) { return one.link.get() == which; });
            if (found == self->waiting_.end()) return;
            if (there) {
                found->there = There::Sure;
            } else {
                disconnect_link(*found->link, "try_again");
                self->waiting_.erase(found);
            }
            self->guarded([&] { self->admit_waiting(); });
        });
    return true;
}

// The machine of a gateway can go without a word (its power, its NAT); the connection stands until
// a ping is missed. When the gateway is back before that, the old connection has a moment to say
// that it is there.
bool Account::contests(Waiting& waiting) {
    if (waiting.request.role != Role::Gateway || refusal(waiting.request)) return false;
    const Uuid& id = waiting.request.device_id;
    const auto* online = presence_.find(id);
    if (online == nullptr || online->process == 0) return false;
    if (waiting.contest && waiting.contest->generation == online->generation)
        return !waiting.contest->lost && Clock::now() < waiting.contest->until;
    waiting.contest = Contest{online->generation, Clock::now() + kContestWithin};
    if (online->process == process_.id())
        probe_gateway(id, online->generation, [this, id, generation = online->generation] {
            gateway_stays(id, generation);
        });
    else
        process_.ask_whether_there(id_, *online);
    return true;
}

void Account::probe_gateway(const Uuid& id, channel::Generation generation,
                            std::function<void()> stays) {
    const Address address{Device::Gateway, id, generation, process_.id()};
    Session* session = find(address);
    if (session == nullptr) return;
    session->link->probe(kPingWithin,
                         [weak = weak_from_this(), address, stays = std::move(stays)](bool there) {
                             const auto self = weak.lock();
                             if (!self || self->find(address) == nullptr) return;
                             if (there) return stays();
                             self->guarded([&] {
                                 self->end(address, "replaced");
                                 self->admit_waiting();
                             });
                         });
}

void Account::gateway_stays(const Uuid& id, channel::Generation generation) {
    for (Waiting& waiting : waiting_)
        if (waiting.request.device_id == id && waiting.contest &&
            waiting.contest->generation == generation)
            waiting.contest->lost = true;
    guarded([&] { admit_waiting(); });
}

void Account::admit(JoinRequest request, const std::shared_ptr<Link>& link) {
    // Before any session is touched: whoever may not in puts nobody out.
    if (const auto reason = refusal(request)) return disconnect_link(*link, *reason);
    const Device device = request.role == Role::Client ? Device::Client : Device::Gateway;
    if (device == Device::Gateway) {
        const auto* online = presence_.find(request.device_id);
        if (online != nullptr && online->process != process_.id())
            return disconnect_link(*link, "already_connected");
    }
    const auto entered = process_.sessions().enter(key_of(device, request.device_id));
    if (entered.generation == 0) return disconnect_link(*link, "already_connected");
    if (entered.taken_over)
        end({device, request.device_id, *entered.taken_over, process_.id()}, "replaced");

    const Address address{device, request.device_id, entered.generation, process_.id()};
    auto& session = *(sessions_[{device, request.device_id}] = std::make_unique<Session>(
                          process_.io(), address, link,
                          About{wall_clock(), request.version, request.user_agent,
                                request.remote_ip, request.token.token_id},
                          rates_of(device, process_.settings())));
    link->count_for(queues_);
    link->received = [weak = weak_from_this(), address](std::string_view text) {
        if (const auto self = weak.lock()) self->guarded([&] { self->received(address, text); });
    };
    link->closed = [weak = weak_from_this(), address] {
        if (const auto self = weak.lock()) self->guarded([&] { self->gone(address); });
    };
    auto context = process_.context(feed_->state(), presence_);
    const auto now = wall_clock();
    channel::Actions actions;
    bool joined = false;
    if (device == Device::Client) {
        auto client = std::make_unique<channel::ClientChannel>(
            std::move(context),
            channel::ClientJoin{request.device_id, request.token.token_id, request.version,
                                request.remote_ip, request.region, request.location,
                                entered.generation});
        actions = client->start(now);
        joined = !client->closed();
        session.channel = std::move(client);
        if (joined) process_.client_entered(id_, request.device_id, entered.generation);
    } else {
        auto gateway = std::make_unique<channel::GatewayChannel>(
            std::move(context),
            channel::GatewayJoin{request.device_id, request.token.token_id, request.version,
                                 request.remote_ip, request.location, entered.generation});
        actions = gateway->start(now);
        joined = !gateway->closed();
        session.channel = std::move(gateway);
        if (joined)
            process_.gateway_online(
                id_, {request.device_id, entered.generation, process_.id(),
                      channel::Version::parse(request.version).value_or(channel::Version{}),
                      request.location, request.remote_ip});
    }
    carry_out(session, std::move(actions));
    if (joined) process_.seen(std::move(request));
}

Account::Session* Account::find(const Address& address) {
    const auto found = sessions_.find({address.device, address.id});
    if (found == sessions_.end()) return nullptr;
    return address.generation == 0 || address.generation == found->second->address.generation
               ? found->second.get()
               : nullptr;
}

void Account::received(const Address& from, std::string_view text) {
    Session* session = find(from);
    if (session == nullptr) return;
    const auto limited = channel::Reply{false, {{"reason", "rate_limited"}}};
    // Before it is read: that costs most.
    if (!RateLimit::take_message(session->limit, limit_, text.size(), Clock::now()))
        return carry_out(*session, {limited});
    const Json message = channel::parse_json(text).value_or(Json());
    const auto event = message.is_object() ? message.find("event") : message.end();
    const Json ref = message.is_object() ? message.value("ref", Json()) : Json();
    if (event == message.end() || !event->is_string())
        return carry_out(*session, {channel::Reply{false, {{"reason", "malformed_message"}}}}, {},
                         ref);
    if (*event == "create_flow" && !RateLimit::take_flow(session->limit, limit_, Clock::now()))
        return carry_out(*session, {limited}, {}, ref);
    when_whole([this, from, event = event->get<std::string>(), ref,
                payload = message.value("payload", Json::object())] {
        Session* still = find(from);
        if (still == nullptr) return;
        auto actions = call(*still, [&](auto& channel) {
            return channel.on_message(event, payload, wall_clock());
        });
        carry_out(*still, std::move(actions), {}, ref);
    });
}

void Account::gone(const Address& who) {
    if (find(who) == nullptr) return;
    if (process_.sessions().leave(key_of(who.device, who.id), who.generation)) {
        if (who.device == Device::Gateway)
            process_.gateway_offline(id_, who.id, who.generation);
        else
            process_.client_left(id_, who.id, who.generation);
    }
    const auto over = sessions_.find({who.device, who.id});
    auto* gateway = std::get_if<std::unique_ptr<channel::GatewayChannel>>(&over->second->channel);
    if (gateway != nullptr && *gateway != nullptr) leaving_.push_back(std::move(*gateway));
    sessions_.erase(over);
    work();
    if (empty()) empty_since_ = Clock::now();
}

void Account::end(const Address& who, const std::string& reason) {
    Session* session = find(who);
    if (session == nullptr) return;
    disconnect_link(*session->link, reason);
    gone(who);
}

void Account::snapshot() {
    // As with a transaction, gateways come first: they cut before clients are notified.
    for (const Device device : {Device::Gateway, Device::Client})
        for (const auto& address : addresses())
            if (address.device == device)
                ask_later(address, [](Session& session) {
                    return call(session, [](auto& one) { return one.on_snapshot(wall_clock()); });
                });
    admits_later_ = true;
    if (holds_ > 0) process_.review_relays(id_);
    work();
}

void Account::transaction(channel::Affected affected, channel::Time committed) {
    // Those that lose first: a gateway has cut a client before the client learns of it.
    auto gateways = std::exchange(affected.gateways, {});
    for (auto& [id, impact] : gateways)
        ask_later(
            {Device::Gateway, id},
            [impact = std::move(impact)](Session& session) mutable {
                return gateway_of(session).on_transaction(std::move(impact), wall_clock());
            },
            committed);
    for (const auto& id : affected.clients)
        ask_later(
            {Device::Client, id},
            [](Session& session) {
                return std::get<std::unique_ptr<channel::ClientChannel>>(session.channel)
                    ->on_transaction(wall_clock());
            },
            committed);
    if (!waiting_.empty()) admits_later_ = true;
    if (holds_ > 0) process_.review_relays(id_);
    work();
}

void Account::when_whole(std::function<void()> then) {
    // Behind what waits already: a device's messages stay in their order.
    if (is_whole() && waiting_work_.empty())
        then();
    else
        waiting_work_.push_back(std::move(then));
}

void Account::clock_was_set(channel::Time::duration moved) {
    guarded([&] {
        when_whole([this, moved] {
            // As with a transaction, gateways come first: they cut before clients are notified.
            for (const Device device : {Device::Gateway, Device::Client})
                for (const auto& address : addresses())
                    if (address.device == device)
                        ask_later(address, [moved](Session& session) {
                            session.deadline.reset();
                            return call(session, [moved](auto& channel) {
                                return channel.clock_was_set(moved, wall_clock());
                            });
                        });
            work();
        });
    });
}

void Account::revoke() {
    for (const auto& address : addresses())
        if (address.device == Device::Gateway)
            ask_later(address, [](Session& session) { return gateway_of(session).reject_all(); });
    work();
}

void Account::publication_changed(wire::Lsn at) {
    guarded([&] { feed_->publication_changed(at); });
}

void Account::relays_changed() {
    // Who has yet to begin will find the relays as they are then.
    if (std::exchange(relays_wait_, true)) return;
    guarded([&] {
        when_whole([this] {
            relays_wait_ = false;
            for (const auto& address : addresses())
                ask_later(address, [](Session& session) {
                    return call(session, [](auto& one) { return one.on_relays(wall_clock()); });
                });
            work();
        });
    });
}

bool Account::deliver(const Address& to, const channel::PeerMessage& message,
                      std::function<void()> undelivered) {
    if (broken_ || find(to) == nullptr) return false;
    guarded([&] {
        when_whole([this, to, message, undelivered = std::move(undelivered)] {
            Session* session = find(to);
            if (session == nullptr) return undelivered();
            carry_out(*session, call(*session, [&](auto& channel) {
                return channel.on_peer(message, wall_clock());
            }));
        });
    });
    return true;
}

void Account::undeliverable(const Address& sender, const channel::PeerMessage& message) {
    if (sender.device != Device::Client) return;
    const auto tell = [this, sender, message] {
        Session* session = find(sender);
        if (session == nullptr) return;
        auto& client = std::get<std::unique_ptr<channel::ClientChannel>>(session->channel);
        carry_out(*session, client->undeliverable(message, wall_clock()));
    };
    guarded([&] { when_whole(tell); });
}

void Account::route(const Address& sender, Address to, const channel::PeerMessage& message) {
    if (to.process == 0) {
        const auto where = [&](const auto* online) {
            return online == nullptr ? process_.id() : online->process;
        };
        to.process = to.device == Device::Gateway ? where(presence_.find(to.id))
                                                  : where(presence_.client(to.id));
    }
    const bool taken =
        to.process == process_.id()
            ? deliver(to, message, [this, sender, message] { undeliverable(sender, message); })
            : process_.send(id_, sender, to, message);
    if (!taken) undeliverable(sender, message);
}

void Account::entered_elsewhere(Device device, const Uuid& id, channel::Generation generation,
                                channel::ProcessId process) {
    const auto current = process_.sessions().current(key_of(device, id));
    if (current && channel::came_later(generation, process, *current, process_.id()))
        guarded([&] { end({device, id, *current, process_.id()}, "replaced"); });
}

std::size_t Account::close_some(Device device, std::size_t count) {
    std::size_t closed = 0;
    guarded([&] {
        for (const auto& address : addresses()) {
            if (closed == count) break;
            if (address.device != device) continue;
            end(address, "going_away");
            ++closed;
        }
    });
    return closed;
}

bool Account::list(std::optional<Admin::Cursor> after, std::size_t limit, Json& out) const {
    auto at = after ? sessions_.upper_bound({after->device, after->id}) : sessions_.begin();
    for (; at != sessions_.end(); ++at) {
        if (out.size() == limit) return false;
        const auto& [key, session] = *at;
        const About& about = session->about;
        out.push_back({{"account", id_.to_text()},
                       {"kind", key.first == Device::Client ? "client" : "gateway"},
                       {"id", key.second.to_text()},
                       {"token", about.token_id.to_text()},
                       {"version", about.version},
                       {"user_agent", about.user_agent},
                       {"remote_ip", about.remote_ip ? Json(about.remote_ip->to_text()) : Json()},
                       {"connected_at", about.connected_at.time_since_epoch().count()}});
    }
    return true;
}

bool Account::disconnect_device(Device device, const Uuid& id) {
    const auto found = sessions_.find({device, id});
    if (found == sessions_.end()) return false;
    guarded([&] { end(found->second->address, "disconnected"); });
    return true;
}

std::size_t Account::reject(const channel::Pair& pair) {
    const std::size_t hold_it_now = gateways_that_hold(pair).size();
    guarded([&] {
        // A gateway that is in the middle of its join may come to hold it yet.
        when_whole([this, pair] {
            const auto& state = feed_->state();
            // Rows of gateways that are connected elsewhere, or nowhere.
            for (const Uuid& id : Ids(state.flows_of_client(pair.client_id)))
                if (const auto* flow = state.flow(id);
                    flow != nullptr && flow->resource_id == pair.resource_id)
                    process_.remove(id);
            for (const Address& address : gateways_that_hold(pair))
                if (Session* session = find(address))
                    carry_out(*session, gateway_of(*session).reject(pair));
        });
    });
    return hold_it_now;
}

std::vector<Address> Account::gateways_that_hold(const channel::Pair& pair) const {
    std::vector<Address> out;
    for (const auto& [key, session] : sessions_)
        if (key.first == Device::Gateway && gateway_of(*session).holds(pair))
            out.push_back(session->address);
    return out;
}

std::vector<Address> Account::addresses() const {
    std::vector<Address> out;
    out.reserve(sessions_.size());
    for (const auto& [key, session] : sessions_) out.push_back(session->address);
    return out;
}

void Account::carry_out(Session& session, channel::Actions actions,
                        std::optional<channel::Time> committed, const Json& ref) {
    keep_deadline(session);
    for (channel::Action& action : actions)
        tasks_.push_back({session.address, std::move(action), committed, ref});
    auto* gateway = std::get_if<std::unique_ptr<channel::GatewayChannel>>(&session.channel);
    // Once: what is said meanwhile, as that it sends too much, is no part of what continues.
    if (gateway != nullptr && (*gateway)->has_more() && !std::exchange(session.goes_on, true))
        steps_.push_front({session.address,
                           [](Session& same) {
                               same.goes_on = false;
                               return gateway_of(same).go_on(wall_clock());
                           },
                           committed});
    work();
}

void Account::ask_later(const Address& who, std::function<channel::Actions(Session&)> ask,
                        std::optional<channel::Time> committed) {
    steps_.push_back({who, std::move(ask), committed});
}

void Account::work() {
    // What one task brings about comes behind those that wait, as their channels have decided in
    // that order.
    if (!std::exchange(busy_, true)) work_off();
}

void Account::work_off() {
    const auto until = Clock::now() + kSlice;
    bool had_some = true;
    while (had_some && !broken_ && Clock::now() < until) had_some = work_off_one();
    if (broken_) return;
    if (!had_some) {
        busy_ = false;
        if (std::exchange(is_sliced_, false)) feed_->handed_over();
        return;
    }
    is_sliced_ = true;
    boost::asio::post(process_.io(), [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->guarded([&] { self->work_off(); });
    });
}

bool Account::work_off_one() {
    if (!tasks_.empty()) {
        carry_out_next();
    } else if (!steps_.empty()) {
        ask_next();
    } else if (!leaving_.empty()) {
        if (!leaving_.front()->let_go()) leaving_.pop_front();
    } else if (!is_whole()) {
        return false;
    } else if (!waiting_work_.empty()) {
        const auto then = std::move(waiting_work_.front());
        waiting_work_.pop_front();
        then();
    } else if (admits_later_) {
        admit_waiting();
    } else {
        return false;
    }
    return true;
}

void Account::ask_next() {
    const Step step = std::move(steps_.front());
    steps_.pop_front();
    if (Session* session = find(step.who)) carry_out(*session, step.ask(*session), step.committed);
}

void Account::carry_out_next() {
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    carry_out(task);
}

void Account::carry_out(Task& task) {
    Session* session = find(task.sender);
    std::visit(
        [&](auto& action) {
            using Action = std::decay_t<decltype(action)>;
            if constexpr (std::is_same_v<Action, channel::Push>) {
                if (session == nullptr) return;
                // Another one, as its tunnel address is another. What a device that reads nothing
                // has waiting must not grow by each of them.
                if (action.event == "init" && std::exchange(session->is_shown, true) &&
                    !session->link->has_room_for_first(*queues_))
                    return end(task.sender, "try_again");
                std::string text = envelope(action.event, action.payload, task.committed);
                if (action.event == "init" || action.event == "init_page")
                    session->link->send_first(std::move(text));
                else
                    session->link->send(std::move(text));
            } else if constexpr (std::is_same_v<Action, channel::Reply>) {
                if (session == nullptr) return;
                Json out = {{"event", "reply"},
                            {"status", action.ok ? "ok" : "error"},
                            {"payload", action.payload}};
                if (!task.ref.is_null()) out["ref"] = task.ref;
                session->link->send(text_of(out));
            } else if constexpr (std::is_same_v<Action, channel::Refuse> ||
                                 std::is_same_v<Action, channel::Disconnect>) {
                end(task.sender, action.reason);
            } else if constexpr (std::is_same_v<Action, channel::Send>) {
                route(task.sender, action.to, action.message);
            } else if constexpr (std::is_same_v<Action, channel::WriteFlow>) {
                process_.write(std::move(action.row));
            } else {
                process_.remove(action.flow_id);
            }
        },
        task.action);
}

void Account::due(const Address& who) {
    Session* session = find(who);
    if (session == nullptr) return;
    session->deadline.reset();
    carry_out(*session,
              call(*session, [](auto& channel) { return channel.on_time(wall_clock()); }));
}

void Account::keep_deadline(Session& session) {
    const auto deadline = call(session, [](auto& channel) { return channel.next_deadline(); });
    if (deadline == session.deadline) return;
    session.deadline = deadline;
    session.timer.cancel();
    if (!deadline) return;
    // A deadline can be further away than the clock's numbers reach.
    const auto wait = std::clamp<std::chrono::microseconds>(
        *deadline - wall_clock(), std::chrono::microseconds(0), std::chrono::hours(24));
    session.timer.expires_after(wait);
    session.timer.async_wait(
        [weak = weak_from_this(), address = session.address](boost::system::error_code error) {
            if (const auto self = weak.lock(); self && !error)
                self->guarded([&] {
                    self->when_whole([account = self.get(), address] { account->due(address); });
                });
        });
}

}  // namespace fatwal::worker
