#include "client/cli/observation.h"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "client/cli/control_client.h"
#include "client/cli/psql.h"
#include "client/cli/scripts.h"

namespace fatwal::cli {

namespace {

std::int64_t now_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// Of a clock that was read somewhere between two moments of ours.
ClockDifference difference(std::int64_t clock, std::int64_t before, std::int64_t after) {
    const std::int64_t half = (after - before + 1) / 2;
    return {clock - before - half, half};
}

void observe_holds(ControlClient& client, std::size_t most, Observed::Fatwald& out) {
    std::vector<wire::HoldEntry> holds;
    wire::ListHolds request;
    for (;;) {
        auto page = client.try_ask<wire::HoldList>(request);
        if (!page) {
            out.knows_holds = client.refused() != wire::ErrorCode::UnknownType;
            return;
        }
        request.skip += static_cast<std::uint32_t>(page->holds.size());
        const bool ends = page->end || page->holds.empty();
        for (wire::HoldEntry& entry : page->holds) holds.push_back(std::move(entry));
        if (ends || holds.size() >= most) break;
    }
    out.holds = std::move(holds);
}

Observed::Fatwald observe_fatwald(const DoctorArguments& arguments) {
    try {
        ControlClient client(arguments.control, arguments.keys);
        return observe_fatwald(client);
    } catch (const std::invalid_argument& error) {  // of the keys
        Observed::Fatwald out;
        out.failure = error.what();
        return out;
    }
}

Observed::KeyFile observe_key_file(const KeyArguments& keys) {
    Observed::KeyFile out{keys.key_file, 0, {}};
    struct stat file {};
    if (stat(keys.key_file.c_str(), &file) != 0) {
        out.failure = std::generic_category().message(errno);
        return out;
    }
    out.mode = file.st_mode;
    try {
        (void)load_keys(keys);
    } catch (const std::invalid_argument& error) {
        out.failure = error.what();
    }
    return out;
}

}  // namespace

Observed::Fatwald observe_fatwald(ControlClient& client, std::size_t most_holds) {
    Observed::Fatwald out;
    const std::int64_t before = now_ms();
    const auto reply = client.try_ask<wire::StatusReply>(wire::Status{});
    if (!reply) {
        out.failure = client.failure();
        return out;
    }
    const std::int64_t after = now_ms();
    out.status = {reply->values.begin(), reply->values.end()};
    if (const auto at = out.status.find("clock_unix_ms"); at != out.status.end())
        out.clock = difference(std::strtoll(at->second.c_str(), nullptr, 10), before, after);
    observe_holds(client, most_holds, out);
    return out;
}

Observed::Database observe_database(const std::function<PsqlAnswer()>& run_script) {
    Observed::Database out;
    const std::int64_t before = now_ms();
    PsqlAnswer answer = run_script();
    const std::int64_t after = now_ms();
    out.failure = std::move(answer.error);
    if (!answer.output) {
        if (out.failure.empty()) out.failure = "psql failed";
        return out;
    }
    out.facts = nlohmann::json::parse(*answer.output, nullptr, false);
    if (!out.facts.is_object() || !out.facts.contains("clock_unix_ms")) {
        out.facts = nullptr;
        out.failure = "the answer of psql is not understood: " + answer.output->substr(0, 200);
        return out;
    }
    out.clock = difference(out.facts.at("clock_unix_ms").get<std::int64_t>(), before, after);
    return out;
}

Observed observe(const DoctorArguments& arguments) {
    Observed out;
    out.version = FATWAL_VERSION;
    out.managed = kManagedComment;
    out.slot = arguments.slot;
    if (!arguments.keys.key_file.empty()) out.key_file = observe_key_file(arguments.keys);
    if (!arguments.control.empty()) out.fatwald = observe_fatwald(arguments);
    if (!arguments.database.empty()) {
        out.database =
            observe_database([&] { return ask_psql(arguments.database, {}, kDoctorScript); });
        if (out.database->failure.empty()) out.database->pooled = is_pooled(arguments.database);
    }
    return out;
}

}  // namespace fatwal::cli
