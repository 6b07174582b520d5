#include "worker/settings.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <fstream>
#include <iterator>

#include "fatwal/channel/version.h"
#include "fatwal/wire/publication_names.h"

namespace fatwal::worker {
namespace {

constexpr std::size_t kLeastSecret = 32;
constexpr std::size_t kLongestName = 63;

class Options {
public:
    explicit Options(CLI::App& app) : app_(app) {}
    template <class T>
    CLI::Option* add(const std::string& name, T& value, const std::string& description) {
        std::string variable = "FATWAL_CHANNEL_";
        for (const char c : name)
            variable +=
                c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        return app_.add_option("--" + name, value, description)
            ->envname(variable)
            ->capture_default_str();
    }

private:
    CLI::App& app_;
};

std::string host_name() {
    char name[256] = {};
    return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

void read_secret(Settings& settings) {
    std::ifstream file(settings.secret_file, std::ios::binary);
    if (!file) throw CLI::ValidationError("--secret-file", "cannot read " + settings.secret_file);
    settings.secret.assign(std::istreambuf_iterator<char>(file), {});
    while (!settings.secret.empty() &&
           (settings.secret.back() == '\n' || settings.secret.back() == '\r'))
        settings.secret.pop_back();
    if (settings.secret.size() < kLeastSecret)
        throw CLI::ValidationError(
            "--secret-file", settings.secret_file + " holds " +
                                 std::to_string(settings.secret.size()) +
                                 " bytes; at least 32 are needed: openssl rand -base64 48 > " +
                                 settings.secret_file);
}

void read_listen(Settings& settings) {
    const auto colon = settings.listen.rfind(':');
    std::string address = settings.listen.substr(0, colon);
    if (address.size() > 2 && address.front() == '[' && address.back() == ']')
        address = address.substr(1, address.size() - 2);
    const char* begin =
        settings.listen.data() + (colon == std::string::npos ? settings.listen.size() : colon + 1);
    const char* end = settings.listen.data() + settings.listen.size();
    const auto [stop, error] = std::from_chars(begin, end, settings.listen_port);
    if (colon == std::string::npos || begin == end || stop != end || error != std::errc{} ||
        !channel::IpAddress::parse(address))
        throw CLI::ValidationError(
            "--listen", settings.listen + " is not ADDRESS:PORT, as 127.0.0.1:8080 or [::]:8080");
    settings.listen_address = address;
}

void complete(Settings& settings) {
    read_secret(settings);
    read_listen(settings);
    for (const std::string& text : settings.trusted_proxies) {
        const auto network = channel::Cidr::parse(text);
        if (!network)
            throw CLI::ValidationError(
                "--trusted-proxy", text + " is neither an address nor a network, as 10.0.0.0/8");
        settings.proxies.networks.push_back(*network);
    }
    const bool reads_location = !settings.proxies.region_header.empty() ||
                                !settings.proxies.city_header.empty() ||
                                !settings.proxies.coordinates_header.empty();
    if (reads_location && settings.proxies.networks.empty())
        throw CLI::ValidationError(
            "--trusted-proxy", "is needed for headers with locations: whose headers are believed");
    for (const auto& [name, version] :
         {std::pair("--minimum-client-version", &settings.minimum_client_version),
          std::pair("--minimum-gateway-version", &settings.minimum_gateway_version)})
        if (!version->empty() && !channel::Version::parse(*version))
            throw CLI::ValidationError(name, *version + " is no version, as 1.5.0");
    if (settings.revoke_after_s != 0 && settings.revoke_after_s < settings.stale_after_s)
        throw CLI::ValidationError("--revoke-after-s", "is 0 or at least --stale-after-s, " +
                                                           std::to_string(settings.stale_after_s));
    std::string error;
    auto publications = wire::split_publication_names(settings.publication, error);
    if (!publications)
        throw CLI::ValidationError("--publication", "is not a list of publication names. " + error +
                                                        ' ' + wire::kPublicationNamesHint);
    settings.publications = std::move(*publications);
    if (settings.name.empty())
        settings.name = ("channel-" + host_name()).substr(0, kLongestName - 6) + '-' +
                        std::to_string(settings.listen_port);
    if (settings.name.size() > kLongestName)
        throw CLI::ValidationError("--name", "has more than 63 bytes");
    if (!settings.fleet_peers.empty() && settings.fleet_endpoint.empty())
        throw CLI::ValidationError(
            "--fleet-endpoint",
            "is needed when there are other processes (--fleet-peer): where they reach this one");
}

}  // namespace

std::optional<Settings> load_settings(int argc, char** argv, int& status) {
    Settings settings;
    CLI::App app{
        "Serves the connected clients, gateways and relays of a portal: follows their accounts, "
        "pushes what changes, authorizes flows."};
    app.set_version_flag("--version", "fatwal-channel " FATWAL_VERSION);
    app.set_config("--config", "", "file with any of the settings below, as name = value")
        ->envname("FATWAL_CHANNEL_CONFIG");
    Options options(app);
    options.add("database", settings.database, "libpq connection string, to write flows with")
        ->required();
    options.add("publication", settings.publication, "what fatwald streams, as it is given there")
        ->required();
    options
        .add("control", settings.control,
             "endpoint of fatwald's control socket; again for each that takes over")
        ->required();
    options.add("listen", settings.listen,
                "address and port for devices (HTTP; TLS ends at a proxy before it)");
    options
        .add("secret-file", settings.secret_file,
             "file with the fleet's secret, at least 32 bytes, the same in every process")
        ->required();
    options.add("name", settings.name,
                "of the durable subscriptions, of this process alone; default channel-HOST-PORT");
    options.add("fleet-endpoint", settings.fleet_endpoint,
                "ZeroMQ endpoint at which the other processes reach this one");
    options.add("fleet-peer", settings.fleet_peers,
                "fleet endpoint of another process; again for each");
    options.add("trusted-proxy", settings.trusted_proxies,
                "address or network whose X-Forwarded-For is believed; again for each");
    options.add("region-header", settings.proxies.region_header,
                "header in which the trusted proxies name the device's country, as CF-IPCountry");
    options.add("city-header", settings.proxies.city_header, "the same of its city");
    options.add("coordinates-header", settings.proxies.coordinates_header,
                "the same of its latitude and longitude, as 48.85,2.35");
    options.add("admin-socket", settings.admin_socket,
                "path of a Unix-domain socket, made for this user alone, that fatwal channel asks");
    options.add("minimum-client-version", settings.minimum_client_version,
                "older clients are refused, with version_too_old");
    options.add("minimum-gateway-version", settings.minimum_gateway_version,
                "the same of gateways");
    options.add("ready-file", settings.ready_file,
                "made with the port in it when devices can connect");
    options.add("log-level", settings.log_level, "least severity that is logged")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "critical", "off"}));
    options.add("max-sessions", settings.max_sessions, "devices at a time")
        ->check(CLI::Range(1, 1'000'000));
    options
        .add("max-pending", settings.max_pending,
             "connections without a request; beyond it the oldest is closed")
        ->check(CLI::Range(1, 1'000'000));
    options.add("connects-per-second", settings.connects_per_second, "more are told to try again")
        ->check(CLI::Range(1, 1'000'000));
    options.add("max-message-bytes", settings.max_message_bytes, "longest message of a device")
        ->check(CLI::Range(1024, 16'777'216));
    options
        .add("max-queue-bytes", settings.max_queue_bytes,
             "waiting for a slow device, which is then cut")
        ->check(CLI::Range(65'536, 1'073'741'824));
    options
        .add("max-queued-mib", settings.max_queued_mib,
             "that wait in the queues of all devices; a quarter of it for one account")
        ->check(CLI::Range(16, 1'048'576));
    options
        .add("client-messages-per-second", settings.client_messages_per_second,
             "of a client; what is not used in 30 s may come at once")
        ->check(CLI::Range(1, 1'000'000));
    options
        .add("client-flows-per-second", settings.client_flows_per_second,
             "that a client may ask for, likewise")
        ->check(CLI::Range(1, 1'000'000));
    options
        .add("account-messages-per-second", settings.account_messages_per_second,
             "of all clients and gateways of an account, likewise")
        ->check(CLI::Range(1, 10'000'000));
    options
        .add("account-flows-per-second", settings.account_flows_per_second,
             "that all clients of an account may ask for, likewise")
        ->check(CLI::Range(1, 10'000'000));
    options
        .add("idle-timeout-s", settings.idle_timeout_s,
             "after which a device that answers no ping is gone")
        ->check(CLI::Range(2, 3600));
    options
        .add(
            "join-timeout-s", settings.join_timeout_s,
            "for which a device waits for its account's rows; the time in fatwald's queue for them "
            "does not count")
        ->check(CLI::Range(1, 600));
    options
        .add("stale-after-s", settings.stale_after_s,
             "without a fatwald, after which nothing new is granted")
        ->check(CLI::Range(1, 86'400));
    options
        .add("revoke-after-s", settings.revoke_after_s,
             "without a fatwald, after which gateways let nothing through; 0: what was granted "
             "stays")
        ->check(CLI::Range(0, 604'800));
    options
        .add("flow-lifetime-s", settings.flow_lifetime_s,
             "longest life of a flow, after which the client asks again; 0: as long as its policy "
             "holds")
        ->check(CLI::Range(0, 31'536'000));
    options
        .add("account-linger-s", settings.account_linger_s,
             "for which an account without devices is followed on")
        ->check(CLI::Range(0, 86'400));
    options.add("drain-s", settings.drain_s, "over which devices are sent elsewhere at SIGTERM")
        ->check(CLI::Range(0, 3600));
    options
        .add("flow-batch-ms", settings.flow_batch_ms,
             "for which the row of a flow waits for others")
        ->check(CLI::Range(1, 10'000));
    options
        .add("relay-debounce-ms", settings.relay_debounce_ms,
             "for which a relay may be away unnoticed")
        ->check(CLI::Range(0, 600'000));
    try {
        app.parse(argc, argv);
        complete(settings);
    } catch (const CLI::ParseError& error) {
        status = app.exit(error);
        return std::nullopt;
    }
    return settings;
}

}  // namespace fatwal::worker
