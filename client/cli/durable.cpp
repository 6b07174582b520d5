// fatwal durable: lists and forgets durable subscribers. It attaches to the operators' stream,
// which is what entitles to both, and detaches at the end.
#include <sys/random.h>

#include <cstdio>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/control_client.h"
#include "client/cli/event_line.h"
#include "fatwal/wire/control.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::cli {

namespace {

// One line of JSON for each, as `fatwal tail` prints; null for the operators' account.
void print(const wire::DurableEntry& entry) {
    const bool operators = entry.account.kind == wire::AccountKind::Operators;
    std::printf(
        "{\"account\":%s,\"subscriber\":%s,\"acknowledged\":\"%s\",\"stored\":\"%s\","
        "\"attached\":%s,\"holds_wal\":%s}\n",
        operators ? "null" : json_string(entry.account.to_text()).c_str(),
        json_string(entry.name).c_str(), wire::lsn_text(entry.acknowledged).c_str(),
        wire::lsn_text(entry.stored).c_str(), entry.attached ? "true" : "false",
        entry.holds ? "true" : "false");
}

bool list(ControlClient& client) {
    wire::ListDurables request;
    for (;;) {
        const auto part = client.ask<wire::DurableList>(request);
        if (!part) return false;
        for (const wire::DurableEntry& entry : part->durables) print(entry);
        if (part->end || part->durables.empty()) return true;
        request = {part->durables.back().account, part->durables.back().name};
    }
}

}  // namespace

int durable(const DurableArguments& arguments) {
    wire::Attach attach;
    if (getrandom(attach.nonce.data(), attach.nonce.size(), 0) !=
        static_cast<ssize_t>(attach.nonce.size())) {
        std::perror("fatwal: getrandom");
        return 1;
    }
    attach.subscriber = "fatwal durable";
    ControlClient client(arguments.control, arguments.keys);
    if (!client.ask<wire::Attached>(attach)) return 1;
    bool done = false;
    if (arguments.forget.empty()) {
        done = list(client);
    } else {
        wire::ForgetDurable request;
        if (!arguments.operators) request.account = wire::AccountKey::from_text(arguments.account);
        request.name = arguments.forget;
        done = client.ask<wire::Forgotten>(std::move(request)).has_value();
    }
    if (!client.ask<wire::Detached>(wire::Detach{attach.nonce, false})) return 1;
    return done && std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace fatwal::cli
