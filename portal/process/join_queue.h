// Devices of one account that are connected and proven, and do not have a session yet.
//
// A device waits for up to four things, in this order:
//   1. the account's rows (a snapshot, maybe behind those of thousands of accounts): until
//      join_timeout_s is over, which does not run while fatwald has the request in its queue;
//   2. its own rows, as a device can be faster than the row of its token: kOwnRowsWithin;
//   3. the other processes, if this one was paused: what is read then may come from a device that
//      has gone elsewhere long since. It is let in when it is known who is where, and only if the
//      device answers a ping;
//   4. of a gateway that is online already, its place. The machine of a gateway can go without a
//      word (its power, its NAT), and its connection stands until a ping is missed. So the earlier
//      connection is pinged: if it answers, the newcomer is refused, else it enters.
//
// Then it waits for room to be shown its init (QueueBudget), for join_timeout_s at most.
//
// next_step() decides on 1. and 2. as a pure function. Who may enter is judged by the account,
// which begins the session (the enter handler). The queue is checked when something has happened to
// the account and every kCheckEvery; many devices enter in slices of time, as after a deploy all of
// an account's devices come at once. One thread, the loop's.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "portal/access/presence.h"
#include "portal/process/account_context.h"
#include "portal/process/join_request.h"
#include "portal/process/link.h"

namespace fatwal::process {

class JoinQueue {
public:
    using Tick = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::seconds kOwnRowsWithin{2};
    static constexpr std::chrono::milliseconds kCheckEvery{200};
    static constexpr std::size_t kMost = 10'000;  // devices
    // A device that is there answers a ping at once, over whatever radio.
    static constexpr std::chrono::seconds kPingWithin{3};
    // Until it is known of a gateway at another process.
    static constexpr std::chrono::seconds kContestWithin = kPingWithin + std::chrono::seconds(1);

    // What is known of a device's rows.
    struct Rows {
        bool are_live = false;       // the account's
        bool wait_for_turn = false;  // the account's, in fatwald's queue
        bool has_own = false;        // the device's row and its token's are among them
    };
    struct Patience {
        Tick until;                     // for the account's rows
        std::optional<Tick> own_until;  // for its own, once the account's are there
    };
    enum class Step : std::uint8_t { Wait, Enter, TryAgain };
    // `patience` is prolonged as the rows say. `timeout`: join_timeout_s.
    [[nodiscard]] static Step next_step(Patience& patience, const Rows& rows,
                                        std::chrono::seconds timeout, Tick now);

    struct Handlers {
        std::function<Rows(const JoinRequest&)> rows;
        // Why the device may not have a session; nothing when it may.
        std::function<std::optional<std::string>(const JoinRequest&)> refusal;
        std::function<void(JoinRequest, const std::shared_ptr<Link>&)> enter;
        // Whether a device may be shown its init now.
        std::function<bool(const Link&)> has_room;
        // Whether what the last one is shown is in its queue: until then nobody knows whether there
        // is room for the next.
        std::function<bool()> is_shown;
        // Pings a gateway of this process; if it is there, stays() is called, else it is ended.
        std::function<void(const Uuid& id, access::Generation, std::function<void()> stays)> probe;
        // Calls check() once the account is whole.
        std::function<void()> check;
        // Some have left or entered.
        std::function<void()> changed;
        // Calls it unless the account is gone or broken by then: for what a timer or a link calls.
        std::function<void(const std::function<void()>&)> run;
    };

    JoinQueue(const AccountContext& context, const Uuid& account, const access::Presence& presence,
              Handlers handlers);
    ~JoinQueue();
    JoinQueue(const JoinQueue&) = delete;
    JoinQueue& operator=(const JoinQueue&) = delete;

    void add(JoinRequest request, std::shared_ptr<Link> link);
    // Lets in who may enter now. Only while the account is whole.
    void check();
    // The gateway is still there: those who wait for its place are refused.
    void gateway_stays(const Uuid& id, access::Generation generation);

    [[nodiscard]] bool empty() const { return waiting_.empty(); }

private:
    // For the place of a gateway that is online.
    struct Contest {
        access::Generation generation = 0;
        Tick until;  // then it is refused
        bool is_lost = false;
    };
    struct Waiting {
        JoinRequest request;
        std::shared_ptr<Link> link;
        Patience patience;
        std::optional<Tick> room_until{};  // for room to be shown its init, once it may enter
        std::optional<Contest> contest{};
        // Whether its device is still there.
        enum class There : std::uint8_t { Unknown, Sure, Doubtful, Asked } there = There::Unknown;
    };
    // Whether it has to wait on for the other processes.
    bool waits_for_others(Waiting& waiting);
    // Whether it has to wait on for a gateway's place.
    bool waits_for_place(Waiting& waiting);
    void enter(std::vector<Waiting> ready, Tick now);
    // Of those who may enter, those who have to wait for room: whose time for that is over is
    // refused, the others go back among those who wait.
    void wait_for_room(std::vector<Waiting> ready, Tick now);
    void probed(const Link* link, bool is_there);
    void check_later();
    [[nodiscard]] std::vector<Waiting>::iterator find(const Link* link);

    const AccountContext& context_;
    Uuid account_;
    const access::Presence& presence_;
    Handlers handlers_;
    std::vector<Waiting> waiting_;
    boost::asio::steady_timer timer_;
};

}  // namespace fatwal::process
