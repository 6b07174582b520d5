#include "sidecar/requests.h"

#include <set>
#include <utility>
#include <variant>

#include "sidecar/log_text.h"

namespace fatwal::sidecar {

namespace {

// Of the schemas in one DESCRIBED, unless the first alone has more.
constexpr std::size_t kDescribedBytes = 1024 * 1024;

// A name of its own: by it acknowledgements let WAL go, and nobody does that for another.
bool is_own_name(const Caller& caller, const std::string& name) {
    return caller.is_local() || name == caller.credential ||
           name.starts_with(caller.credential + '/');
}

std::string literal(const std::string& text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
    return out + '\'';
}

}  // namespace

Reply forbidden(const Caller& caller, const wire::AccountKey& account) {
    const bool operators = account.kind == wire::AccountKind::Operators;
    const std::string name = literal(caller.credential);
    return refuse(wire::ErrorCode::Forbidden, "the credential is not granted this",
                  "Credential " + log_text(caller.credential) + " may not " +
                      (operators ? "do what operators do."
                                 : "follow account " + log_text(account.to_text()) + '.'),
                  (operators ? "SELECT fatwal.grant_operators(" + name
                             : "SELECT fatwal.grant(" + name + ", " + literal(account.to_text())) +
                      ");");
}

class Requests::Visit {
public:
    Visit(const Sources& of, const Requester& requester, Clock::time_point now)
        : of_(of), requester_(requester), now_(now) {}

    using Answer = std::optional<Reply>;

    Answer operator()(const wire::Attach& request) const {
        if (!of_.credentials.may_follow(requester_.caller, request.account))
            return log_refused(request, forbidden(requester_.caller, request.account));
        if (request.durable && !is_own_name(requester_.caller, request.subscriber))
            return log_refused(
                request, refuse(wire::ErrorCode::Forbidden,
                                "a durable subscriber's name is its credential's",
                                "Credential " + log_text(requester_.caller.credential) +
                                    " has asked for the name " + log_text(request.subscriber) + '.',
                                "Name it " + requester_.caller.credential + ", or " +
                                    requester_.caller.credential + "/ and more."));
        const bool away_too_long =
            of_.epoch.number == 0 || now_ - of_.slot.lost_at() >= kStreamGrace;
        if (!of_.slot.is_live() && (of_.slot.streams() || away_too_long))
            return refuse(wire::ErrorCode::NotStreaming, "the slot is not being streamed", {},
                          "Another fatwald may have it; else see the log of this one.");
        auto answered =
            of_.attachments.attach(request, requester_, standing_of(of_.epoch, of_.ledger), now_);
        if (auto* error = std::get_if<wire::ControlError>(&answered))
            return log_refused(request, Reply{std::move(*error), {}});
        auto& attached = std::get<wire::Attached>(answered);
        if (!of_.durables.is_new(request)) return Reply{std::move(attached), {}};
        of_.durables.attach_when_stored(request, requester_, std::move(attached));
        return std::nullopt;
    }

    // Takes the nonce out of all that knows it: it names nobody from now on.
    Answer operator()(const wire::Detach& request) const {
        if (of_.attachments.detach(request, requester_.identity)) {
            of_.replays.forget(request.nonce);
            of_.snapshots.forget(request.nonce);
            if (request.forget) of_.durables.store();
        }
        return Reply{wire::Detached{}, {}};
    }

    // Each schema once, as many as fit into a reply: who lacks others asks again.
    Answer operator()(const wire::Describe& request) const {
        if (!of_.attachments.attached_by(requester_.identity))
            return refuse(wire::ErrorCode::NotAttached, "nobody is attached by this connection", {},
                          "Attach first.");
        wire::Described described;
        std::set<wire::SchemaId> answered;
        std::size_t bytes = 0;
        for (const wire::SchemaId id : request.schemas) {
            const std::string* schema = of_.epoch.schemas.find(id);
            if (schema == nullptr || !answered.insert(id).second) continue;
            if (bytes > 0 && bytes + schema->size() > kDescribedBytes) break;
            bytes += schema->size();
            described.schemas.push_back(*schema);
        }
        return Reply{std::move(described), {}};
    }

    Answer operator()(const wire::Replay& request) const {
        return of_.replays.answer(request, requester_, standing_of(of_.epoch, of_.ledger), now_);
    }

    Answer operator()(const wire::SnapshotRequest& request) const {
        return of_.snapshots.answer(request, requester_, now_);
    }

