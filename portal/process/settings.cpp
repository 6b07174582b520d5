#include "portal/process/settings.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "fatwal/wire/publication_names.h"
#include "portal/access/version.h"
#include "service/failure.h"

namespace fatwal::process {
namespace {

const service::Program kProgram = {
    .name = "fatwal-channel",
    .version = FATWAL_VERSION,
    .prefix = "FATWAL_CHANNEL_",
    .purpose =
        "Serves the connected clients, gateways and relays of a portal: follows their "
        "accounts, pushes what changes, authorizes flows.",
    .exit_status =
        "0: ended by SIGTERM or SIGINT, after its devices were sent elsewhere. 1: it cannot start, "
        "and the message says what mends it; or a second signal.",
    .see_also = {"fatwal(1)", "fatwald(8)"},
};

constexpr std::size_t kLeastSecret = 32;
constexpr std::size_t kLongestName = 63;

std::string host_name() {
    char name[256] = {};
    return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

std::string read_secret(const std::string& path) {
    const std::string hint = "Make it: openssl rand -base64 48 > " + path;
    std::ifstream file(path, std::ios::binary);
    // A folder can be opened, and not be read.
    if (file.is_open()) file.peek();
    if (!file.is_open() || file.bad())
        throw service::Failure("cannot read the secret of --secret-file",
                               path + ": " + std::strerror(errno), hint);
    std::string secret(std::istreambuf_iterator<char>(file), {});
    while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
    if (secret.size() < kLeastSecret)
        throw service::Failure(
            "the secret of --secret-file is too short",
            path + " holds " + std::to_string(secret.size()) + " bytes; at least 32 are needed.",
            hint);
    return secret;
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
        !access::IpAddress::parse(address))
        throw service::Failure("--listen " + settings.listen + " is not an address and a port", {},
                               "Give ADDRESS:PORT, as 127.0.0.1:8080 or [::]:8080.");
    settings.listen_address = address;
}

void read_proxies(Settings& settings) {
    for (const std::string& text : settings.trusted_proxies) {
        const auto network = access::Cidr::parse(text);
        if (!network)
            throw service::Failure(
                "--trusted-proxy " + text + " is neither an address nor a network", {},
                "Give one, as 10.0.0.0/8.");
        settings.proxies.networks.push_back(*network);
    }
    const bool reads_location = !settings.proxies.region_header.empty() ||
                                !settings.proxies.city_header.empty() ||
                                !settings.proxies.coordinates_header.empty();
    if (reads_location && settings.proxies.networks.empty())
        throw service::Failure("headers with locations are read of trusted proxies alone", {},
                               "Name the proxies with --trusted-proxy.");
}

void check_versions(const Settings& settings) {
    for (const auto& [flag, version] :
         {std::pair("--minimum-client-version", &settings.minimum_client_version),
          std::pair("--minimum-gateway-version", &settings.minimum_gateway_version)})
        if (!version->empty() && !access::Version::parse(*version))
            throw service::Failure(std::string(flag) + ' ' + *version + " is no version", {},
                                   "Give one as 1.5.0.");
}

void read_publication(Settings& settings) {
    std::string error;
    auto publications = wire::split_publication_names(settings.publication, error);
    if (!publications)
        throw service::Failure(
            "--publication " + settings.publication + " is not a list of publication names", error,
            wire::kPublicationNamesHint);
    settings.publications = std::move(*publications);
}

void check_endpoint(const std::string& setting, const std::string& endpoint) {
    const auto fails = [&](const char* hint) {
        throw service::Failure("--" + setting + " is not an endpoint", "It is '" + endpoint + "'.",
                               hint);
    };
    if (endpoint.starts_with("ipc://") && endpoint.size() > 6) return;
    if (!endpoint.starts_with("tcp://"))
        fails("Write ipc:// and a path, or tcp://, an address, a colon and a port.");
    const std::size_t colon = endpoint.rfind(':');
    const std::string_view port = std::string_view(endpoint).substr(colon + 1);
    int number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (colon <= 6 || error != std::errc() || end != port.data() + port.size() || number < 1 ||
        number > 65535)
        fails("Write tcp://, an address, a colon and a port from 1 to 65535.");
}

void read_keys(Settings& settings) {
    if (settings.key_file.empty() != settings.server_key.empty())
        throw service::Failure(
            settings.key_file.empty() ? "--server-key is given without --key-file"
                                      : "--key-file is given without --server-key",
            {},
            "Give both: a file that `fatwal keygen` made, and what it printed when fatwald's key "
            "file was made.");
    if (settings.key_file.empty()) {
        for (const std::string& endpoint : settings.control)
            if (endpoint.starts_with("tcp://"))
                throw service::Failure("--control " + endpoint + " needs keys",
                                       "Over the network fatwald answers nobody without keys.",
                                       "Give --key-file and --server-key.");
        return;
    }
    try {
        settings.keys = client::Keys::from_file(settings.key_file, settings.server_key);
    } catch (const std::invalid_argument& error) {
        throw service::Failure("the keys of --key-file and --server-key cannot be used",
                               error.what());
    }
}

// What depends on several settings, and what is made of them.
void complete(Settings& settings) {
    settings.secret = read_secret(settings.secret_file);
    read_listen(settings);
    read_proxies(settings);
    check_versions(settings);
    if (settings.revoke_after_s != 0 && settings.revoke_after_s < settings.stale_after_s)
        throw service::Failure(
            "--revoke-after-s is less than --stale-after-s", {},
            "Give 0 or at least " + std::to_string(settings.stale_after_s) + '.');
    read_publication(settings);
    for (const std::string& endpoint : settings.control) check_endpoint("control", endpoint);
    read_keys(settings);
    for (const std::string& endpoint : settings.fleet_peers) check_endpoint("fleet-peer", endpoint);
    if (!settings.fleet_endpoint.empty()) check_endpoint("fleet-endpoint", settings.fleet_endpoint);
    settings.http_options = service::http_options(settings.http, settings.http_token_file);
    if (settings.name.empty())
        settings.name = ("channel-" + host_name()).substr(0, kLongestName - 6) + '-' +
                        std::to_string(settings.listen_port);
    if (settings.name.size() > kLongestName)
        throw service::Failure("--name has more than 63 bytes", settings.name);
    if (!settings.fleet_peers.empty() && settings.fleet_endpoint.empty())
        throw service::Failure("other processes (--fleet-peer) cannot reach this one", {},
                               "Say where with --fleet-endpoint.");
}

}  // namespace

const service::Program& program() { return kProgram; }

std::vector<service::Setting> specifications(Settings& s) {
    return {
        {.name = "database",
         .value = &s.database,
         .unit = "libpq connection string",
         .needed = true,
         .sentence = "where the rows of flows, of devices that register, and `last_seen_*` are "
                     "written",
         .more = "Its role needs a few privileges, most of them on single columns "
                 "([security.md](security.md)); the process names the missing `GRANT` statements, "
                 "and does not start without these privileges",
         .example = "host=/var/run/postgresql dbname=portal user=fatwal-channel"},
        {.name = "publication",
         .value = &s.publication,
         .unit = "[publication names](#publication-names)",
         .needed = true,
         .sentence = "the publications that fatwald streams, as they are given there",
         .more = "Checked when the process starts: a table that decides access has to be in them, "
                 "with all that is done to it, and with `REPLICA IDENTITY FULL` on it and on each "
                 "of its partitions",
         .example = "portal"},
        {.name = "control",
         .value = &s.control,
         .unit = "ZeroMQ endpoints",
         .needed = true,
         .sentence = "control sockets of the fatwalds that take over from each other",
         .example = "ipc:///run/fatwal/control.sock"},
        {.name = "key_file",
         .value = &s.key_file,
         .unit = "file of `fatwal keygen`",
         .standard = "(none: without keys)",
         .sentence = "our key pair, for fatwalds that ask for keys; others than its owner must not "
                     "be able to read it",
         .more = "The credential of its key needs the accounts that the process follows, and the "
                 "operators; its name has to be `name`, or what stands before a slash in it"},
        {.name = "server_key",
         .value = &s.server_key,
         .unit = "40 characters",
         .standard = "(none)",
         .sentence = "public key of the fatwalds at `control`, which share one key file"},
        {.name = "secret_file",
         .value = &s.secret_file,
         .unit = "file, at least 32 bytes",
         .needed = true,
         .sentence = "the fleet's secret, the same in every process: signs references, derives "
                     "keys",
         .example = "/etc/fatwal/fatwal-channel.secret"},
        {.name = "listen",
         .value = &s.listen,
         .unit = "ADDRESS:PORT",
         .sentence = "where devices connect, in HTTP; TLS ends at a proxy before it",
         .more = "Port 0: one that is free, which `ready_file` names"},
        {.name = "name",
         .value = &s.name,
         .unit = "at most 63 bytes",
         .standard = "`channel-HOST-PORT`",
         .sentence = "name of its durable subscriptions, of no other process",
         .more =
             "PORT is that of `listen`: give each process with port 0 a name of its own, or all "
             "of one host are `channel-HOST-0`"},
        {.name = "fleet_endpoint",
         .value = &s.fleet_endpoint,
         .unit = "ZeroMQ endpoint",
         .standard = "(none: alone)",
         .sentence = "where the other processes reach this one"},
        {.name = "fleet_peer",
         .value = &s.fleet_peers,
         .unit = "ZeroMQ endpoints",
         .sentence = "`fleet_endpoint` of each other process"},
        {.name = "trusted_proxy",
         .value = &s.trusted_proxies,
         .unit = "addresses, networks",
         .sentence = "proxies whose `X-Forwarded-For` is believed, and the three headers below"},
        {.name = "region_header",
         .value = &s.proxies.region_header,
         .unit = "name of a header, as `CF-IPCountry`",
         .standard = "(none read)",
         .sentence = "header in which the trusted proxies say the device's country, a code of ISO "
                     "3166-1",
         .more = "They must strip it from what devices send"},
        {.name = "city_header",
         .value = &s.proxies.city_header,
         .unit = "name of a header",
         .standard = "(none read)",
         .sentence = "header in which the trusted proxies say the device's city"},
        {.name = "coordinates_header",
         .value = &s.proxies.coordinates_header,
         .unit = "name of a header",
         .standard = "(none read)",
         .sentence = "header in which the trusted proxies say the device's place, as "
                     "`48.85,2.35`"},
        {.name = "admin_socket",
         .value = &s.admin_socket,
         .unit = "path, at most 107 bytes",
         .standard = "(none)",
         .sentence = "a Unix-domain socket for `fatwal channel`, made for the process's user alone",
         .more = "The process replaces one that a dead process has left, and refuses another's"},
        {.name = "http",
         .value = &s.http,
         .unit = "`ADDRESS:PORT`",
         .standard = "(none)",
         .sentence = "where the process answers `/metrics`, `/healthz` and `/readyz`",
         .more = "`127.0.0.1:7481`, say; port 0 takes a free one, which the log names. Another "
                 "address than this machine's own needs `http_token_file`. "
                 "[operations.md](operations.md#metrics) has the pages"},
        {.name = "http_token_file",
         .value = &s.http_token_file,
         .unit = "file",
         .standard = "(none)",
         .sentence = "file with the token that `http` asks for (`Authorization: Bearer TOKEN`)",
         .more = "A line of 16 to 512 characters, for its owner alone (mode 0600)"},
        {.name = "minimum_client_version",
         .value = &s.minimum_client_version,
         .unit = "version, as 1.5.0",
         .standard = "(any)",
         .sentence = "an older client is refused with `version_too_old`"},
        {.name = "minimum_gateway_version",
         .value = &s.minimum_gateway_version,
         .unit = "version, as 1.5.0",
         .standard = "(any)",
         .sentence = "an older gateway is refused with `version_too_old`"},
        {.name = "max_sessions",
         .value = &s.max_sessions,
         .range = {1, 1'000'000},
         .sentence = "devices at a time, connected or registering; more are answered 503"},
        {.name = "max_pending",
         .value = &s.max_pending,
         .range = {1, 1'000'000},
         .sentence = "connections that have sent no whole request yet; beyond it the oldest is "
                     "closed",
         .more = "Each has 10 s. After a deploy all devices connect at once, so no fewer than "
                 "`max_sessions`"},
        {.name = "connects_per_second",
         .value = &s.connects_per_second,
         .range = {1, 1'000'000},
         .sentence = "devices that begin to join or register; more are answered 503",
         .more = "Addresses (of IPv6 networks of 64 bits) from which 20 tokens or more were "
                 "invalid, each within a minute of the one before, share one half of it, so that "
                 "whoever guesses tokens keeps nobody else out"},
        {.name = "max_message_bytes",
         .value = &s.max_message_bytes,
         .unit = "bytes",
         .range = {1024, 16'777'216},
         .sentence = "longest message of a device"},
        {.name = "max_queue_bytes",
         .value = &s.max_queue_bytes,
         .unit = "bytes",
         .range = {65'536, 1'073'741'824},
         .sentence = "bytes that wait for a slow device before it is cut"},
        {.name = "max_queued_mib",
         .value = &s.max_queued_mib,
         .unit = "MiB",
         .range = {16, 1'048'576},
         .sentence = "MiB that wait in the queues of all devices; a quarter of it for one account",
         .more = "One queue may hold at most half of what is left, never less than 64 KiB. As much "
                 "again for what devices are shown first ([the "
                 "channels](../portal/README.md#messages))"},
        {.name = "client_messages_per_second",
         .value = &s.client_messages_per_second,
         .unit = "messages",
         .range = {1, 1'000'000},
         .sentence =
             "of a client or a relay, with 4 KiB for each; what it does not use in 30 s may "
             "come at once",
         .more = "More is answered `rate_limited` and not done"},
        {.name = "client_flows_per_second",
         .value = &s.client_flows_per_second,
         .unit = "`create_flow`",
         .range = {1, 1'000'000},
         .sentence = "flows that a client may ask for, likewise"},
        {.name = "account_messages_per_second",
         .value = &s.account_messages_per_second,
         .unit = "messages",
         .range = {1, 10'000'000},
         .sentence = "of all clients and gateways of an account, likewise; a gateway has half of "
                     "it",
         .more = "As much again of its relays"},
        {.name = "account_flows_per_second",
         .value = &s.account_flows_per_second,
         .unit = "`create_flow`",
         .range = {1, 10'000'000},
         .sentence = "flows that all clients of an account may ask for, likewise"},
        {.name = "idle_timeout_s",
         .value = &s.idle_timeout_s,
         .unit = "s",
         .range = {2, 3600},
         .sentence = "a device that does not answer a ping for so long, or does not take a message "
                     "for so long, is disconnected"},
        {.name = "join_timeout_s",
         .value = &s.join_timeout_s,
         .unit = "s",
         .range = {1, 600},
         .sentence = "time for which a device waits for the rows of its account, or to be "
                     "registered",
         .more = "The time in which fatwald has the request for the rows in its queue does not "
                 "count: after a deploy thousands of accounts ask at once"},
        {.name = "stale_after_s",
         .value = &s.stale_after_s,
         .unit = "s",
         .range = {1, 86'400},
         .sentence = "time without a fatwald after which nothing new is granted (`create_flow` "
                     "fails with `offline`) until one is back and a new snapshot is there"},
        {.name = "revoke_after_s",
         .value = &s.revoke_after_s,
         .unit = "s; 0 or at least `stale_after_s`",
         .range = {0, 604'800},
         .standard = "0 (off)",
         .sentence =
             "time without a fatwald, or without a snapshot of an account that is put aside, "
             "after which gateways reject all that was granted"},
        {.name = "flow_lifetime_s",
         .value = &s.flow_lifetime_s,
         .unit = "s",
         .range = {0, 31'536'000},
         .standard = "0 (none)",
         .sentence = "longest life of a flow, after which the client asks again; 0: as long as its "
                     "policy and token hold"},
        {.name = "account_linger_s",
         .value = &s.account_linger_s,
         .unit = "s",
         .range = {0, 86'400},
         .sentence = "time for which the process still follows an account without devices"},
        {.name = "drain_s",
         .value = &s.drain_s,
         .unit = "s",
         .range = {0, 3600},
         .sentence = "time over which the process sends its devices elsewhere at SIGTERM"},
        {.name = "flow_batch_ms",
         .value = &s.flow_batch_ms,
         .unit = "ms",
         .range = {1, 10'000},
         .sentence = "time for which the row of a flow waits for others; 10,000 rows are written "
                     "at once"},
        {.name = "relay_debounce_ms",
         .value = &s.relay_debounce_ms,
         .unit = "ms",
         .range = {0, 600'000},
         .sentence = "time for which a relay may be away before devices are notified"},
        {.name = "ready_file",
         .value = &s.ready_file,
         .unit = "file",
         .sentence = "the process makes it, with the port in it, when devices can connect"},
        {.name = "log_level",
         .value = service::choice(s.log_level, service::log_levels()),
         .reloads = true,
         .sentence = "least severity that is logged, to standard error"},
        {.name = "log_format",
         .value = service::choice(s.log_format, service::log_formats()),
         .sentence = "whether a line of the log is text, or a JSON object with `time`, `level` and "
                     "`message`"},
    };
}

std::optional<Settings> load_settings(int argc, const char* const* argv) {
    Settings settings;
    if (service::load(kProgram, specifications(settings), argc, argv) == service::Load::Shown)
        return std::nullopt;
    complete(settings);
    return settings;
}

}  // namespace fatwal::process
