// fatwal durable: lists and forgets durable subscribers. It attaches to the operators' stream,
// which is what entitles to both, and detaches at the end.
#include "client/cli/durable.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

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

// Attached to the operators' stream for as long as it lives.
class Attachment {
public:
    explicit Attachment(ControlClient& client) : client_(client) {
        wire::Attach attach;
        if (getrandom(attach.nonce.data(), attach.nonce.size(), 0) !=
            static_cast<ssize_t>(attach.nonce.size()))
            throw std::system_error(errno, std::generic_category(), "getrandom");
        attach.subscriber = "fatwal durable";
        nonce_ = attach.nonce;
        is_attached_ = client_.try_ask<wire::Attached>(std::move(attach)).has_value();
    }
    ~Attachment() {
        if (is_attached_) (void)client_.try_ask<wire::Detached>(wire::Detach{nonce_, false});
    }
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;

    explicit operator bool() const { return is_attached_; }

private:
    ControlClient& client_;
    wire::Nonce nonce_{};
    bool is_attached_ = false;
};

}  // namespace

std::optional<std::vector<wire::DurableEntry>> list_durables(ControlClient& client,
                                                             std::size_t most) {
    const Attachment attachment(client);
    if (!attachment) return std::nullopt;
    std::vector<wire::DurableEntry> out;
    wire::ListDurables request;
    for (;;) {
        auto part = client.try_ask<wire::DurableList>(request);
        if (!part) return std::nullopt;
        const bool ends = part->end || part->durables.empty();
        for (wire::DurableEntry& entry : part->durables) out.push_back(std::move(entry));
        if (ends || out.size() >= most) return out;
        request = {out.back().account, out.back().name};
    }
}

bool forget_durable(ControlClient& client, wire::ForgetDurable request) {
    const Attachment attachment(client);
    return attachment && client.try_ask<wire::Forgotten>(std::move(request)).has_value();
}

int durable(const DurableArguments& arguments) {
    ControlClient client(arguments.control, arguments.keys);
    bool done = false;
    if (arguments.forget.empty()) {
        const auto entries = list_durables(client, std::numeric_limits<std::size_t>::max());
        done = entries.has_value();
        if (entries)
            for (const wire::DurableEntry& entry : *entries) print(entry);
    } else {
        wire::ForgetDurable request;
        if (!arguments.operators) request.account = wire::AccountKey::from_text(arguments.account);
        request.name = arguments.forget;
        done = forget_durable(client, std::move(request));
    }
    if (!done) std::fprintf(stderr, "%s\n", client.failure().c_str());
    return done && std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace fatwal::cli
