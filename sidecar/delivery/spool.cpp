#include "sidecar/delivery/spool.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "sidecar/failure.h"

namespace fatwal::sidecar {

namespace {

constexpr std::size_t kMostMessagesOfSpool = 4096;
constexpr std::uint64_t kMostMessageBytes = std::uint64_t{1} << 30U;

int open_file(const std::string& folder) {
    const int unnamed = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (unnamed >= 0) return unnamed;
    // A file system without unnamed files.
    std::string path = folder + "/fatwald-XXXXXX";
    const int named = mkostemp(path.data(), O_CLOEXEC);
    if (named < 0)
        throw Failure{"cannot make a temporary file", folder + ": " + std::strerror(errno),
                      "Choose another folder with --spool-dir."};
    unlink(path.c_str());
    return named;
}

bool read_all(int file, void* bytes, std::size_t length, std::uint64_t offset) {
    auto* to = static_cast<char*>(bytes);
    while (length > 0) {
        const ssize_t got = pread(file, to, length, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        to += got;
        offset += static_cast<std::uint64_t>(got);
        length -= static_cast<std::size_t>(got);
    }
    return true;
}

}  // namespace

bool SpoolBudget::reserve(std::uint64_t bytes) {
    std::uint64_t used = used_;
    do {
        if (bytes > most_ || used > most_ - bytes) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes));
    return true;
}

Spool::~Spool() {
    if (file_ >= 0) close(file_);
    budget_.release(size_);
}

void Spool::append(wire::Bytes message) {
    const auto length = static_cast<std::uint32_t>(message.size());
    const std::uint64_t bytes = sizeof length + message.size();
    if (!budget_.reserve(bytes)) {
        Failure failure{
            "there is no room for what waits to be read",
            "The snapshots and replays that wait for their readers hold " +
                std::to_string(budget_.used()) + " of " + std::to_string(budget_.most()) +
                " bytes.",
            "Raise --spool-bytes, or see which subscribers do not read (fatwal subscribers).",
            false};
        failure.out_of_room = true;
        throw failure;
    }
    try {
        if (file_ < 0 && size_ + bytes <= kMemoryBytes) {
            const std::lock_guard lock(mutex_);
            memory_.append(reinterpret_cast<const char*>(&length), sizeof length);
            memory_.append(wire::as_text(message));
        } else {
            write_to_file(message);
        }
    } catch (...) {
        budget_.release(bytes);
        throw;
    }
    size_.store(size_ + bytes, std::memory_order_release);
}

void Spool::write_to_file(wire::Bytes message) {
    if (file_ < 0) file_ = open_file(folder_);
    auto length = static_cast<std::uint32_t>(message.size());
    std::array<iovec, 2> parts = {iovec{&length, sizeof length},
                                  iovec{const_cast<std::byte*>(message.data()), message.size()}};
    std::size_t left = sizeof length + message.size();
    iovec* part = parts.data();
    while (left > 0) {
        const ssize_t written =
            writev(file_, part, static_cast<int>(parts.data() + parts.size() - part));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0)
            throw Failure{"cannot write a temporary file", std::strerror(errno),
                          "Make room, or choose another folder with --spool-dir."};
        left -= static_cast<std::size_t>(written);
        auto done = static_cast<std::size_t>(written);
        while (left > 0 && done >= part->iov_len) done -= (part++)->iov_len;
        part->iov_base = static_cast<char*>(part->iov_base) + done;
        part->iov_len -= done;
    }
}

bool Spool::get(void* bytes, std::size_t length, std::uint64_t offset) const {
    std::uint64_t in_memory = 0;
    {
        const std::lock_guard lock(mutex_);
        in_memory = memory_.size();
        if (offset < in_memory) {
            if (length > in_memory - offset) return false;
            std::memcpy(bytes, memory_.data() + offset, length);
            return true;
        }
    }
    return read_all(file_, bytes, length, offset - in_memory);
}

std::optional<Spool::Part> Spool::read(std::uint64_t offset, std::size_t credit) const {
    const std::uint64_t size = this->size();
    Part part;
    std::size_t bytes = 0;
    while (offset < size && part.messages.size() < kMostMessagesOfSpool &&
           (part.messages.empty() || bytes < credit)) {
        std::uint32_t length = 0;
        if (!get(&length, sizeof length, offset) || length > kMostMessageBytes ||
            offset + sizeof length + length > size)
            return std::nullopt;
        zmq::message_t message(length);
        if (!get(message.data(), length, offset + sizeof length)) return std::nullopt;
        bytes += length;
        offset += sizeof length + length;
        part.messages.push_back(std::move(message));
    }
    part.next_offset = offset;
    return part;
}

}  // namespace fatwal::sidecar
