#include "portal/process/process.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "portal/process/clock.h"
#include "portal/process/report.h"

namespace fatwal::process {
namespace {

// By how much the wall's clock is ahead of the one that nobody sets.
std::chrono::microseconds wall_offset() {
    return wall_clock().time_since_epoch() - steady_clock().time_since_epoch();
}

using access::Device;

constexpr auto kClockSet = std::chrono::milliseconds(200);  // no slewing is so fast
// By how late the loop comes to it, its delay is measured.
constexpr auto kBeat = std::chrono::milliseconds(250);
constexpr unsigned kBeatsOfReport = 4;
constexpr int kMostSockets = 65'535;  // of ZeroMQ: three for each account

// 0 names no process.
access::ProcessId drawn(std::mt19937_64& random) {
    access::ProcessId out = 0;
    while (out == 0) out = random();
    return out;
}

std::mt19937_64 seeded() {
    std::random_device entropy;
    std::array<std::random_device::result_type, 8> words{};
    std::generate(words.begin(), words.end(), std::ref(entropy));
    std::seed_seq seed(words.begin(), words.end());
    return std::mt19937_64(seed);
}

zmq::context_t sockets() {
    zmq::context_t context;
    context.set(zmq::ctxopt::max_sockets,
                std::min(kMostSockets, context.get(zmq::ctxopt::socket_limit)));
    return context;
}

std::vector<Json> as_json(const std::vector<FleetMessage>& messages) {
    std::vector<Json> out;
    out.reserve(messages.size());
    for (const auto& message : messages) out.push_back(to_json(message));
    return out;
}

}  // namespace

Process::Process(boost::asio::io_context& io, const Settings& settings)
    : io_(io),
      settings_(settings),
      zmq_(sockets()),
      feeds_(io, zmq_),
      random_(seeded()),
      id_(drawn(random_)),
      signer_(settings.secret),
      flows_(io, settings.database, std::chrono::milliseconds(settings.flow_batch_ms),
             [this](const access::FlowBatch::Notice& notice) { notify(notice); }),
      last_seen_(settings.database),
      directory_(io, id_, std::chrono::milliseconds(settings.relay_debounce_ms),
                 {[this](const FleetMessage& message) { fleet_.broadcast(to_json(message)); },
                  [this](const std::optional<Uuid>& of) { accounts_.relays_changed(of); }}),
      accounts_(account_context(),
                [this](const Uuid& account) { relay_desk_.account_failed(account); }),
      fleet_(io, zmq_, settings, id_,
             {[this](access::ProcessId from, const Json& message) { return hear(from, message); },
              [this](access::ProcessId process) { directory_.forget(process); },
              [this] { return as_json(directory_.introduction()); }}),
      relay_desk_(io, feeds_, settings, relay_handlers()),
      second_(io),
      clock_offset_(wall_offset()),
      started_(std::chrono::steady_clock::now()),
      beat_(io) {
    door_ = std::make_unique<Door>(
        io, settings,
        Door::Handlers{[this](const JoinRequest& request) {
                           if (!request.token.account_id || request.role == Role::Relay)
                               return false;
                           const Account* followed = accounts_.find(*request.token.account_id);
                           return followed != nullptr && followed->knows_token(request.token);
                       },
                       [this](JoinRequest request, std::shared_ptr<Link> link) {
                           enter(std::move(request), std::move(link));
                       }});
    if (!settings.admin_socket.empty())
        admin_ = std::make_unique<Admin>(io, settings.admin_socket, admin_handlers());
    if (settings.http_options) {
        watch_.emplace(*settings.http_options, "fatwal_channel");
        spdlog::info("http at {}:{}", settings.http_options->address, watch_->port());
        beat_.expires_after(kBeat);
        beat();
    }
    once_a_second();
}

Process::~Process() {
    admin_.reset();
    door_.reset();
    accounts_.end();
}

// What the parts are given
// ---------------------------------------------------------------------------------------

AccountContext Process::account_context() {
    return {.io = io_,
            .settings = settings_,
            .feeds = feeds_,
            .directory = directory_,
            .fleet = fleet_,
            .flows = flows_,
            .last_seen = last_seen_,
            .signer = signer_,
            .measures = measures_,
            .random = [this] { return random_(); },
            .rows_changed = [this](const Uuid& account) { relay_desk_.review(account); }};
}

RelayDesk::Handlers Process::relay_handlers() {
    return {[this](const access::Relay& relay) { directory_.relay_online(relay); },
            [this](const access::RelayId& relay) { directory_.relay_offline(relay); },
            [this](JoinRequest request) { last_seen_.seen(std::move(request)); },
            [this](const Uuid& account) { return accounts_.follow(account).hold(); },
            [this](const Uuid& account) {
                const Account* followed = accounts_.find(account);
                return followed == nullptr ? RelayDesk::Rows{}
                                           : RelayDesk::rows_of(followed->feed());
            }};
}

Admin::Handlers Process::admin_handlers() {
    return {[this] { return to_json(health()); },
            [this](const Admin::Listing& listing) { return accounts_.list(listing); },
            [this](const Admin::Cursor& session) {
                const EndSession message{session.account, session.device, session.id};
                fleet_.broadcast(to_json(message));
                return end_session(message);
            },
            [this](const Uuid& account, const Uuid& client, const Uuid& resource) {
                const RejectPair message{account, {client, resource}};
                fleet_.broadcast(to_json(message));
                return reject(message);
            },
            [this](const Admin::Question& question) {
                Account* account = question.account ? accounts_.find(*question.account)
                                                    : accounts_.with_client(question.client);
                return account == nullptr
                           ? Admin::Explained{}
                           : Admin::Explained{true,
                                              account->explain(question.client, question.resource)};
            },
            [this](const Uuid& account) {
                const Account* followed = accounts_.find(account);
                return followed == nullptr ? Admin::Explained{}
                                           : Admin::Explained{true, followed->choices()};
            }};
}

Drain::Handlers Process::drain_handlers(std::function<void()> done) {
    return {[this](Device device) { return accounts_.sessions(device); },
            [this](Device device, std::size_t most) { return accounts_.close_some(device, most); },
            [this] { relay_desk_.close_all(); },
            [this] {
                flows_.hurry();
                return Drain::Rest{flows_.waiting() + flows_.waiting_deletions(),
                                   door_->registrations_waiting(), accounts_.are_at_work()};
            },
            [this, done = std::move(done)] {
                accounts_.end();
                done();
            }};
}

Health Process::health() const {
    return {.is_draining = drain_ != nullptr,
            .clients = accounts_.sessions(Device::Client),
            .gateways = accounts_.sessions(Device::Gateway),
            .gateways_online = directory_.gateways_online(),
            .relays = relay_desk_.size(),
            .accounts = accounts_.size(),
            .accounts_live = accounts_.live(),
            .registrations_waiting = door_->registrations_waiting(),
            .flows_waiting = flows_.waiting(),
            .fleet = fleet_.size(),
            .fleet_not_understood = fleet_.not_understood()};
}

// What goes between them
// ---------------------------------------------------------------------------------------

void Process::enter(JoinRequest request, std::shared_ptr<Link> link) {
    if (request.role == Role::Relay) return relay_desk_.join(std::move(request), std::move(link));
    Account& account = accounts_.follow(*request.token.account_id);
    account.join(std::move(request), std::move(link));
}

void Process::notify(const access::FlowBatch::Notice& notice) {
    const access::Address to{Device::Gateway, notice.gateway_id, 0, 0};
    if (Account* followed = accounts_.find(notice.account_id))
        return followed->route({}, to, notice.message);
    const auto* online = directory_.presence(notice.account_id).find(notice.gateway_id);
    if (online != nullptr)
        fleet_.send(
            online->process,
            to_json(Delivery{notice.account_id, false, access::Address{}, to, notice.message, {}}));
}

void Process::publication_changed(const PublicationLook& look) {
    if (look.fault.empty())
        spdlog::warn("what is published was changed: new snapshots are taken");
    else
        spdlog::error("{}\n  nothing new is granted until it is mended", look.fault);
    feeds_.set_fault(look.fault);
    accounts_.publication_changed(look.at);
    relay_desk_.publication_changed(look.at);
}

std::size_t Process::end_session(const EndSession& session) {
    Account* followed = accounts_.find(session.account);
    return followed != nullptr && followed->disconnect_device(session.device, session.id) ? 1 : 0;
}

std::size_t Process::reject(const RejectPair& pair) {
    Account* followed = accounts_.find(pair.account);
    return followed == nullptr ? 0 : followed->reject(pair.pair);
}

// The other processes
// ---------------------------------------------------------------------------------------

bool Process::hear(access::ProcessId from, const Json& message) {
    // Whatever it is about: later sessions here come after it.
    directory_.sessions().hear(generation_in(message));
    const auto read = read_fleet_message(from, message);
    return read && std::visit([&](const auto& one) { return hear(from, one); }, *read);
}

// If both processes have let the device in at the same time, the later session stays.
bool Process::hear(access::ProcessId from, const GatewayOnline& message) {
    directory_.hear(from, message);
    if (Account* followed = accounts_.find(message.account))
        followed->entered_elsewhere(Device::Gateway, message.gateway.id, message.gateway.generation,
                                    from);
    return true;
}

bool Process::hear(access::ProcessId from, const ClientEntered& message) {
    directory_.hear(from, message);
    if (Account* followed = accounts_.find(message.account))
        followed->entered_elsewhere(Device::Client, message.id, message.generation, from);
    return true;
}

bool Process::hear(access::ProcessId from, const GatewayWanted& message) {
    if (Account* followed = accounts_.find(message.account))
        followed->probe_gateway(message.id, message.generation, [this, from, message] {
            fleet_.send(from, to_json(GatewayStays{message}));
        });
    return true;
}

bool Process::hear(access::ProcessId /*from*/, const GatewayStays& message) {
    if (Account* followed = accounts_.find(message.account))
        followed->gateway_stays(message.id, message.generation);
    return true;
}

// What cannot be read goes back like what cannot be delivered: whoever waits for it need not wait
// in vain.
bool Process::hear(access::ProcessId from, const Delivery& message) {
    Account* const followed = accounts_.find(message.account);
    const bool is_understood = message.to && message.content;
    if (message.is_back) {
        if (is_understood && message.sender && followed != nullptr)
            followed->undeliverable(*message.sender, *message.content);
        return is_understood;
    }
    const auto send_back = [this, from, message] {
        Delivery back = message;
        back.is_back = true;
        if (message.sender) fleet_.send(from, to_json(back));
    };
    if (!is_understood || followed == nullptr ||
        !followed->deliver(*message.to, *message.content, send_back))
        send_back();
    return is_understood;
}

bool Process::hear(access::ProcessId /*from*/, const EndSession& message) {
    end_session(message);
    return true;
}

bool Process::hear(access::ProcessId /*from*/, const RejectPair& message) {
    reject(message);
    return true;
}

// Time
// ---------------------------------------------------------------------------------------

void Process::once_a_second() {
    check_the_clock();
    accounts_.sweep();
    second_.expires_after(std::chrono::seconds(1));
    second_.async_wait([this](boost::system::error_code error) {
        if (!error) once_a_second();
    });
}

// Also while the process ends: it lives, and says that it is not ready.
void Process::beat() {
    beat_.async_wait([this](boost::system::error_code error) {
        if (error) return;
        const auto now = std::chrono::steady_clock::now();
        delays_.took(now - beat_.expiry(), now);
        if (++beats_ % kBeatsOfReport == 0) report(now);
        beat_.expires_after(kBeat);
        beat();
    });
}

void Process::report(std::chrono::steady_clock::time_point now) {
    auto out = std::make_shared<Report>();
    out->name = settings_.name;
    out->uptime_s = std::chrono::duration<double>(now - started_).count();
    out->health = health();
    out->readiness = readiness_of(out->health);
    out->measures = measures_;
    out->delays = delays_;
    watch_->report(std::move(out));
}

// The channels decide by the wall's clock: policies, tokens and flows end at instants of it. When
// it is set (or the machine slept), what is to happen after a length of time keeps its length, and
// what is to happen at an instant is checked again.
void Process::check_the_clock() {
    const auto offset = wall_offset();
    const auto moved = offset - std::exchange(clock_offset_, offset);
    if (std::chrono::abs(moved) < kClockSet) return;
    spdlog::warn("the clock was set by {} s",
                 std::chrono::duration_cast<std::chrono::seconds>(moved).count());
    accounts_.clock_was_set(moved);
}

void Process::drain(std::function<void()> done) {
    if (drain_) return;
    door_->close();
    second_.cancel();
    flows_.hurry();
    drain_ = std::make_unique<Drain>(io_, std::chrono::seconds(settings_.drain_s),
                                     drain_handlers(std::move(done)));
    drain_->start();
}

}  // namespace fatwal::process
