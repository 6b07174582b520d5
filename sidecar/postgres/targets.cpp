#include "sidecar/postgres/targets.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>

#include "sidecar/failure.h"

namespace fatwal::sidecar {

namespace {

// As long as a switch-over's first attempts may take; libpq's own default is to wait for ever.
constexpr std::chrono::seconds kConnectTimeout{10};
// libpq takes less for this.
constexpr std::chrono::seconds kLeastTimeout{2};

struct FreeOptions {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

std::string value_of(const PQconninfoOption* options, const std::string& keyword) {
    for (const PQconninfoOption* option = options; option && option->keyword; ++option)
        if (keyword == option->keyword && option->val != nullptr) return option->val;
    return {};
}

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
        end = list.find(',', begin);
        parts.push_back(list.substr(begin, end == std::string::npos ? end : end - begin));
    }
    return parts;
}

Options parse(const std::string& database) {
    char* raw = nullptr;
    Options options(PQconninfoParse(database.c_str(), &raw));
    const std::unique_ptr<char, void (*)(void*)> error(raw, PQfreemem);
    if (options) return options;
    if (raw == nullptr) throw std::bad_alloc();
    std::string found = raw;
    while (!found.empty() && found.back() == '\n') found.pop_back();
    throw Failure{
        "the connection string is malformed", found,
        "Give --database 'host=… port=… dbname=… user=…', or a postgresql:// URI; quote a "
        "value that holds blanks in single quotes."};
}

// As libpq tells them apart.
bool is_connection_string(const std::string& database) {
    return database.starts_with("postgresql://") || database.starts_with("postgres://") ||
           database.find('=') != std::string::npos;
}

std::chrono::milliseconds timeout_of(const std::string& seconds) {
    const long given = std::strtol(seconds.c_str(), nullptr, 10);
    if (given <= 0) return kConnectTimeout;
    return std::max(kLeastTimeout, std::chrono::seconds(given));
}

}  // namespace

std::string Target::text() const {
    std::string text = host.empty() ? hostaddr : host;
    if (!host.empty() && !hostaddr.empty() && host != hostaddr) text += " (" + hostaddr + ")";
    if (!port.empty()) text += (text.empty() ? "port " : ":") + port;
    return text.empty() ? "the default host" : text;
}

Targets targets_of(const std::string& database) {
    Targets targets;
    std::string hosts;
    std::string addresses;
    std::string ports;
    std::string timeout;
    bool by_service = false;
    if (is_connection_string(database)) {
        const Options options = parse(database);
        for (const PQconninfoOption* option = options.get(); option->keyword; ++option) {
            if (option->val == nullptr) continue;
            const std::string keyword = option->keyword;
            if (keyword == "host")
                hosts = option->val;
            else if (keyword == "hostaddr")
                addresses = option->val;
            else if (keyword == "port")
                ports = option->val;
            else
                targets.parameters.emplace_back(keyword, option->val);
            if (keyword == "connect_timeout") timeout = option->val;
            if (keyword == "service") by_service = true;
        }
    } else {
        targets.parameters.emplace_back("dbname", database);
    }
    const Options defaults(PQconndefaults());
    if (timeout.empty()) timeout = value_of(defaults.get(), "connect_timeout");
    targets.timeout = timeout_of(timeout);
    // What a service file holds only libpq knows: it is one target.
    if (!by_service) {
        if (hosts.empty() && addresses.empty()) {
            hosts = value_of(defaults.get(), "host");
            addresses = value_of(defaults.get(), "hostaddr");
        }
        if (ports.empty()) ports = value_of(defaults.get(), "port");
    }
    const std::vector<std::string> host = split(hosts);
    const std::vector<std::string> address = split(addresses);
    const std::vector<std::string> port = split(ports);
    const std::size_t count = std::max(host.size(), address.size());
    // libpq refuses lists of other lengths, and says so.
    if ((host.size() != count && !hosts.empty()) ||
        (address.size() != count && !addresses.empty()) ||
        (port.size() != count && port.size() != 1)) {
        targets.each.push_back({hosts, addresses, ports});
        return targets;
    }
    for (std::size_t i = 0; i < count; ++i)
        targets.each.push_back({hosts.empty() ? "" : host[i], addresses.empty() ? "" : address[i],
                                port.size() == 1 ? port[0] : port[i]});
    // A list of servers is for a switch-over: only the primary can be streamed and written to.
    const auto named =
        std::find_if(targets.parameters.begin(), targets.parameters.end(),
                     [](const auto& p) { return p.first == "target_session_attrs"; });
    if (count > 1 && named == targets.parameters.end())
        targets.parameters.emplace_back("target_session_attrs", "primary");
    return targets;
}

std::vector<Target> addresses_of(const Target& target) {
    const bool is_name = !target.host.empty() && target.hostaddr.empty() &&
                         target.host.front() != '/' && target.host.front() != '@' &&
                         target.host.find(',') == std::string::npos;
    if (!is_name) return {target};
    addrinfo wanted{};
    wanted.ai_family = AF_UNSPEC;
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* raw = nullptr;
    if (getaddrinfo(target.host.c_str(), nullptr, &wanted, &raw) != 0) return {target};
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(raw, freeaddrinfo);
    std::vector<Target> each;
    for (const addrinfo* at = raw; at != nullptr; at = at->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (getnameinfo(at->ai_addr, at->ai_addrlen, text.data(), text.size(), nullptr, 0,
                        NI_NUMERICHOST) == 0)
            each.push_back({target.host, text.data(), target.port});
    }
    if (each.empty()) return {target};
    return each;
}

}  // namespace fatwal::sidecar
