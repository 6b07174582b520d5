#include "portal/process/door.h"

#include <optional>
#include <utility>
#include <variant>

#include "portal/process/envelope.h"
#include "portal/process/link.h"
#include "portal/process/rate_limit.h"
#include "portal/process/registration.h"
#include "portal/process/server.h"
#include "portal/process/settings.h"

namespace fatwal::process {
namespace {

constexpr char kShorter[] = "a body has 8,192 bytes at most";

void refuse(Exchange& exchange, const BadRequest& bad) {
    access::Json body = {{"reason", bad.reason}};
    if (!bad.field.empty()) body["field"] = bad.field;
    if (!bad.hint.empty()) body["hint"] = bad.hint;
    exchange.answer(static_cast<unsigned>(bad.status), body.dump());
}

// The first protocol that it offers, if that is the one by which a browser hands over its token.
std::string protocol_of(const Exchange& exchange) {
    const std::string offered = exchange.header("Sec-WebSocket-Protocol");
    return std::string_view(offered).substr(0, offered.find(',')) == kTokenProtocol
               ? std::string(kTokenProtocol)
               : std::string();
}

WebSocketOptions options_of(const Settings& settings, const Exchange& exchange) {
    return {static_cast<std::size_t>(settings.max_queue_bytes),
            static_cast<std::size_t>(settings.max_message_bytes),
            std::chrono::seconds(settings.idle_timeout_s), protocol_of(exchange)};
}

ServerOptions server_options(const Settings& settings) {
    return {settings.listen_address, settings.listen_port,
            static_cast<std::size_t>(settings.max_pending), kMostRegistrationBytes};
}

}  // namespace

Door::Door(boost::asio::io_context& io, const Settings& settings, Handlers handlers)
    : settings_(settings),
      handlers_(std::move(handlers)),
      rate_(settings.connects_per_second),
      alive_(std::make_shared<char>()),
      places_(std::make_shared<int>(0)),
      queues_(
          std::make_shared<QueueBudget>(static_cast<std::size_t>(settings.max_queued_mib) << 20)),
      doorkeeper_(
          io, settings.database, std::chrono::seconds(settings.join_timeout_s),
          // Strangers never take the places of all.
          static_cast<std::size_t>(settings.max_sessions / 2 + 1),
          [this](JoinRequest request, std::shared_ptr<Link> link) {
              enter(std::move(request), std::move(link));
          },
          [this](const JoinRequest& request) {
              if (request.remote_ip) unproven(*request.remote_ip);
          }),
      registrar_(io, settings.database, std::chrono::seconds(settings.join_timeout_s),
                 static_cast<std::size_t>(settings.max_sessions / 4 + 1),
                 [this](const access::IpAddress& device) { unproven(device); }),
      server_(std::make_unique<Server>(
          io, server_options(settings),
          [this](const std::shared_ptr<Exchange>& exchange) { handle(exchange); })) {}

Door::~Door() = default;

std::uint16_t Door::port() const { return server_->port(); }

void Door::close() {
    is_open_ = false;
    server_->stop_listening();
}

void Door::handle(const std::shared_ptr<Exchange>& exchange) {
    if (exchange->is_too_large()) return refuse(*exchange, {413, "body_too_large", {}, kShorter});
    if (exchange->target() == "/health")
        return exchange->answer(is_open_ ? 200 : 503,
                                is_open_ ? R"({"status":"ok"})" : R"({"status":"draining"})");
    const auto address = exchange->peer();
    const auto peer = address ? access::IpAddress::parse(*address) : std::nullopt;
    if (!peer) return;
    const Header header = [&](std::string_view name) { return exchange->header(name); };
    if (exchange->is_post()) {
        auto read = read_registration(exchange->target(), header, *peer, settings_.proxies);
        if (const auto* bad = std::get_if<BadRequest>(&read)) return refuse(*exchange, *bad);
        auto& registration = std::get<Registration>(read);
        const auto device = registration.remote_ip.value_or(*peer);
        return register_device(exchange, std::move(registration), device);
    }
    auto read = read_join_request(exchange->target(), header, *peer, settings_.proxies);
    if (const auto* bad = std::get_if<BadRequest>(&read)) return refuse(*exchange, *bad);
    if (!exchange->wants_websocket()) return refuse(*exchange, {426, "websocket_expected"});
    auto& request = std::get<JoinRequest>(read);
    const auto device = request.remote_ip.value_or(*peer);
    join(exchange, std::move(request), device);
}

std::shared_ptr<void> Door::place_for(const std::shared_ptr<Exchange>& exchange,
                                      const access::IpAddress& device) {
    const char* reason = nullptr;
    if (!is_open_)
        reason = "going_away";
    else if (*places_ >= settings_.max_sessions)
        reason = "full";
    else if (!rate_.admit(device, std::chrono::steady_clock::now()))
        reason = "too_many_connects";
    if (reason != nullptr) {
        refuse(*exchange, {503, reason});
        return nullptr;
    }
    ++*places_;
    // It points to something, so that the caller can tell it from none.
    return {places_.get(), [places = places_](void*) { --*places; }};
}

void Door::unproven(const access::IpAddress& device) {
    rate_.unproven(device, std::chrono::steady_clock::now());
}

// WebSockets
// ---------------------------------------------------------------------------------------

void Door::join(const std::shared_ptr<Exchange>& exchange, JoinRequest request,
                const access::IpAddress& device) {
    auto place = place_for(exchange, device);
    if (!place) return;
    // The handshake may end after the door has.
    exchange->open(options_of(settings_, *exchange), std::move(place),
                   [this, alive = std::weak_ptr(alive_), device,
                    request = std::move(request)](const std::shared_ptr<Link>& link) {
                       if (!alive.expired()) open(request, device, link);
                   });
}

void Door::open(JoinRequest request, const access::IpAddress& device,
                const std::shared_ptr<Link>& link) {
    if (link == nullptr) return unproven(device);
    link->count_for(queues_);
    if (!is_open_) return link->close("going_away");
    // The rows of an account that is followed already tell the same without a query.
    if (handlers_.is_known(request)) return enter(std::move(request), link);
    doorkeeper_.ask(std::move(request), link);
}

void Door::enter(JoinRequest request, std::shared_ptr<Link> link) {
    if (!is_open_) return disconnect(*link, "going_away");
    handlers_.enter(std::move(request), std::move(link));
}

// Registrations
// ---------------------------------------------------------------------------------------

void Door::register_device(const std::shared_ptr<Exchange>& exchange, Registration registration,
                           const access::IpAddress& device) {
    auto place = place_for(exchange, device);
    if (!place) return;
    // The body is read behind the rate, as reading it costs more than the rest.
    auto body = read_device(registration.role, exchange->body());
    if (const auto* bad = std::get_if<BadRequest>(&body)) return refuse(*exchange, *bad);
    registration.device = text_of(std::get<access::Json>(body));
    registrar_.ask(std::move(registration),
                   [exchange, place = std::move(place)](const Registrar::Answer& said) {
                       exchange->answer(said.status, text_of(said.fields));
                   });
}

}  // namespace fatwal::process
