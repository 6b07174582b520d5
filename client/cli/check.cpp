#include <nlohmann/json.hpp>
#include <zmq.hpp>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/control_socket.h"
#include "client/cli/psql.h"
#include "fatwal/wire/control.h"

namespace fatwal::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kTimeoutMs = 2000;
constexpr int kNotChecked = 1;
constexpr int kNotMet = 3;

// The rows of fatwal.check() as a JSON array. Without the extension there is no such function: then
// one row says so, as the function would.
constexpr char kScript[] = R"(SELECT to_regproc('fatwal.check') IS NOT NULL AS installed \gset
\if :installed
SELECT coalesce(json_agg(c), '[]') FROM fatwal.check() AS c;
\else
SELECT json_build_array(json_build_object(
    'requirement', 'the extension fatwal is installed', 'ok', false,
    'found', 'not in database ' || current_database(), 'mend', 'CREATE EXTENSION fatwal; or, where '
    'the server loads no extension: fatwal init --plugin pgoutput'));
\endif
)";

// What was checked, in both forms; nothing when it could not be, and stderr has said why.
struct Checked {
    Json json;
    std::string text;
    bool met = true;
};

std::optional<Checked> check_sidecar(const std::string& control, const KeyArguments& keys) {
    zmq::context_t context;
    zmq::socket_t socket = control_socket(context, control, keys);
    socket.set(zmq::sockopt::rcvtimeo, kTimeoutMs);
    const std::string request = wire::encode({1, wire::Status{}});
    socket.send(zmq::message_t(request.data(), request.size()), zmq::send_flags::dontwait);
    zmq::message_t reply;
    if (!socket.recv(reply)) {
        std::fprintf(stderr, "%s\n", no_reply_from(control, keys).c_str());
        return std::nullopt;
    }
    const auto decoded =
        wire::decode_control({static_cast<const std::byte*>(reply.data()), reply.size()});
    const auto* refused =
        decoded.message ? std::get_if<wire::ControlError>(&decoded.message->body) : nullptr;
    if (refused != nullptr) {
        std::fprintf(stderr, "fatwal: %s. %s %s\n", refused->message.c_str(),
                     refused->detail.c_str(), refused->hint.c_str());
        return std::nullopt;
    }
    const auto* status =
        decoded.message ? std::get_if<wire::StatusReply>(&decoded.message->body) : nullptr;
    if (status == nullptr) {
        std::fprintf(stderr, "fatwald's answer is not understood: it may be of another version\n");
        return std::nullopt;
    }
    Checked checked;
    checked.text = "fatwald\n";
    for (const auto& [name, value] : status->values) {
        checked.json[name] = value;
        checked.text.append("  ").append(name);
        checked.text.append(name.size() < 18 ? 18 - name.size() : 0, ' ');
        checked.text.append(" ").append(value).append("\n");
        if (name == "state") checked.met = value == "streaming";
    }
    return checked;
}

// A requirement whose `ok` is null is a note: only the person knows whether it is meant so.
const char* state_of(const Json& row) {
    if (!row.at("ok").is_boolean()) return "note";
    return row.at("ok").get<bool>() ? "ok" : "NOT OK";
}

std::string text_of(const Json& row, const char* column) {
    const Json& value = row.at(column);
    return value.is_string() ? value.get<std::string>() : "";
}

std::optional<Checked> check_database(const std::string& database) {
    const auto output = run_psql(database, {}, kScript);
    if (!output) {
        std::fprintf(stderr, "the database could not be checked\n");
        return std::nullopt;
    }
    Checked checked{Json::parse(*output), "database\n", true};
    if (is_pooled(database))
        checked.json.push_back({{"requirement", "the database is reached without a pooler"},
                                {"ok", false},
                                {"found", "a pooler refused a replication connection"},
                                {"mend", "give the address of Postgres itself"}});
    for (const Json& row : checked.json) {
        const std::string state = state_of(row);
        const std::string mend = text_of(row, "mend");
        if (state == "NOT OK") checked.met = false;
        checked.text += "  " + state + std::string(7 - state.size(), ' ') +
                        text_of(row, "requirement") + ": " + text_of(row, "found") + '\n';
        if (!mend.empty()) checked.text += "           " + mend + '\n';
    }
    return checked;
}

}  // namespace

int check(const CheckArguments& arguments) {
    if (arguments.control.empty() && arguments.database.empty()) {
        std::fprintf(stderr,
                     "nothing to check: give --control ENDPOINT, --database CONNINFO or both\n");
        return 2;
    }
    Json all;
    int status = 0;
    const auto add = [&](const char* name, const std::optional<Checked>& checked) {
        all[name] = checked ? checked->json : Json();
        if (!checked)
            status = kNotChecked;
        else if (!checked->met && status == 0)
            status = kNotMet;
        if (checked && arguments.format == "text") std::fputs(checked->text.c_str(), stdout);
        std::fflush(stdout);  // psql writes its errors to stderr by itself
    };
    if (!arguments.control.empty())
        add("fatwald", check_sidecar(arguments.control, arguments.keys));
    if (!arguments.database.empty()) add("database", check_database(arguments.database));
    all["ok"] = status == 0;
    if (arguments.format == "json") std::puts(all.dump().c_str());
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
    std::perror("fatwal: standard output cannot be written");
    return kNotChecked;
}

}  // namespace fatwal::cli
