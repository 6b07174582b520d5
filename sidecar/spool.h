// Messages of the plugin in an unlinked file, so that neither their number nor a slow reader costs
// memory. One thread appends; others read what is there.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/bytes.h"

namespace fatwal {

class Spool {
public:
    explicit Spool(std::string folder) : folder_(std::move(folder)) {}
    ~Spool();
    Spool(const Spool&) = delete;
    Spool& operator=(const Spool&) = delete;

    // Throws a Failure when the file cannot be made or written.
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
    std::string folder_;
    int file_ = -1;  // made by the first append, so seen by whoever sees a size
    std::atomic<std::uint64_t> size_ = 0;
};

}  // namespace fatwal
