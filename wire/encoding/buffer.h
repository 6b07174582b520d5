// A byte buffer whose memory comes from where its owner says: a memory context of the server, or
// the heap of fatwald. Trivially destructible, as an error of the server may jump over it: there
// its context frees it, in fatwald release().
//
// A Memory is small and copied. It has
//     std::byte* allocate(std::size_t)                   never null
//     std::byte* resize(std::byte*, std::size_t)         never null
//     void free(std::byte*)
//     static void check(bool holds, const char* what)    an invariant, as a sentence
#pragma once

#include "fatwal/wire/bytes.h"

namespace fatwal::wire {

template <class Memory>
class Buffer {
public:
    // `capacity` is what it allocates when something is appended for the first time, or the first
    // time after release().
    void init(Memory memory, std::size_t capacity) {
        memory_ = memory;
        initial_ = capacity;
        capacity_ = 0;
        size_ = 0;
        bytes_ = nullptr;
    }
    // Gives its memory back.
    void release() {
        if (bytes_ != nullptr) memory_.free(bytes_);
        bytes_ = nullptr;
        capacity_ = size_ = 0;
    }

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t capacity() const { return capacity_; }
    [[nodiscard]] std::byte* at(std::size_t offset) { return bytes_ + offset; }
    [[nodiscard]] Bytes bytes() const { return {bytes_, size_}; }
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
        store(bytes_ + offset, value);
    }
    void append_str(std::string_view text) {
        append(static_cast<std::uint16_t>(text.size()));
        append(text.data(), text.size());
    }
    // Zeroes up to the next multiple of 8, counted from `start`.
    void pad8(std::size_t start) {
        const std::size_t length = size_ - start;
        const std::size_t padding = align8(length) - length;
        if (padding != 0) extend_zeroed(padding);
    }

private:
    void grow(std::size_t length) {
        std::size_t capacity = capacity_ == 0 ? initial_ : capacity_ * 2;
        while (capacity - size_ < length) capacity *= 2;
        bytes_ = bytes_ == nullptr ? memory_.allocate(capacity) : memory_.resize(bytes_, capacity);
        capacity_ = capacity;
    }

    Memory memory_;
    std::byte* bytes_;
    std::size_t size_;
    std::size_t capacity_;
    std::size_t initial_;
};

}  // namespace fatwal::wire
