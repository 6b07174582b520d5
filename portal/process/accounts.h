// The accounts that this process follows: those with devices here, and for a while those that had.
//
// An account is followed from its first proven device on (follow()) and until it has been without
// devices for account_linger_s (sweep()), so a device that connects again finds its rows. Whatever
// concerns many accounts goes through here: a relay, a publication, the clock, an administrator's
// list, the end of the process. What takes long for one account is cut into turns
// (portal/process/turns.h).
//
// An account whose work has thrown ends alone. It is not destroyed where it threw, as that is
// within its own functions, but in a later turn of the loop; by then the id may be followed by a
// new Account, which stays. While accounts end they are no longer found here, so what they still
// send looks for its receiver as if they were gone. One thread, the loop's.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "portal/access/peer_message.h"
#include "portal/process/account.h"
#include "portal/process/account_context.h"
#include "portal/process/admin.h"
#include "portal/process/turns.h"

namespace fatwal::process {

class Accounts {
public:
    // `context` without failed(). `ended`: of an account whose work has thrown, when it is gone.
    Accounts(AccountContext context, std::function<void(const Uuid& account)> ended);
    ~Accounts() { end(); }
    Accounts(const Accounts&) = delete;
    Accounts& operator=(const Accounts&) = delete;

    // Null when it is not followed.
    [[nodiscard]] Account* find(const Uuid& id) const;
    // The account that has the client; null when none does that is followed.
    [[nodiscard]] Account* with_client(const Uuid& client_id) const;
    Account& follow(const Uuid& id);
    // Ends those that have been without devices for long enough.
    void sweep();
    void end();

    // The relays of an account (nothing: of all) are others: in turns.
    void relays_changed(const std::optional<Uuid>& of);
    void publication_changed(wire::Lsn at);
    void clock_was_set(access::Instant::duration moved);
    // Closes at most so many sessions of the kind; how many it has closed.
    std::size_t close_some(access::Device device, std::size_t most);

    [[nodiscard]] std::size_t size() const { return accounts_.size(); }
    [[nodiscard]] std::size_t live() const;
    [[nodiscard]] std::size_t sessions(access::Device device) const;
    // Whether anything is decided that is not carried out.
    [[nodiscard]] bool are_at_work() const;
    // As the admin socket shows it: {"sessions", "next"}.
    [[nodiscard]] access::Json list(const Admin::Listing& listing) const;

private:
    void fail(std::weak_ptr<Account> account, const Uuid& id, const std::string& reason);

    AccountContext context_;
    std::function<void(const Uuid&)> ended_;
    std::map<Uuid, std::shared_ptr<Account>> accounts_;
    Turns relay_turns_;
};

}  // namespace fatwal::process
