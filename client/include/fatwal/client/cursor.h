// How far a worker has come in its account's stream: what it keeps to resume there, in another
// process or after a restart.
//
//     save(subscription.cursor()->to_text());                        // with the effects of the
//     events options.cursor = fatwal::client::Cursor::from_text(saved());   // after a restart
//
// A value: copy it as you like, from any thread. A cursor of another cluster, or from beyond the
// point where this timeline began, means nothing to fatwald: the subscription then takes a
// snapshot, or without snapshots says by Resync that changes are missing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fatwal/wire/control.h"

namespace fatwal::client {

struct Cursor {
    wire::History history;
    wire::Lsn next = 0;  // every transaction that commits before is already delivered

    // After a snapshot, for as long as transactions may follow that it holds already: those that
    // commit before `until` and that it sees.
    struct Held {
        wire::TransactionSnapshot sees;
        wire::Lsn until = 0;
        friend bool operator==(const Held&, const Held&) = default;
    };
    std::optional<Held> held;

    // Whether this transaction is already delivered.
    [[nodiscard]] bool has(std::uint32_t xid, wire::Lsn commit_lsn) const {
        return commit_lsn < next ||
               (held && commit_lsn < held->until && (xid == 0 || held->sees.sees(xid)));
    }

    // One line of text, and back; nothing when it is none.
    [[nodiscard]] std::string to_text() const;
    [[nodiscard]] static std::optional<Cursor> from_text(std::string_view text);

    friend bool operator==(const Cursor&, const Cursor&) = default;
};

}  // namespace fatwal::client
