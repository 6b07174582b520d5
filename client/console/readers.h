// Follows an account for a browser: its changes as they come, or its rows. Each reader is a
// subscription that keeps nothing on fatwald, on a thread of its own, which ends with the browser.
// A transaction that is larger than a reader may hold is said to be missing.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "fatwal/wire/control.h"
#include "service/helper_thread.h"
#include "service/http.h"

namespace fatwal::console {

class Readers {
public:
    static constexpr std::size_t kMost = 16;
    // What waits for a browser that is slow; beyond it events are left out, and counted.
    static constexpr std::size_t kMostStreamBytes = 4U << 20U;
    // Of one reader's memory: a transaction, what waits behind it, and what waits at its socket.
    static constexpr std::size_t kMostTransactionBytes = 16U << 20U;
    static constexpr std::size_t kMostAheadBytes = 1U << 20U;
    static constexpr std::size_t kMostQueueBytes = 8U << 20U;
    static constexpr std::size_t kBatchBytes = 256U << 10U;
    // A browser that reads gets all; one that has not read for so long loses what does not fit.
    static constexpr std::chrono::milliseconds kRoomWithin{2000};
    static constexpr std::size_t kMostRowsOfTable = 200;
    static constexpr std::size_t kMostRowBytes = 3U << 20U;  // of all tables
    static constexpr std::chrono::seconds kRowsWithin{120};

    Readers(std::vector<std::string> control, cli::KeyArguments keys)
        : control_(std::move(control)), keys_(std::move(keys)) {}

    // `from`: a cursor's text; empty: from now on.
    [[nodiscard]] service::HttpAnswer tail(const wire::AccountKey& account,
                                           const std::string& from);
    [[nodiscard]] service::HttpAnswer rows(const wire::AccountKey& account);

private:
    struct Reader {
        std::shared_ptr<service::HttpStream> stream;
        std::atomic<bool> done = false;
        service::HelperThread thread;
    };
    using Body = std::function<void(const service::Stop&, service::HttpStream&)>;
    [[nodiscard]] service::HttpAnswer begin(Body body);

    const std::vector<std::string> control_;
    const cli::KeyArguments keys_;
    std::mutex mutex_;
    std::list<Reader> readers_;
};

}  // namespace fatwal::console
