// What every account of a process is given: the parts of the process that accounts share. Accounts
// know these parts and not the process, so each of them can be tested with fewer.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "portal/access/basics.h"
#include "portal/access/signer.h"

namespace fatwal::process {

class Account;
class Directory;
class Feeds;
class Fleet;
class FlowDesk;
class LastSeen;
struct Measures;
struct Settings;

// All of it outlives the accounts.
struct AccountContext {
    boost::asio::io_context& io;
    const Settings& settings;
    Feeds& feeds;
    Directory& directory;
    Fleet& fleet;
    FlowDesk& flows;
    LastSeen& last_seen;
    const access::Signer& signer;
    Measures& measures;
    access::Random random;
    // The rows of an account that relays of its own follow have changed.
    std::function<void(const access::Uuid& account)> rows_changed = {};
    // The account's work has thrown: nothing more is done for it, and it is to be ended.
    std::function<void(std::weak_ptr<Account>, const access::Uuid& account,
                       const std::string& reason)>
        failed = {};
};

}  // namespace fatwal::process
