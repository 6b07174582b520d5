// What a person who runs the process asks it: who is connected, and to end one of them. HTTP on a
// Unix-domain socket that only the process's own user (and root) can open; `fatwal channel` and
// `curl --unix-socket` speak it.
//
//   GET  /stats                                            counts of this process
//   GET  /sessions?account=ID&after=CURSOR&limit=N         who is connected to this process
//   GET  /why?client=ID&resource=ID&account=ID             why the client reaches it, or why not
//   GET  /choices?account=ID                               its clients and resources, by name
//   POST /disconnect?account=ID&kind=client|gateway&id=ID  ends a session, of any process
//   POST /reject?account=ID&client=ID&resource=ID          takes a pair away from every gateway
//
// Each answers a JSON object; what is wrong is answered 400, 404 or 503 with {"reason", "hint"}.
// portal/access/explanation.h has what /why answers, portal/access/choices.h what /choices does.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "portal/access/basics.h"
#include "portal/access/peer_message.h"

namespace fatwal::process {

class Admin {
public:
    // A session, and as text, ACCOUNT/client/ID, where a listing resumes: behind it.
    struct Cursor {
        access::Uuid account;
        access::Device device = access::Device::Client;
        access::Uuid id;
        friend auto operator<=>(const Cursor&, const Cursor&) = default;
    };
    struct Listing {
        std::optional<access::Uuid> account;  // nothing: of all
        std::optional<Cursor> after;
        std::size_t limit = 0;
    };
    struct Question {
        std::optional<access::Uuid> account;  // nothing: the one that has the client
        access::Uuid client;
        access::Uuid resource;
    };
    struct Explained {
        bool is_followed = false;            // the account is, by this process
        std::optional<access::Json> answer;  // nothing: its rows are not whole now
    };
    struct Handlers {
        std::function<access::Json()> stats;
        // {"sessions": [...]}, and "next", such a text, when there are more.
        std::function<access::Json(const Listing&)> sessions;
        // How many sessions it has ended here; the other processes end theirs.
        std::function<std::size_t(const Cursor&)> disconnect;
        // Of how many gateways here it has taken the pair; the other processes take it too.
        std::function<std::size_t(const access::Uuid& account, const access::Uuid& client,
                                  const access::Uuid& resource)>
            reject;
        std::function<Explained(const Question&)> why;
        std::function<Explained(const access::Uuid& account)> choices;
    };

    // Makes the socket at `path`, in place of one that a dead process has left. Throws
    // std::runtime_error when it cannot be made.
    Admin(boost::asio::io_context& io, const std::string& path, Handlers handlers);
    ~Admin();
    Admin(const Admin&) = delete;
    Admin& operator=(const Admin&) = delete;

private:
    class Listener;
    std::shared_ptr<Listener> listener_;
};

}  // namespace fatwal::process
