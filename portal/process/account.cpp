#include "portal/process/account.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "fatwal/wire/invariant.h"
#include "portal/access/access.h"
#include "portal/access/choices.h"
#include "portal/access/explanation.h"
#include "portal/access/json_text.h"
#include "portal/process/clock.h"
#include "portal/process/directory.h"
#include "portal/process/envelope.h"
#include "portal/process/flow_desk.h"
#include "portal/process/last_seen.h"
#include "portal/process/measures.h"
#include "portal/process/settings.h"

namespace fatwal::process {
namespace {

using access::Actions;
using access::Address;
using access::Device;
using access::Ids;
using access::Json;
using Clock = std::chrono::steady_clock;

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

// A quarter of all queues' bytes for one account.
std::size_t queue_bytes(const Settings& settings) {
    return (static_cast<std::size_t>(settings.max_queued_mib) << 20) / 4;
}

// By this machine's clock, which may be behind the database's.
std::chrono::nanoseconds since(access::Instant committed) {
    return std::max<access::Instant::duration>(wall_clock() - committed,
                                               access::Instant::duration{0});
}

Device device_of(Role role) { return role == Role::Client ? Device::Client : Device::Gateway; }

}  // namespace

// Set-up, and what guards it
// ---------------------------------------------------------------------------------------

Account::Account(const AccountContext& context, const Uuid& id)
    : context_(context),
      id_(id),
      presence_(context.directory.presence(id)),
      limit_(rates_of_account(context.settings)),
      queues_(std::make_shared<QueueBudget>(queue_bytes(context.settings))),
      router_(context, id, presence_, router_handlers()),
      work_(work_handlers()),
      empty_since_(Clock::now()) {}

Account::~Account() {
    // What was decided holds for those that stay, as the gateways of other processes.
    guarded([&] { work_.finish(); });
    work_.stop();
    for (const auto& address : sessions_.addresses()) end(address, "going_away");
    if (feed_) feed_->stop();
}

void Account::follow() {
    joins_ = std::make_unique<JoinQueue>(context_, id_, presence_, join_handlers());
    feed_ = std::make_shared<Feed>(context_.io, context_.feeds, context_.settings, id_,
                                   feed_handlers());
    guarded([&] { feed_->start(); });
}

Feed::Handlers Account::feed_handlers() {
    return {[this] { guarded([&] { snapshot(); }); },
            [this](access::Affected affected, access::Instant at) {
                guarded([&] { transaction(std::move(affected), at); });
            },
            [this] { return work_.is_sliced() || is_broken_; },
            [this] { guarded([&] { work_.work(); }); }, [this] { guarded([&] { revoke(); }); }};
}

WorkQueue::Handlers Account::work_handlers() {
    return {.is_applying = [this] { return feed_->is_applying(); },
            .ask =
                [this](const WorkQueue::Step& step) {
                    Session* session = sessions_.find(step.who);
                    if (session == nullptr) return;
                    const auto begun = std::chrono::steady_clock::now();
                    auto actions = step.ask(*session);
                    context_.measures.decisions.observe(std::chrono::steady_clock::now() - begun);
                    carry_out(*session, std::move(actions), step.committed);
                },
            .carry_out = [this](WorkQueue::Task& task) { carry_out(task); },
            .admit = [this] { check_joins(); },
            .done = [this] { feed_->handed_over(); },
            .later =
                [this](std::function<void()> work) {
                    boost::asio::post(context_.io,
                                      [weak = weak_from_this(), work = std::move(work)] {
                                          if (const auto self = weak.lock()) self->guarded(work);
                                      });
                }};
}

JoinQueue::Handlers Account::join_handlers() {
    return {.rows = [this](const JoinRequest& request) { return rows_of(request); },
            .refusal = [this](const JoinRequest& request) { return refusal(request); },
            .enter = [this](JoinRequest request,
                            const std::shared_ptr<Link>& link) { enter(std::move(request), link); },
            .has_room = [this](const Link& link) { return link.has_room_for_first(*queues_); },
            .is_shown = [this] { return !work_.has_tasks(); },
            .probe =
                [this](const Uuid& gateway, access::Generation generation,
                       std::function<void()> stays) {
                    probe_gateway(gateway, generation, std::move(stays));
                },
            .check = [this] { guarded([&] { check_joins(); }); },
            .changed = [this] { note_whether_empty(); },
            .run =
                [weak = weak_from_this()](const std::function<void()>& work) {
                    if (const auto self = weak.lock()) self->guarded(work);
                }};
}

Router::Handlers Account::router_handlers() {
    return {[this](const Address& to, const access::PeerMessage& message,
                   std::function<void()> undelivered) {
                return deliver(to, message, std::move(undelivered));
            },
            [this](const Address& sender, const access::PeerMessage& message) {
                undeliverable(sender, message);
            }};
}

template <class Work>
void Account::guarded(Work work) {
    if (is_broken_) return;
    try {
        work();
    } catch (const std::exception& error) {
        is_broken_ = true;
        work_.stop();
        context_.failed(weak_from_this(), id_, error.what());
    }
}

void Account::guarded_when_whole(std::function<void()> work) {
    guarded([&] { work_.when_whole(std::move(work)); });
}

std::shared_ptr<void> Account::hold() {
    ++holds_;
    empty_since_.reset();
    return {nullptr, [weak = weak_from_this()](void*) {
                const auto self = weak.lock();
                if (!self) return;
                --self->holds_;
                self->note_whether_empty();
            }};
}

void Account::note_whether_empty() {
    const bool is_empty = sessions_.empty() && joins_->empty() && holds_ == 0;
    if (is_empty && !empty_since_) empty_since_ = Clock::now();
}

// Devices that come
// ---------------------------------------------------------------------------------------

void Account::join(JoinRequest request, std::shared_ptr<Link> link) {
    empty_since_.reset();
    if (is_broken_) return disconnect(*link, "try_again");
    joins_->add(std::move(request), std::move(link));
    guarded([&] { check_joins(); });
}

void Account::check_joins() {
    if (!work_.is_whole()) return work_.admit_later();
    work_.admits_now();
    joins_->check();
}

bool Account::knows_token(const DeviceToken& token) const {
    const auto* row = live() ? feed_->state().token(token.token_id) : nullptr;
    return row != nullptr && token.matches(row->secret_hash);
}

JoinQueue::Rows Account::rows_of(const JoinRequest& request) const {
    const auto& state = feed_->state();
    const auto has_own = [&] {
        const bool has_device = request.role == Role::Client
                                    ? state.client(request.device_id) != nullptr
                                    : state.gateway(request.device_id) != nullptr;
        return has_device && state.token(request.token.token_id) != nullptr;
    };
    return {live(), feed_->waits_for_turn(), live() && has_own()};
}

std::optional<std::string> Account::refusal(const JoinRequest& request) const {
    const auto& state = feed_->state();
    if (!knows_token(request.token)) return "invalid_token";
    const auto version = access::Version::parse(request.version);
    if (!version) return "invalid_version";
    const auto& settings = context_.settings;
    const auto minimum =
        access::Version::parse(request.role == Role::Client ? settings.minimum_client_version
                                                            : settings.minimum_gateway_version);
    if (minimum && *version < *minimum) return "version_too_old";
    const Uuid& token = request.token.token_id;
    return request.role == Role::Client
               ? access::client_refusal(state, request.device_id, token, wall_clock())
               : access::gateway_refusal(state, request.device_id, token, wall_clock());
}

void Account::enter(JoinRequest request, const std::shared_ptr<Link>& link) {
    // Before any session is touched: whoever may not in puts nobody out.
    if (const auto reason = refusal(request)) return disconnect(*link, *reason);
    const Device device = device_of(request.role);
    if (device == Device::Gateway) {
        const auto* online = presence_.find(request.device_id);
        if (online != nullptr && online->process != context_.directory.own())
            return disconnect(*link, "already_connected");
    }
    Address address{device, request.device_id, 0, context_.directory.own()};
    const auto entered = context_.directory.sessions().enter({id_, device, request.device_id});
    if (entered.generation == 0) return disconnect(*link, "already_connected");
    if (entered.taken_over) {
        address.generation = *entered.taken_over;
        end(address, "replaced");
    }
    address.generation = entered.generation;
    Session& session = begin_session(address, request, link);
    Actions actions;
    const bool has_joined = device == Device::Client ? open_client(session, request, actions)
                                                     : open_gateway(session, request, actions);
    carry_out(session, std::move(actions));
    if (has_joined) context_.last_seen.seen(std::move(request));
}

Session& Account::begin_session(const Address& address, const JoinRequest& request,
                                const std::shared_ptr<Link>& link) {
    link->count_for(queues_);
    link->received = [weak = weak_from_this(), address](std::string_view text) {
        if (const auto self = weak.lock()) self->guarded([&] { self->received(address, text); });
    };
    link->closed = [weak = weak_from_this(), address] {
        if (const auto self = weak.lock()) self->guarded([&] { self->gone(address); });
    };
    return sessions_.add(std::make_unique<Session>(
        context_.io, address, link,
        SessionInfo{wall_clock(), request.version, request.user_agent, request.remote_ip,
                    request.token.token_id},
        rates_of(address.device, context_.settings),
        [this, address] { guarded_when_whole([this, address] { due(address); }); }));
}

bool Account::open_client(Session& session, const JoinRequest& request, Actions& out) {
    const auto generation = session.address.generation;
    auto client = std::make_unique<access::ClientChannel>(
        channel_context(),
        access::ClientJoin{request.device_id, request.token.token_id, request.version,
                           request.remote_ip, request.region, request.location, generation});
    out = client->start(wall_clock());
    const bool has_joined = !client->closed();
    session.channel = std::move(client);
    if (has_joined) context_.directory.client_entered(id_, request.device_id, generation);
    return has_joined;
}

bool Account::open_gateway(Session& session, const JoinRequest& request, Actions& out) {
    const auto generation = session.address.generation;
    auto gateway = std::make_unique<access::GatewayChannel>(
        channel_context(),
        access::GatewayJoin{request.device_id, request.token.token_id, request.version,
                            request.remote_ip, request.location, generation});
    out = gateway->start(wall_clock());
    const bool has_joined = !gateway->closed();
    session.channel = std::move(gateway);
    if (has_joined)
        context_.directory.gateway_online(
            id_, {request.device_id, generation, context_.directory.own(),
                  access::Version::parse(request.version).value_or(access::Version{}),
                  request.location, request.remote_ip});
    return has_joined;
}

access::ChannelContext Account::channel_context() {
    return {.state = feed_->state(),
            .presence = presence_,
            .relays = context_.directory.relays(),
            .signer = context_.signer,
            .random = context_.random,
            .process = context_.directory.own(),
            .flow_lifetime = std::chrono::seconds(context_.settings.flow_lifetime_s)};
}

// Devices that are there
// ---------------------------------------------------------------------------------------

void Account::received(const Address& from, std::string_view text) {
    Session* session = sessions_.find(from);
    if (session == nullptr) return;
    const auto limited = access::Reply{false, {{"reason", "rate_limited"}}};
    // Before it is read: that costs most.
    if (!RateLimit::take_message(session->limit, limit_, text.size(), Clock::now()))
        return carry_out(*session, {limited});
    const Json message = access::parse_json(text).value_or(Json());
    const auto event = message.is_object() ? message.find("event") : message.end();
    const Json ref = message.is_object() ? message.value("ref", Json()) : Json();
    if (event == message.end() || !event->is_string())
        return carry_out(*session, {access::Reply{false, {{"reason", "malformed_message"}}}}, {},
                         ref);
    if (*event == "create_flow" && !RateLimit::take_flow(session->limit, limit_, Clock::now()))
        return carry_out(*session, {limited}, {}, ref);
    work_.when_whole([this, from, event = event->get<std::string>(), ref,
                      payload = message.value("payload", Json::object())] {
        Session* still = sessions_.find(from);
        if (still == nullptr) return;
        auto actions = still->call(
            [&](auto& channel) { return channel.on_message(event, payload, wall_clock()); });
        carry_out(*still, std::move(actions), {}, ref);
    });
}

void Account::due(const Address& who) {
    Session* session = sessions_.find(who);
    if (session == nullptr) return;
    session->deadline.clear();
    carry_out(*session, session->call([](auto& channel) { return channel.on_time(wall_clock()); }));
}

void Account::clock_was_set(access::Instant::duration moved) {
    guarded_when_whole([this, moved] {
        // As with a transaction, gateways come first: they cut before clients are notified.
        for (const Device device : {Device::Gateway, Device::Client})
            for (const auto& address : sessions_.addresses(device))
                ask_later(address, [moved](Session& session) {
                    session.deadline.clear();
                    return session.call([moved](auto& channel) {
                        return channel.clock_was_set(moved, wall_clock());
                    });
                });
        work_.work();
    });
}

void Account::relays_changed() {
    // Who has yet to begin will find the relays as they are then.
    if (std::exchange(relays_wait_, true)) return;
    guarded_when_whole([this] {
        relays_wait_ = false;
        for (const auto& address : sessions_.addresses())
            ask_later(address, [](Session& session) {
                return session.call([](auto& one) { return one.on_relays(wall_clock()); });
            });
        work_.work();
    });
}

void Account::probe_gateway(const Uuid& id, access::Generation generation,
                            std::function<void()> stays) {
    const Address address{Device::Gateway, id, generation, context_.directory.own()};
    Session* session = sessions_.find(address);
    if (session == nullptr) return;
    session->link->probe(JoinQueue::kPingWithin, [weak = weak_from_this(), address,
                                                  stays = std::move(stays)](bool is_there) {
        const auto self = weak.lock();
        if (!self || self->sessions_.find(address) == nullptr) return;
        if (is_there) return stays();
        self->guarded([&] {
            self->end(address, "replaced");
            self->check_joins();
        });
    });
}

void Account::gateway_stays(const Uuid& id, access::Generation generation) {
    joins_->gateway_stays(id, generation);
}

// Devices that go
// ---------------------------------------------------------------------------------------

void Account::gone(const Address& who) {
    auto session = sessions_.remove(who);
    if (session == nullptr) return;
    // Not if another process has it, or a later session here.
    const Address& address = session->address;
    if (context_.directory.sessions().leave({id_, address.device, address.id},
                                            address.generation)) {
        if (session->is_gateway())
            context_.directory.gateway_offline(id_, address.id, address.generation);
        else
            context_.directory.client_left(id_, address.id, address.generation);
    }
    auto* gateway = std::get_if<std::unique_ptr<access::GatewayChannel>>(&session->channel);
    if (gateway != nullptr && *gateway != nullptr) work_.add_leaving(std::move(*gateway));
    session.reset();
    work_.work();
    note_whether_empty();
}

void Account::end(const Address& who, const std::string& reason) {
    Session* session = sessions_.find(who);
    if (session == nullptr) return;
    disconnect(*session->link, reason);
    gone(who);
}

void Account::entered_elsewhere(Device device, const Uuid& id, access::Generation generation,
                                access::ProcessId process) {
    const auto own = context_.directory.own();
    const auto current = context_.directory.sessions().current({id_, device, id});
    if (current && access::came_later(generation, process, *current, own))
        guarded([&] { end({device, id, *current, own}, "replaced"); });
}

std::size_t Account::close_some(Device device, std::size_t count) {
    std::size_t closed = 0;
    guarded([&] {
        for (const auto& address : sessions_.addresses(device)) {
            if (closed == count) break;
            end(address, "going_away");
            ++closed;
        }
    });
    return closed;
}

// What the feed brings
// ---------------------------------------------------------------------------------------

void Account::snapshot() {
    // As with a transaction, gateways come first: they cut before clients are notified.
    for (const Device device : {Device::Gateway, Device::Client})
        for (const auto& address : sessions_.addresses(device))
            ask_later(address, [](Session& session) {
                return session.call([](auto& one) { return one.on_snapshot(wall_clock()); });
            });
    work_.admit_later();
    if (holds_ > 0) context_.rows_changed(id_);
    work_.work();
}

void Account::transaction(access::Affected affected, access::Instant committed) {
    FATWAL_INVARIANT(!feed_->is_applying(), "channels are asked about whole transactions");
    context_.measures.transaction_latency.observe(since(committed));
    // Those that lose first: a gateway has cut a client before the client learns of it.
    auto gateways = std::exchange(affected.gateways, {});
    for (auto& [id, impact] : gateways)
        ask_later(
            {Device::Gateway, id},
            [impact = std::move(impact)](Session& session) mutable {
                return session.gateway().on_transaction(std::move(impact), wall_clock());
            },
            committed);
    for (const auto& id : affected.clients)
        ask_later(
            {Device::Client, id},
            [](Session& session) { return session.client().on_transaction(wall_clock()); },
            committed);
    if (!joins_->empty()) work_.admit_later();
    if (holds_ > 0) context_.rows_changed(id_);
    work_.work();
}

void Account::revoke() {
    for (const auto& address : sessions_.addresses(Device::Gateway))
        ask_later(address, [](Session& session) { return session.gateway().reject_all(); });
    work_.work();
}

void Account::publication_changed(wire::Lsn at) {
    guarded([&] { feed_->publication_changed(at); });
}

// Between sessions
// ---------------------------------------------------------------------------------------

bool Account::deliver(const Address& to, const access::PeerMessage& message,
                      std::function<void()> undelivered) {
    if (is_broken_ || sessions_.find(to) == nullptr) return false;
    guarded_when_whole([this, to, message, undelivered = std::move(undelivered)] {
        Session* session = sessions_.find(to);
        if (session == nullptr) return undelivered();
        carry_out(*session, session->call([&](auto& channel) {
            return channel.on_peer(message, wall_clock());
        }));
    });
    return true;
}

void Account::undeliverable(const Address& sender, const access::PeerMessage& message) {
    if (sender.device != Device::Client) return;
    guarded_when_whole([this, sender, message] {
        Session* session = sessions_.find(sender);
        if (session == nullptr) return;
        carry_out(*session, session->client().undeliverable(message, wall_clock()));
    });
}

// What an administrator asks for
// ---------------------------------------------------------------------------------------

bool Account::list(std::optional<Admin::Cursor> after, std::size_t limit, Json& out) const {
    const auto behind = after ? std::optional(std::pair(after->device, after->id)) : std::nullopt;
    return sessions_.for_each_after(behind, [&](const Session& session) {
        if (out.size() == limit) return false;
        const SessionInfo& info = session.info;
        out.push_back({{"account", id_.to_text()},
                       {"kind", session.is_gateway() ? "gateway" : "client"},
                       {"id", session.address.id.to_text()},
                       {"token", info.token_id.to_text()},
                       {"version", info.version},
                       {"user_agent", info.user_agent},
                       {"remote_ip", info.remote_ip ? Json(info.remote_ip->to_text()) : Json()},
                       {"connected_at", info.connected_at.time_since_epoch().count()}});
        return true;
    });
}

std::optional<Json> Account::explain(const Uuid& client_id, const Uuid& resource_id) {
    if (!work_.is_whole()) return std::nullopt;
    const auto& state = feed_->state();
    const Session* session = sessions_.find(Device::Client, client_id);
    const auto asker =
        session != nullptr ? session->client().asker() : access::asker_of_row(state, client_id);
    return access::explain(channel_context(), asker, session != nullptr, resource_id,
                           access::gateways_of_flows(state, client_id), wall_clock());
}

std::optional<Json> Account::choices() const {
    if (!work_.is_whole() || !feed_->state().live()) return std::nullopt;
    return access::choices(feed_->state());
}

bool Account::disconnect_device(Device device, const Uuid& id) {
    const Session* session = sessions_.find(device, id);
    if (session == nullptr) return false;
    guarded([&] { end(session->address, "disconnected"); });
    return true;
}

// A gateway that is in the middle of its join, or of a transaction, may come to have the pair yet:
// then it is taken away once the account is whole.
std::size_t Account::reject(const access::Pair& pair) {
    if (!work_.is_idle()) {
        const std::size_t have_it_now = sessions_.gateways_with(pair).size();
        guarded_when_whole([this, pair] { reject_now(pair); });
        return have_it_now;
    }
    std::size_t rejected = 0;
    guarded([&] { rejected = reject_now(pair); });
    return rejected;
}

std::size_t Account::reject_now(const access::Pair& pair) {
    const auto& state = feed_->state();
    // Rows of gateways that are connected elsewhere, or nowhere.
    for (const Uuid& id : Ids(state.flows_of_client(pair.client_id)))
        if (const auto* flow = state.flow(id);
            flow != nullptr && flow->resource_id == pair.resource_id)
            context_.flows.remove(id);
    const auto gateways = sessions_.gateways_with(pair);
    for (const Address& address : gateways)
        if (Session* session = sessions_.find(address))
            carry_out(*session, session->gateway().reject(pair));
    return gateways.size();
}

// Actions
// ---------------------------------------------------------------------------------------

void Account::carry_out(Session& session, Actions actions, std::optional<access::Instant> committed,
                        const Json& ref) {
    session.keep_deadline();
    for (access::Action& action : actions)
        work_.add(WorkQueue::Task{session.address, std::move(action), committed, ref});
    // Once: what is asked meanwhile, as a message too many, is no part of what continues.
    if (session.is_gateway() && session.gateway().has_more() &&
        !std::exchange(session.has_step, true))
        work_.add_first({session.address,
                         [](Session& same) {
                             same.has_step = false;
                             return same.gateway().go_on(wall_clock());
                         },
                         committed});
    work_.work();
}

void Account::carry_out(WorkQueue::Task& task) {
    std::visit([&](auto& action) { carry_out(task, action); }, task.action);
}

void Account::carry_out(const WorkQueue::Task& task, const access::Push& push) {
    Session* session = sessions_.find(task.sender);
    if (session == nullptr) return;
    // Another one, as its tunnel address is another. What a device that reads nothing has waiting
    // must not grow by each of them.
    if (push.event == "init" && std::exchange(session->is_shown, true) &&
        !session->link->has_room_for_first(*queues_))
        return end(task.sender, "try_again");
    context_.measures.pushed(task.sender.device, push);
    if (task.committed) context_.measures.push_latency.observe(since(*task.committed));
    std::string text = envelope(push.event, push.payload, task.committed);
    if (push.event == "init" || push.event == "init_page")
        session->link->send_first(std::move(text));
    else
        session->link->send(std::move(text));
}

void Account::carry_out(const WorkQueue::Task& task, const access::Reply& reply) {
    if (const Session* session = sessions_.find(task.sender))
        session->link->send(reply_envelope(reply.ok, reply.payload, task.ref));
}

void Account::carry_out(const WorkQueue::Task& task, const access::Refuse& refuse) {
    end(task.sender, refuse.reason);
}

void Account::carry_out(const WorkQueue::Task& task, const access::Disconnect& disconnect) {
    end(task.sender, disconnect.reason);
}

void Account::carry_out(const WorkQueue::Task& task, const access::Send& send) {
    route(task.sender, send.to, send.message);
}

// These two hold whether or not the session that has decided them is still there.
void Account::carry_out(const WorkQueue::Task& /*task*/, access::WriteFlow& write) {
    context_.flows.write(std::move(write.row));
}

void Account::carry_out(const WorkQueue::Task& /*task*/, const access::DeleteFlow& remove) {
    context_.flows.remove(remove.flow_id);
}

}  // namespace fatwal::process
