// Memory of the heap for what wire/encoding/ builds. Its owner gives it back: Buffer::release(),
// Transaction::free().
#pragma once

#include <cstdlib>
#include <new>

#include "fatwal/wire/invariant.h"
#include "wire/encoding/row_encoder.h"

namespace fatwal::sidecar::pgoutput {

struct HeapMemory {
    static std::byte* allocate(std::size_t bytes) { return resize(nullptr, bytes); }
    static std::byte* resize(std::byte* from, std::size_t bytes) {
        void* made = std::realloc(from, bytes);
        if (made == nullptr) throw std::bad_alloc();
        return static_cast<std::byte*>(made);
    }
    static void free(std::byte* bytes) { std::free(bytes); }

    static constexpr bool kCheckSums = true;
    static void check(bool holds, const char* what) { FATWAL_INVARIANT(holds, what); }
};

using Target = wire::Target<HeapMemory>;

// A buffer that gives its memory back at the end of its life.
class HeapBuffer : public wire::Buffer<HeapMemory> {
public:
    explicit HeapBuffer(std::size_t capacity) { init({}, capacity); }
    ~HeapBuffer() { release(); }
    HeapBuffer(const HeapBuffer&) = delete;
    HeapBuffer& operator=(const HeapBuffer&) = delete;
};

}  // namespace fatwal::sidecar::pgoutput
