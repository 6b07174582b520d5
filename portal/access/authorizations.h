// What one gateway lets through, and what becomes of it. No messages: decisions come out, and the
// gateway's channel translates them.
//
//     pair (client, resource) ──► flows, each by a justification (policy, membership, token)
//
//     a flow      asked for ──► row awaited (15 s) ──► row seen ──► its end, or its row is deleted
//     a pair      ends when its last flow does; until then it ends with the latest of its flows
//
// When one of the rows that justify a flow changes, the pair is reviewed: the flow stays, ends
// earlier, or goes. When a pair's last flow goes, another policy of the same client and token takes
// its place, if one holds; else the pair is rejected.
//
// A gateway can hold 100,000 pairs, and one row can concern them all. So reviews are a job, which
// is worked off in parts: begin(), then work() until it is done, the state staying as it is
// meanwhile.
//
// Rule of threads: one thread at a time, as all of an account (basics.h).
//
// Invariants (check(), after each job in debug builds):
// - A pair that is held has a flow, between two calls. A flow is of one pair, and the two indexes
//   say the same.
// - Each flow with an end, and each whose row is awaited, has an entry in due_ at that time or
//   before it. An entry says when to check, not what is due: it may be of a flow that is gone.
// - A resource is kept as the device was given it while any pair has it.
// - Conditions shorten a flow, never lengthen it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "portal/access/access.h"
#include "portal/access/affected.h"
#include "portal/access/channel_context.h"
#include "portal/access/version.h"

namespace fatwal::access {

// The pair is not let through any more.
struct PairRejected {
    Pair pair;
};
// It is, but until another time than before; nothing: without end.
struct PairExpiry {
    Pair pair;
    std::optional<Instant> expires_at;
};
// What the gateway was given of a resource is another now.
struct ResourceDiffers {
    Json resource;
};
// The row of a flow is to be deleted, or written.
struct FlowEnded {
    Uuid flow_id;
};
struct FlowBegun {
    portal::Flows row;
};
// In the order decided.
using Decision = std::variant<PairRejected, PairExpiry, ResourceDiffers, FlowEnded, FlowBegun>;
using Decisions = std::vector<Decision>;

class Authorizations {
public:
    // The state outlives it. `version`: what the gateway's device can express.
    Authorizations(ChannelContext context, const Uuid& gateway_id,
                   std::optional<IpAddress> remote_ip, const Version& version);
    ~Authorizations();
    Authorizations(const Authorizations&) = delete;
    Authorizations& operator=(const Authorizations&) = delete;

    // What is to be done with many pairs, in this order.
    struct Job {
        std::vector<Uuid> flows = {};  // whose rows are to be taken in
        Ids deleted = {};              // flows whose rows are gone: their pairs are reviewed
        std::vector<Pair> pairs = {};  // sorted: to be reviewed, or rejected
        Ids moved_clients = {};  // of `pairs`: by their rows they are connected from elsewhere
        bool reviews_all = false;
        bool rejects_all = false;
    };
    void begin(Job job);
    // A part of it, of at most kMostOfPart flows and pairs; true when all is done.
    [[nodiscard]] bool work(Instant now, Tick tick, Decisions& out);
    // 5 to 10 microseconds each.
    static constexpr std::size_t kMostOfPart = 200;

    // Lets a client through, if that may be: the resource as gateways are given it.
    [[nodiscard]] std::optional<Json> authorize(const Authorize& request, Instant now, Tick tick,
                                                Decisions& out);
    // An administrator takes the pair away, whatever justifies it.
    void reject(const Pair& pair, Decisions& out);
    // A row has come in the stream.
    void row_written(const Uuid& flow_id, Tick tick);
    void row_deleted(const Uuid& flow_id) { unasked_.erase(flow_id); }
    // The writer's word: the row was committed, or cannot be.
    void confirmed(const Uuid& flow_id, Tick tick);
    void lost(const Uuid& flow_id, Instant now, Tick tick, Decisions& out);
    // Compares the flows with the rows of a new snapshot: those of them whose rows are gone.
    [[nodiscard]] Ids missing_rows(Tick tick);
    // Ends what is due, a part at a time: what is left is due at once.
    void pass(Instant now, Tick tick, Decisions& out);
    [[nodiscard]] std::optional<Instant> next_end() const;
    [[nodiscard]] std::optional<Tick> next_row() const;
    // Gives up a part of what is held, without a word; false when nothing is left.
    bool let_go();

