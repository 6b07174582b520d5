// The body of an answer that has no end yet: server-sent events.
//
//     auto stream = std::make_shared<HttpStream>(kMostBytes);
//     // on the server's thread: return HttpAnswer{.type = kEventStream, .stream = stream};
//     stream->push(server_sent_event("state", json));     // from any thread
//
// What the reader has not taken yet waits here, up to a bound in bytes: a reader that is slower
// than what is pushed loses events, and nobody waits for it. The server sends a comment whenever it
// has sent nothing for kBeat, by which each side learns that the other one is gone.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace fatwal::service {

inline constexpr char kEventStream[] = "text/event-stream";

// One event as text. `data` is one line; `id` empty: none.
[[nodiscard]] std::string server_sent_event(std::string_view name, std::string_view data,
                                            std::string_view id = {});

// Any thread may call each of these.
class HttpStream {
public:
    static constexpr std::chrono::seconds kBeat{15};

    explicit HttpStream(std::size_t most_bytes) : most_bytes_(most_bytes) {}
    HttpStream(const HttpStream&) = delete;
    HttpStream& operator=(const HttpStream&) = delete;

    // False: it does not fit, or the reader is gone; then nothing of it is sent.
    bool push(std::string_view text);
    // The reader gets what waits, and the end.
    void end();
    // The reader is gone, or has been given the end.
    [[nodiscard]] bool closed() const;

private:
    friend class HttpServer;

    // The server's: `wake` is called, on whatever thread, when something waits.
    void attach(std::function<void()> wake);
    void detach();
    // What waits.
    [[nodiscard]] std::string take();
    [[nodiscard]] bool ended() const;

    const std::size_t most_bytes_;
    mutable std::mutex mutex_;
    std::string waiting_;
    std::function<void()> wake_;
    bool ended_ = false;
    bool closed_ = false;
};

}  // namespace fatwal::service
