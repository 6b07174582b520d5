// Which request is answered with what: the files of the page, its data as JSON and as server-sent
// events, and the one action there is.
//
//   /                        the page; its files are compiled in
//   /api/login               POST {"token"}: a cookie for who has the token
//   /api/events              state each second, the history, what happened
//   /api/accounts            and /api/subscribers: lists, searched and sorted
//   /api/tail, /api/rows     an account's changes as they come, and its rows
//   /api/forget              POST {"account", "name"}: forgets a durable subscriber
//   /api/channels/…          what processes fatwal-channel say over their admin sockets
//
// Where a token is asked for, all of /api/ but the login needs it, as a Bearer token or by the
// cookie. The cookie is for this console alone (SameSite=Strict, HttpOnly) and ends with the
// process. The page may load nothing from elsewhere, and stand in no other one
// (Content-Security-Policy). What changes something is a POST with the header X-Fatwal-Console,
// which a foreign page cannot send. What a browser asks for another site's page is refused
// (Sec-Fetch-Site): a picture's address alone would have an account's rows read.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/console/channel.h"
#include "client/console/jobs.h"
#include "client/console/lists.h"
#include "client/console/readers.h"
#include "service/http.h"

namespace fatwal::console {

class Pages {
public:
    struct Handlers {
        // A new reader of /api/events.
        std::function<void(std::shared_ptr<service::HttpStream>)> join;
        // The endpoint of the fatwald that streams, or the first one.
        std::function<std::string()> active;
    };
    static constexpr std::size_t kMostEventBytes = 2U << 20U;

    Pages(const cli::ConsoleArguments& arguments, const service::HttpOptions& options,
          Handlers handlers);

    // Of all answers.
    [[nodiscard]] static std::vector<std::pair<std::string, std::string>> headers();

    // The HTTP server's thread.
    [[nodiscard]] service::HttpAnswer answer(const service::HttpQuery& query);

private:
    [[nodiscard]] service::HttpAnswer api(const service::HttpQuery& query);
    [[nodiscard]] service::HttpAnswer login(const service::HttpQuery& query);
    [[nodiscard]] service::HttpAnswer forget(const service::HttpQuery& query);
    [[nodiscard]] service::HttpAnswer list(const service::HttpQuery& query);
    [[nodiscard]] service::HttpAnswer channels(const service::HttpQuery& query);
    [[nodiscard]] bool may(const service::HttpQuery& query) const;
    // Of the thread of `lists_jobs_`: a client of the fatwald that streams.
    [[nodiscard]] cli::ControlClient& client();

    const cli::ConsoleArguments arguments_;
    const std::string token_;    // empty: none is asked for
    const std::string cookie_;   // its name: browsers send one host's cookies to all of its ports
    const std::string session_;  // its value
    std::chrono::steady_clock::time_point refused_at_;  // the last log-in that the log tells
    const Handlers handlers_;
    Readers readers_;
    // Of the thread of list_jobs_.
    std::string client_of_;
    std::unique_ptr<cli::ControlClient> client_;
    Lists lists_;
    Jobs list_jobs_{"lists"};  // these last: their threads use the others
    std::vector<std::unique_ptr<Channel>> channels_;
};

// A value of a query, decoded. Empty when there is none.
[[nodiscard]] std::string parameter(const service::HttpQuery& query, const std::string& name);

}  // namespace fatwal::console