    [[nodiscard]] std::size_t size() const { return pairs_.size(); }
    [[nodiscard]] bool holds(const Pair& pair) const { return pairs_.contains(pair); }
    [[nodiscard]] bool holds_flow(const Uuid& flow_id) const {
        return pair_of_flow_.contains(flow_id);
    }
    [[nodiscard]] bool holds_any_of(const Uuid& client_id) const;
    [[nodiscard]] std::vector<Pair> pairs() const;
    [[nodiscard]] std::optional<Instant> expiry_of(const Pair& pair) const;
    // What a gateway learns of a client: with another key or another address it is another peer of
    // the tunnel.
    struct Tunnel {
        std::string public_key;
        std::string ipv4;
        std::string ipv6;
        friend bool operator==(const Tunnel&, const Tunnel&) = default;
    };
    [[nodiscard]] const Tunnel& tunnel_of(const Pair& pair) const { return pairs_.at(pair).tunnel; }

private:
    struct Flow {
        Justification by = {};
        std::optional<Instant> expires_at = {};
        Position decided_at = {};             // a state that is behind does not judge it
        std::optional<Tick> durable_by = {};  // nothing: its row is written
        bool seen = false;                    // the state has held its row
        bool missed = false;     // a snapshot has come without its row, which was not written yet
        bool shortened = false;  // it ends before its row says
    };
    struct Held {
        std::unordered_map<Uuid, Flow> flows;
        std::optional<ClientContext> client;  // where it is connected from; nothing: by its row
        Tunnel tunnel;                        // as the device was given it,
        Position given_at;                    // by a state at this position
    };
    using Pairs = std::map<Pair, Held>;
    // The resource as the device was given it.
    struct Given {
        portal::Resources row;
        std::size_t pairs = 0;
    };
    template <class When>
    using Due = std::set<std::pair<When, Uuid>>;
    // How far the job is.
    struct Progress {
        Job job = {};
        std::size_t flow = 0;
        Ids::const_iterator unread = {};  // of job.deleted: from here on their pairs are not known
        std::vector<Pair> also = {};      // which they are, but for those of job.pairs
        bool is_gathered = false;
        std::size_t pair = 0;
    };

    // Which pairs are to be reviewed.
    void gather(Progress& progress) const;
    void take_in(const Uuid& flow_id, Instant now, Decisions& out);
    void review_resource(const Pair& pair, const Ids& deleted, Decisions& out);
    // Judges the flows of a pair; `deleted` are those whose rows are gone.
    void review(const Pair& pair, const Ids& deleted, Instant now, Tick tick, Decisions& out);
    void remove_expired_flows(Held& held, Instant now, Decisions& out);
    // Those that their justification does not hold any more: they are removed.
    [[nodiscard]] std::vector<Justification> remove_unjustified(const Pair& pair, Held& held,
                                                                const Ids& deleted, Instant now,
                                                                Decisions& out);
    // Another policy in place of `lost`, which did not do.
    [[nodiscard]] bool replace(const Pair& pair, Held& held, const std::vector<Justification>& lost,
                               Instant now, Tick tick, Decisions& out);
    void reject(Pairs::iterator pair, const Ids& deleted, Decisions& out);
    Held& add(const Pair& pair, const portal::Resources& resource, const Uuid& flow_id,
              const Flow& flow);
    void drop(Pairs::iterator pair);
    void remove_flow(Held& held, const Uuid& flow_id);
    // Of a flow whose end has come. Its row is left to the prune of rows, unless that says later.
    void remove_expired(Held& held, const Uuid& flow_id, Decisions& out);
    // Takes the flow away; nothing takes its place.
    void end_flow(const Uuid& flow_id, Decisions& out);
    // Its row has come, or is in the snapshot.
    static void see_row(Flow& flow);
    void await_row(const Uuid& flow_id, Flow& flow, Tick tick);
    void pass_ends(Instant now, std::size_t& left, Decisions& out);
    void pass_rows(Tick tick, std::size_t& left, Decisions& out);
    [[nodiscard]] Flow* find(const Uuid& flow_id);
    // Whether the client's row has another key or address than the device was given.
    [[nodiscard]] bool is_another_peer(const Pair& pair, const Held& held) const;
    [[nodiscard]] static Tunnel tunnel_of(const portal::Clients& client);
    [[nodiscard]] ClientContext context_of(const portal::Clients& client, const Held& held) const;
    [[nodiscard]] static std::optional<Instant> expiry_of(const Held& held);
    [[nodiscard]] std::optional<Grant> judge(const Pair& pair, const Held& held,
                                             const Justification& by, Instant now) const;
    void check() const;

    ChannelContext context_;
    Uuid gateway_id_;
    std::optional<IpAddress> remote_ip_;
    Version version_;
    Pairs pairs_;
    std::unordered_map<Uuid, Pair> pair_of_flow_;
    std::unordered_map<Uuid, Given> resources_;
    // ends_: when flows end. rows_: when to stop waiting for a flow's row, or for the request of a
    // row that nobody has asked for. Entries may be out of date.
    Due<Instant> ends_;
    Due<Tick> rows_;
    // Rows of this gateway whose flows nobody has asked it for: until when that may still come.
    // Such a row was written after its flow had been rejected here, as by a process that was
    // paused; it says that something is let through which is not.
    std::unordered_map<Uuid, Tick> unasked_;
    std::optional<Progress> progress_;
};

}  // namespace fatwal::access
