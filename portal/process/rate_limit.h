// How much a device, and an account's devices together, may ask of the process.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace fatwal::process {

// A token bucket: `rate` a second, and what was saved up in `kSavedSeconds` of silence at once.
class Bucket {
public:
    using Tick = std::chrono::steady_clock::time_point;
    static constexpr double kSavedSeconds = 30;

    explicit Bucket(double rate) : rate_(rate), left_(rate * kSavedSeconds) {}

    // Whether there is as much; nothing is taken.
    [[nodiscard]] bool has(double amount, Tick now) {
        left_ = left_at(now);
        last_ = now;
        return left_ >= amount;
    }
    void take(double amount) { left_ -= amount; }
    // Whether all is there that can be saved up: as if nothing had ever been taken.
    [[nodiscard]] bool is_full(Tick now) const { return left_at(now) >= rate_ * kSavedSeconds; }

private:
    [[nodiscard]] double left_at(Tick now) const {
        if (last_ == Tick{}) return left_;
        return std::min(rate_ * kSavedSeconds,
                        left_ + rate_ * std::chrono::duration<double>(now - last_).count());
    }

    double rate_;
    double left_;
    Tick last_{};
};

constexpr double kBytesOfMessage = 4096;  // that the rate of messages allows for

// The rates of a session, or of an account.
struct Rates {
    double messages = 0;  // a second, and so the others
    double flows = 0;
    double bytes = 0;
};

class RateLimit {
public:
    explicit RateLimit(const Rates& rates)
        : messages_(rates.messages), flows_(rates.flows), bytes_(rates.bytes) {}

    // What one message takes. It takes nothing when there is not enough of all, in both.
    [[nodiscard]] static bool take_message(RateLimit& session, RateLimit& account,
                                           std::size_t bytes, Bucket::Tick now) {
        const auto size = static_cast<double>(bytes);
        if (!session.messages_.has(1, now) || !session.bytes_.has(size, now) ||
            !account.messages_.has(1, now) || !account.bytes_.has(size, now))
            return false;
        for (RateLimit* limit : {&session, &account}) {
            limit->messages_.take(1);
            limit->bytes_.take(size);
        }
        return true;
    }
    [[nodiscard]] static bool take_flow(RateLimit& session, RateLimit& account, Bucket::Tick now) {
        if (!session.flows_.has(1, now) || !account.flows_.has(1, now)) return false;
        for (RateLimit* limit : {&session, &account}) limit->flows_.take(1);
        return true;
    }

    [[nodiscard]] bool is_full(Bucket::Tick now) const {
        return messages_.is_full(now) && flows_.is_full(now) && bytes_.is_full(now);
    }

private:
    Bucket messages_;
    Bucket flows_;
    Bucket bytes_;
};

// Bytes that wait in the queues of several devices: those of an account, or those of the process.
// What one queue may hold shrinks as the sum grows, so that a few slow devices cannot take all of
// it, and the last that is free is left to those that have little waiting.
//
// What devices are shown first (init) is counted apart, up to the same limit. It is as long as the
// account is large, whatever the device reads. Counted with the rest, the inits of devices that
// read nothing would leave to all others kLeast, and cut them. So a device is shown its init when
// there is room for it, and waits until then:
//
//   the process's limit  ├── inits that wait ──┼───────── free ─────────┤
//   an account may add   │                     ├─ half of it ─┤           up to a limit of its own
//
// Room is asked for before the init is made, so its size is not known, and the sum passes a limit
// by one init at most. An account whose inits are all taken has room in any case: whatever the
// other accounts do, its devices come in one by one.
class QueueBudget {
public:
    static constexpr std::size_t kLeast = 65'536;  // a queue may hold this in any case

    explicit QueueBudget(std::size_t limit) : limit_(limit) {}
    void add_first(std::size_t bytes) { first_ += bytes; }
    void remove_first(std::size_t bytes) { first_ -= bytes; }
    [[nodiscard]] std::size_t first() const { return first_; }
    // Of an account's budget; `all`: the process's.
    [[nodiscard]] bool has_room_for_first(const QueueBudget& all) const {
        const std::size_t free = all.first_ >= all.limit_ ? 0 : all.limit_ - all.first_;
        return first_ == 0 || first_ < std::min(limit_, free / 2);
    }
    void add(std::size_t bytes) { used_ += bytes; }
    void remove(std::size_t bytes) { used_ -= bytes; }
    [[nodiscard]] std::size_t used() const { return used_; }
    [[nodiscard]] std::size_t share() const {
        return used_ >= limit_ ? kLeast : std::max(kLeast, (limit_ - used_) / 2);
    }

private:
    std::size_t limit_;
    std::size_t used_ = 0;
    std::size_t first_ = 0;  // counted apart
};

}  // namespace fatwal::process