    Answer operator()(const wire::Acknowledge& request) const {
        if (auto refused =
                of_.attachments.acknowledge(request, requester_.identity, of_.ledger.published()))
            return Reply{std::move(*refused), {}};
        // Postgres may be shutting down, and then waits until this acknowledgement is stored and
        // confirmed. Otherwise the next tick stores it.
        if (of_.confirmation.urgent()) of_.durables.store();
        return std::nullopt;
    }

    Answer operator()(const wire::ListDurables& request) const {
        if (auto refused = unless_operator()) return refused;
        return Reply{of_.attachments.list_durables(request), {}};
    }

    Answer operator()(const wire::ForgetDurable& request) const {
        if (auto refused = unless_operator()) return refused;
        if (!of_.durables.forget({request.account, request.name}))
            return refuse(wire::ErrorCode::BadName, "there is no durable subscriber of this name",
                          {}, "fatwal durable list shows them.");
        return Reply{wire::Forgotten{}, {}};
    }

    Answer operator()(const wire::Status&) const {
        if (!of_.credentials.operates(requester_.caller)) return forbidden(requester_.caller, {});
        return Reply{of_.status(), {}};
    }

    Answer operator()(const wire::Confirm&) const {
        if (!of_.credentials.operates(requester_.caller)) return forbidden(requester_.caller, {});
        if (!of_.slot.streams())
            return refuse(wire::ErrorCode::NotStreaming, "the slot is not being streamed");
        of_.confirm();
        return Reply{wire::Confirmed{of_.confirmation.confirmed()}, {}};
    }

    Answer operator()(const wire::ListHolds& request) const {
        return list_for_operator([&] { return of_.roster.holds(request, now_); });
    }
    Answer operator()(const wire::ListSubscribers& request) const {
        return list_for_operator([&] { return of_.roster.subscribers(request, now_); });
    }
    Answer operator()(const wire::ListAccounts& request) const {
        return list_for_operator([&] { return of_.roster.accounts(request); });
    }
    Answer operator()(const wire::ListEvents& request) const {
        return list_for_operator([&] { return of_.roster.events(request); });
    }

    // The epoch that is streamed, by which a subscriber finds the fatwald that has the slot.
    Answer operator()(const wire::Ping&) const {
        return Reply{wire::Pong{of_.slot.is_live() ? of_.epoch.number : 0}, {}};
    }

    // A request that is added has to have its own above.
    template <class Message>
    requires(!wire::ControlRequest<Message>) Answer operator()(const Message&) const {
        return refuse(wire::ErrorCode::UnknownType, "this is a reply, not a request");
    }

private:
    [[nodiscard]] Answer log_refused(const wire::Attach& request, Reply refused) const {
        const auto& error = std::get<wire::ControlError>(refused.body);
        of_.log.warn("attach of " + log_text(request.subscriber) + " refused: " + error.message +
                         ' ' + error.detail,
                     now_);
        return refused;
    }

    template <class List>
    [[nodiscard]] Answer list_for_operator(List list) const {
        if (!of_.credentials.operates(requester_.caller)) return forbidden(requester_.caller, {});
        return Reply{list(), {}};
    }

    // Only a connection that is attached to the operators' stream may list and forget durable
    // subscribers, those of every account.
    [[nodiscard]] Answer unless_operator() const {
        if (of_.attachments.operates(requester_.identity)) return std::nullopt;
        return refuse(wire::ErrorCode::NotAttached,
                      "this connection is not attached to the operators' stream", {},
                      "Attach to the operators (account kind 0) first.");
    }

    const Sources& of_;
    const Requester& requester_;
    Clock::time_point now_;
};

std::optional<Reply> Requests::answer(const Request& request, Clock::time_point now) {
    const bool has_key = !request.requester.caller.is_local();
    if (has_key && of_.credentials.are_known() && !of_.credentials.are_current())
        return refuse(wire::ErrorCode::NotStreaming, "the credentials are being read", {},
                      "Try again in a moment.");
    // Its connection is being ended; what it has sent before counts no more.
    if (!of_.credentials.holds(request.requester.caller, of_.wall_time()))
        return refuse(wire::ErrorCode::Forbidden, "the key does not hold any more",
                      "It is revoked, or has expired.",
                      "An operator adds a key by SELECT fatwal.add_credential(…).");
    return std::visit(Visit(of_, request.requester, now), request.body);
}

}  // namespace fatwal::sidecar
