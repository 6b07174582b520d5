// Makes and renews the rows of devices that register, on a thread of its own.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "portal/access/basics.h"
#include "portal/process/registration.h"

namespace fatwal::process {

// First the tokens of all who wait are looked up, in one query: who has none is refused and has
// touched nothing of any account. Then the accounts have their turns, one registration at a time:
// the functions register_client and register_gateway of the database decide, under a lock of the
// account's row, so two processes never allot one address or pass a limit together. A lock that is
// not had at once (somebody's transaction holds the row) is tried again after a pause that grows,
// and meanwhile holds up that account alone. Whoever waits longer than the patience is answered
// try_again, which does no harm: what was made is then renewed.
class Registrar {
public:
    struct Answer {
        unsigned status = 0;
        std::map<std::string, std::string> fields;  // of the body
    };
    using Done = std::function<void(Answer)>;
    // A device had a token that is none.
    using Unproven = std::function<void(const access::IpAddress&)>;

    // `most`: registrations that wait at a time, a quarter of them of one account. All is called
    // from the context's thread.
    Registrar(boost::asio::io_context& io, const std::string& database,
              std::chrono::seconds patience, std::size_t most, Unproven unproven);
    ~Registrar();
    Registrar(const Registrar&) = delete;
    Registrar& operator=(const Registrar&) = delete;

    // `done` is called once, not from within ask(); not any more when this is destroyed.
    void ask(Registration registration, Done done);
    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

private:
    using Tick = std::chrono::steady_clock::time_point;
    using Number = std::uint64_t;
    struct Waiting {
        Done done;
        Tick until;
        std::optional<access::IpAddress> remote_ip;
    };
    class Work;

    void answered(Number number, Answer answer);
    void keep_deadline();

    boost::asio::io_context& io_;
    std::chrono::seconds patience_;
    std::size_t most_;
    Unproven unproven_;
    Number last_ = 0;
    std::map<Number, Waiting> waiting_;  // all have the same patience: the first is due first
    boost::asio::steady_timer deadline_;
    std::unique_ptr<Work> work_;
};

}  // namespace fatwal::process
