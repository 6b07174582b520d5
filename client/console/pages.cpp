#include "client/console/pages.h"

#include <spdlog/spdlog.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>

#include "client/cli/admin_socket.h"
#include "client/cli/control_client.h"
#include "client/cli/durable.h"
#include "client/console/answers.h"
#include "client/console/assets.h"

namespace fatwal::console {

namespace {

using service::HttpAnswer;
using service::HttpQuery;

constexpr std::chrono::milliseconds kReplyWithin{4000};
constexpr std::size_t kMostSecondsLoggedIn = 12UL * 3600;
constexpr std::chrono::seconds kTellRefusedEvery{10};

std::string random_text() {
    std::array<unsigned char, 32> bytes{};
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        throw std::system_error(errno, std::generic_category(), "getrandom");
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (const unsigned char byte : bytes) {
        out += kDigits[byte >> 4U];
        out += kDigits[byte & 15U];
    }
    return out;
}

// The value of a cookie among those of the header; empty when there is none.
std::string_view cookie_in(std::string_view header, std::string_view name) {
    while (!header.empty()) {
        const auto end = std::min(header.find(';'), header.size());
        std::string_view pair = header.substr(0, end);
        header.remove_prefix(std::min(end + 1, header.size()));
        while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
        const auto equals = pair.find('=');
        if (equals != std::string_view::npos && pair.substr(0, equals) == name)
            return pair.substr(equals + 1);
    }
    return {};
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::size_t number(const HttpQuery& query, const std::string& name, std::size_t otherwise) {
    const std::string text = parameter(query, name);
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() && value > 0 ? value
                                                                                 : otherwise;
}

// The account that a query names. Nothing: none, or one that cannot be.
std::optional<wire::AccountKey> account_of(const HttpQuery& query) {
    if (!parameter(query, "operators").empty()) return wire::AccountKey();
    if (!query.parameters.contains("account")) return std::nullopt;
    try {
        return wire::AccountKey::from_text(parameter(query, "account"));
    } catch (const std::invalid_argument&) {
        return std::nullopt;
    }
}

HttpAnswer no_account() {
    return refusal(400, "which account is not said", "Give account=KEY, or operators=1.");
}

HttpAnswer asset(const std::string& path) {
    const std::string name = path == "/" ? "/index.html" : path;
    const Asset* const end = kAssets + kAssetCount;
    const auto* const found =
        std::find_if(kAssets, end, [&](const Asset& each) { return each.path == name; });
    if (found == end) return {404, "there is no such page\n"};
    return {200, std::string(found->content), std::string(found->type)};
}

}  // namespace

std::string parameter(const HttpQuery& query, const std::string& name) {
    const auto at = query.parameters.find(name);
    if (at == query.parameters.end()) return {};
    const std::string& text = at->second;
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
        if (text[i] == '%' && high >= 0 && low >= 0) {
            out += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            out += text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}

Pages::Pages(const cli::ConsoleArguments& arguments, const service::HttpOptions& options,
             Handlers handlers)
    : arguments_(arguments),
      token_(options.token),
      cookie_("fatwal_console_" + std::to_string(options.port)),
      session_(random_text()),
      handlers_(std::move(handlers)),
      readers_(arguments.control, arguments.keys) {
    for (const std::string& socket : arguments.channels)
        channels_.push_back(std::make_unique<Channel>(socket));
}

std::vector<std::pair<std::string, std::string>> Pages::headers() {
    return {{"Content-Security-Policy",
             "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
             "frame-ancestors 'none'"},
            {"X-Content-Type-Options", "nosniff"},
            {"Referrer-Policy", "no-referrer"},
            {"Cross-Origin-Resource-Policy", "same-origin"}};
}

HttpAnswer Pages::answer(const HttpQuery& query) {
    if (!query.path.starts_with("/api/")) return asset(query.path);
    // Nothing from a program; `none` for an address that somebody typed.
    const std::string site = query.header("sec-fetch-site");
    if (!site.empty() && site != "same-origin" && site != "none")
        return refusal(403, "another site's page asks", "Open the console itself.");
    if (query.path == "/api/login") return login(query);
    if (!may(query)) return refusal(401, "log in", "The token is in --http-token-file.");
    return api(query);
}

bool Pages::may(const HttpQuery& query) const {
    return query.trusted || service::is_token(cookie_in(query.header("cookie"), cookie_), session_);
}

HttpAnswer Pages::login(const HttpQuery& query) {
    if (!query.is_post) return refusal(405, "log in by POST", "");
    const Json said = Json::parse(query.body, nullptr, false);
    const std::string given =
        said.is_object() && said.contains("token") && said["token"].is_string()
            ? said["token"].get<std::string>()
            : std::string();
    if (!token_.empty() && !service::is_token(given, token_)) {
        const auto now = std::chrono::steady_clock::now();
        if (now - refused_at_ > kTellRefusedEvery) {
            spdlog::warn("somebody logged in with a wrong token");
            refused_at_ = now;
        }
        return refusal(401, "that is not the token", "It is the line of --http-token-file.");
    }
    return {204,
            {},
            "application/json",
            {{"Set-Cookie", std::string(cookie_) + '=' + session_ +
                                "; HttpOnly; SameSite=Strict; Path=/; Max-Age=" +
                                std::to_string(kMostSecondsLoggedIn)}}};
}

HttpAnswer Pages::api(const HttpQuery& query) {
    if (query.is_post) {
        if (query.path == "/api/forget") return forget(query);
        return refusal(405, "this is asked by GET", "");
    }
    if (query.path == "/api/events") {
        const auto stream = std::make_shared<service::HttpStream>(kMostEventBytes);
        handlers_.join(stream);
        return {.type = service::kEventStream, .stream = stream};
    }
    if (query.path == "/api/accounts" || query.path == "/api/subscribers") return list(query);
    if (query.path == "/api/tail" || query.path == "/api/rows") {
        const auto account = account_of(query);
        if (!account) return no_account();
        return query.path == "/api/tail" ? readers_.tail(*account, parameter(query, "from"))
                                         : readers_.rows(*account);
    }
    if (query.path.starts_with("/api/channels")) return channels(query);
    return refusal(404, "there is no such page", "");
}

cli::ControlClient& Pages::client() {
    const std::string active = handlers_.active();
    if (!client_ || client_of_ != active) {
        client_ = std::make_unique<cli::ControlClient>(active, arguments_.keys, kReplyWithin);
        client_of_ = active;
    }
    return *client_;
}

HttpAnswer Pages::list(const HttpQuery& query) {
    ListQuery asked;
    asked.search = parameter(query, "search");
    asked.by = parameter(query, "by");
    asked.top = number(query, "top", asked.top);
    asked.account = account_of(query);
    if (!asked.account && query.parameters.contains("account")) return no_account();
    const bool accounts = query.path == "/api/accounts";
    return list_jobs_.run([this, asked, accounts] {
        try {
            return json_answer(accounts ? lists_.accounts(client(), asked)
                                        : lists_.subscribers(client(), asked));
        } catch (const std::exception& error) {
            client_.reset();
            return refusal(502, error.what(), "");
        }
    });
}

HttpAnswer Pages::forget(const HttpQuery& query) {
    if (query.header("x-fatwal-console").empty())
        return refusal(403, "the header X-Fatwal-Console is missing",
                       "It shows that no other page in the browser asks.");
    const Json said = Json::parse(query.body, nullptr, false);
    const bool is_whole = said.is_object() && said.contains("account") && said.contains("name") &&
                          said["name"].is_string() &&
                          (said["account"].is_null() || said["account"].is_string());
    if (!is_whole)
        return refusal(400, "which subscriber is not said", R"(POST {"account", "name"}.)");
    wire::ForgetDurable request;
    request.name = said["name"].get<std::string>();
    try {
        if (said["account"].is_string())
            request.account = wire::AccountKey::from_text(said["account"].get<std::string>());
    } catch (const std::invalid_argument& error) {
        return refusal(400, error.what(), "");
    }
    return list_jobs_.run([this, request] {
        if (cli::forget_durable(client(), request)) return HttpAnswer{.status = 204};
        const std::string failure = client_->failure();
        client_.reset();
        return refusal(502, failure, "");
    });
}

HttpAnswer Pages::channels(const HttpQuery& query) {
    constexpr std::string_view kPrefix = "/api/channels/";
    if (query.path == "/api/channels") {
        Json processes = Json::array();
        for (const auto& channel : channels_) processes.push_back(channel->seen());
        return json_answer({{"processes", std::move(processes)}});
    }
    if (!query.path.starts_with(kPrefix)) return refusal(404, "there is no such page", "");
    const std::string_view rest = std::string_view(query.path).substr(kPrefix.size());
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
    const std::string what(end, rest.data() + rest.size());
    const bool known = what == "/sessions" || what == "/choices" || what == "/why";
    if (error != std::errc{} || index >= channels_.size() || !known)
        return refusal(404, "there is no such page", "");
    std::string target = what + '?';
    for (const char* name : {"account", "client", "resource", "after", "limit"})
        if (const std::string value = parameter(query, name); !value.empty())
            target += std::string(target.back() == '?' ? "" : "&") + name + '=' +
                      cli::percent_encoded(value);
    return channels_[index]->ask(target);
}

}  // namespace fatwal::console
