// Messages of the plugin in an unlinked file, so that neither their number nor a slow reader costs
// memory. One thread appends; others read what is there.
//
// The first kMemoryBytes stay in memory: the snapshot of a small account then needs no file, and
// thousands of them no thousands of descriptors. A message is wholly in memory or wholly in the
// file, and what is in memory never moves to the file, so an offset means the same for ever: below
// memory_.size() it is in memory, else that much further on in the file.
//
// All spools of fatwald share a bound in bytes (SpoolBudget, the setting spool_bytes): whoever
// reads the database faster than its readers read can fill a disk otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/bytes.h"

namespace fatwal::sidecar {

// How many bytes all spools hold, and may hold. Any thread.
class SpoolBudget {
public:
    explicit SpoolBudget(std::uint64_t most) : most_(most) {}
    SpoolBudget(const SpoolBudget&) = delete;
    SpoolBudget& operator=(const SpoolBudget&) = delete;

    // False, and nothing is taken, if they do not fit.
    [[nodiscard]] bool reserve(std::uint64_t bytes);
    void release(std::uint64_t bytes) { used_ -= bytes; }

    [[nodiscard]] std::uint64_t used() const { return used_; }
    // Whoever begins now would hardly come to an end.
    [[nodiscard]] bool nearly_full() const { return used_ >= most_ / 16 * 15; }
    [[nodiscard]] std::uint64_t most() const { return most_; }

private:
    const std::uint64_t most_;
    std::atomic<std::uint64_t> used_ = 0;
};

class Spool {
public:
    static constexpr std::size_t kMemoryBytes = 32 * 1024;

    Spool(std::string folder, SpoolBudget& budget) : folder_(std::move(folder)), budget_(budget) {}
    ~Spool();
    Spool(const Spool&) = delete;
    Spool& operator=(const Spool&) = delete;

    // Throws a Failure when the file cannot be made or written, and one that passes when the bound
    // of all spools is reached.
    void append(wire::Bytes message);

    // Bytes that can be read.
    [[nodiscard]] std::uint64_t size() const { return size_.load(std::memory_order_acquire); }

    struct Part {
        std::vector<zmq::message_t> messages;
        std::uint64_t next_offset = 0;
    };
    // The messages from `offset` on, one at least if there is one, and not many more bytes than
    // `credit`. Nothing when no message begins there, or the file cannot be read.
    [[nodiscard]] std::optional<Part> read(std::uint64_t offset, std::size_t credit) const;

private:
    void write_to_file(wire::Bytes message);
    [[nodiscard]] bool get(void* bytes, std::size_t length, std::uint64_t offset) const;

    std::string folder_;
    SpoolBudget& budget_;
    mutable std::mutex mutex_;  // guards memory_
    std::string memory_;        // grows until there is a file
    int file_ = -1;             // made before the size that its first message adds to is seen
    std::atomic<std::uint64_t> size_ = 0;
};

}  // namespace fatwal::sidecar
