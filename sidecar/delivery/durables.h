// The durable subscribers: what each has acknowledged, what of that is stored in the table, what is
// held for it. No I/O.
//
// Of one subscriber, and of its account:
//
//        stored           acknowledged          newest of the account        published
//     -----|--------------------|------------------------|------------------------|------> LSN
//          |                    |                        `- its newest transaction commits here
//          |                    `- it has processed what commits before, by its own word
//          `- the table says so: what another fatwald would know
//
// WAL is held for it from `stored` on, as soon as something of its account commits there or later
// (`newest` >= `stored`). So what is confirmed to Postgres beyond `stored` holds nothing of its
// account, and a subscriber that comes back with a cursor from `stored` on has missed nothing, also
// when another fatwald has the slot by then. By `acknowledged` nothing is decided: a crash of this
// process would forget it.
//
// Most accounts change seldom, so most holds are none: a subscriber whose account is silent costs
// no WAL and no writing, however far the stream goes.
//
// The account owns its subscribers (Group, by name); Durables finds each by its key, for what the
// keeper and the holds name. Invariants: both have the same subscribers; who is to be written is
// one of them; stored <= acknowledged; a hold of theirs is at `stored`. One thread: fatwald's loop.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sidecar/delivery/ledger.h"
#include "sidecar/durable_subscriber.h"

namespace fatwal::sidecar {

class Durables {
public:
    using Time = Holds::Time;

    // Those of one account.
    class Group {
    public:
        Group(Durables& all, wire::AccountKey account) : all_(all), account_(std::move(account)) {}
        ~Group();
        Group(const Group&) = delete;
        Group& operator=(const Group&) = delete;

        [[nodiscard]] bool empty() const { return by_name_.empty(); }
        [[nodiscard]] std::size_t size() const { return by_name_.size(); }
        [[nodiscard]] bool contains(const std::string& name) const {
            return by_name_.contains(name);
        }
        // Whether the table knows it.
        [[nodiscard]] bool written(const std::string& name) const;
        // Whether it is written down, no further than `acknowledged`.
        [[nodiscard]] bool written_within(const std::string& name, wire::Lsn acknowledged) const;
        // It has processed all before `from`, and no more, and Postgres has the log from there on.
        // `written`: by the table.
        void add(const std::string& name, wire::Lsn from, bool written, Time now);
        // Something commits here.
        void published(wire::Lsn commit_lsn, Time now);
        void acknowledge(const std::string& name, wire::Lsn cursor);
        // It does not come back.
        void leave(const std::string& name);
        // Where it resumes with this cursor, when all before `confirmable` is confirmed to Postgres
        // or about to be.
        [[nodiscard]] wire::Lsn resume(const std::string& name, wire::Lsn cursor,
                                       wire::Lsn confirmable) const;

    private:
        friend class Durables;
        struct Subscriber {
            wire::Lsn acknowledged = 0;
            wire::Lsn stored = 0;  // as written down; all holds go by it
            bool written = false;
            bool holding = false;
        };
        [[nodiscard]] DurableKey key_of(const std::string& name) const { return {account_, name}; }
        void check(const std::string& name) const;
        void hold(const std::string& name, Subscriber& subscriber, Time now);
        void drop(const std::string& name);

        Durables& all_;
        wire::AccountKey account_;
        std::map<std::string, Subscriber> by_name_;
        wire::Lsn newest_ = 0;  // where the newest transaction of the account commits
    };

    explicit Durables(Holds& holds) : holds_(holds) {}

    [[nodiscard]] std::size_t size() const { return groups_.size(); }
    // Of all accounts, those whose names are this credential's, or begin with it and a slash.
    [[nodiscard]] std::size_t of_credential(const std::string& credential) const;
    [[nodiscard]] bool contains(const DurableKey& key) const { return groups_.contains(key); }

    // What is to be written down since the last call, and who is to be taken out.
    struct Changes {
        std::vector<DurableSubscriber> written;
        std::vector<DurableSubscriber> removed;
        [[nodiscard]] bool empty() const { return written.empty() && removed.empty(); }
    };
    Changes extract_changes();
    // They were written, or could not be.
    void stored(const Changes& changes, Time now);
    void not_stored(Changes changes);
    // The server goes down and takes no writing any more: what was acknowledged counts at once.
    void count_unwritten(Time now);

    // The database refuses the row of this one and takes others. A subscriber that it never stored
    // is dropped, as nothing can be promised to it; true then. One that it stored before keeps the
    // position that is stored, and the next acknowledgement tries again.
    bool refused(const DurableKey& key);

    // Takes out the one that has this key; false when there is none.
    bool forget(const DurableKey& key);

    // At most `most` of those behind `after`, in the order of their keys. `attached` is the
    // caller's to fill in.
    [[nodiscard]] std::vector<wire::DurableEntry> list(const DurableKey& after,
                                                       std::size_t most) const;

private:
    Holds& holds_;
    std::map<DurableKey, Group*> groups_;  // whose each is
    std::map<std::string, std::size_t, std::less<>> of_credential_;
    std::set<DurableKey> unwritten_;  // of groups_
    std::vector<DurableSubscriber> removed_;
};

}  // namespace fatwal::sidecar
