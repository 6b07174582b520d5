// What each credential may, at the position of the stream: the keys that are known and what their
// names are granted.
//
// How it stays exact. The rows are read once, when the stream begins, and followed in the stream
// itself from then on, so a revocation stands in one order with the changes that it forbids: the
// loop applies it before it sends anything that commits later. Reading and following meet as a
// snapshot and the stream do elsewhere:
//
//     slot's position ──── stream ────► … c1 … c2 … read_at ─────────►
//                                       ▲                  ▲
//                       read rows have c1 if the            every transaction that commits here
//                       snapshot sees it: passed over       or later is applied
//
// So behind a restart the rows may be newer than the stream is: what was revoked meanwhile is
// refused at once, which only errs towards refusing.
//
// They may be older, too, than what was followed before the stream was lost: a commit that waits
// for a synchronous standby is in the log, and no snapshot sees it. The stream brings it again, so
// until it is back where it was (`current`) nobody with a key is answered.
//
// Invariants: a public key is of one name. The grants of a name may be there without a key, and a
// key without grants: either may nothing.
//
// No I/O; it belongs to fatwald's loop.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "fatwal/wire/frame.h"
#include "sidecar/credential.h"
#include "sidecar/delivery/schemas.h"

namespace fatwal::sidecar {

class Credentials {
public:
    enum class Applied : std::uint8_t {
        Nothing,     // the frame is about other tables, or its transaction was read
        Changed,     // some right may be gone
        Unreadable,  // a row that cannot be read: the tables have to be read again
    };

    // The tables, as they were read. All before is forgotten. `followed`: the stream was followed
    // up to there before.
    void begin(const CredentialTables& tables, wire::Lsn followed = 0);
    // Nothing is known: nobody is let in.
    void clear();
    // Whether the tables were read, since clear().
    [[nodiscard]] bool are_known() const { return known_; }
    // The stream has brought all that commits before.
    void stream_at(wire::Lsn position) { current_ = current_ || position >= followed_; }
    // Whether they are of no earlier position than ever before.
    [[nodiscard]] bool are_current() const { return current_; }

    // A frame of the stream, in its order. `schemas` has those of the frame's relations.
    [[nodiscard]] Applied apply(const wire::FrameView& frame, const Schemas& schemas);

    // The name of this key; nothing when there is none that holds at `now`.
    [[nodiscard]] const std::string* name_of(std::string_view public_key,
                                             wire::Microseconds now) const;
    // Whether the caller's key is still its name's. Local callers always hold.
    [[nodiscard]] bool holds(const Caller& caller, wire::Microseconds now) const;
    // The one rule of what a caller may: of an account, to the operators' stream. Local callers may
    // everything.
    [[nodiscard]] bool may_follow(const Caller& caller, const wire::AccountKey& account) const;
    [[nodiscard]] bool operates(const Caller& caller) const;

    [[nodiscard]] std::size_t keys() const { return keys_.size(); }

private:
    enum class Table : std::uint8_t { Other, Keys, Grants };
    [[nodiscard]] Table table_of(wire::SchemaId id, const Schemas& schemas);
    // False when a row cannot be read.
    [[nodiscard]] bool apply(const wire::RecordView& record, Table table,
                             const wire::SchemaView& schema);
    void add(CredentialKey key);
    [[nodiscard]] bool has(const std::string& name, GrantScope scope,
                           const wire::AccountKey& account) const {
        return grants_.contains({name, scope, account});
    }

    bool known_ = false;
    bool current_ = false;
    wire::Lsn followed_ = 0;
    wire::TransactionSnapshot sees_;
    wire::Lsn read_at_ = 0;
    std::map<std::string, CredentialKey, std::less<>> keys_;  // by public key
    std::set<CredentialGrant> grants_;
    std::map<wire::SchemaId, Table> tables_;  // of the relations that were seen
};

}  // namespace fatwal::sidecar
