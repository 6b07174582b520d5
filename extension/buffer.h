// A byte buffer in a memory context. Trivially destructible: an error that jumps over it leaves it
// to its context.
#pragma once

#include "extension/server.h"
#include "fatwal/wire/bytes.h"

namespace fatwal::plugin {

class Buffer {
public:
    // `capacity` is what it allocates when something is appended for the first time, or the first
    // time after release().
    void init(MemoryContext context, std::size_t capacity) {
        context_ = context;
        initial_ = capacity;
        capacity_ = 0;
        size_ = 0;
        bytes_ = nullptr;
    }
    // Gives its memory back.
    void release() {
        if (bytes_ != nullptr) pfree(bytes_);
        bytes_ = nullptr;
        capacity_ = size_ = 0;
    }

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t capacity() const { return capacity_; }
    [[nodiscard]] std::byte* at(std::size_t offset) { return bytes_ + offset; }
    [[nodiscard]] wire::Bytes bytes() const { return {bytes_, size_}; }
    void truncate(std::size_t size) { size_ = size; }

    // Makes room for `length` more bytes and gives their offset; their content is undefined.
    std::size_t extend(std::size_t length) {
        if (length > capacity_ - size_) grow(length);
        const std::size_t offset = size_;
        size_ += length;
        return offset;
    }
    std::size_t extend_zeroed(std::size_t length) {
        const std::size_t offset = extend(length);
        std::memset(bytes_ + offset, 0, length);
        return offset;
    }
    void append(const void* from, std::size_t length) {
        const std::size_t offset = extend(length);
        if (length != 0) std::memcpy(bytes_ + offset, from, length);
    }
    template <class T>
    void append(T value) {
        const std::size_t offset = extend(sizeof value);  // may move bytes_
        wire::store(bytes_ + offset, value);
    }
    void append_str(std::string_view text) {
        append(static_cast<std::uint16_t>(text.size()));
        append(text.data(), text.size());
    }
    // Zeroes up to the next multiple of 8, counted from `start`.
    void pad8(std::size_t start) {
        const std::size_t length = size_ - start;
        const std::size_t padding = wire::align8(length) - length;
        if (padding != 0) extend_zeroed(padding);
    }

private:
    void grow(std::size_t length) {
        std::size_t capacity = capacity_ == 0 ? initial_ : capacity_ * 2;
        while (capacity - size_ < length) capacity *= 2;
        bytes_ =
            static_cast<std::byte*>(bytes_ == nullptr ? MemoryContextAllocHuge(context_, capacity)
                                                      : repalloc_huge(bytes_, capacity));
        capacity_ = capacity;
    }

    MemoryContext context_;
    std::byte* bytes_;
    std::size_t size_;
    std::size_t capacity_;
    std::size_t initial_;
};

}  // namespace fatwal::plugin
