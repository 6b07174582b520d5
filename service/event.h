// A flag that another thread sets and that poll and epoll can wait for: an eventfd.
#pragma once

namespace fatwal::service {

class Event {
public:
    Event();  // throws std::system_error when no descriptor is left
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    // Readable from set() until clear().
    [[nodiscard]] int fd() const { return fd_; }

    // Any thread.
    void set() const noexcept;
    void clear() const noexcept;

private:
    int fd_;
};

}  // namespace fatwal::service
