// Memory of the server for what wire/encoding/ builds: it belongs to a memory context, which frees
// it when an error jumps over its owner.
#pragma once

#include "extension/server.h"
#include "wire/encoding/frame_builder.h"
#include "wire/encoding/row_encoder.h"

namespace fatwal::plugin {

struct ServerMemory {
    MemoryContext context;

    [[nodiscard]] std::byte* allocate(std::size_t bytes) const {
        return static_cast<std::byte*>(MemoryContextAllocHuge(context, bytes));
    }
    static std::byte* resize(std::byte* from, std::size_t bytes) {
        return static_cast<std::byte*>(repalloc_huge(from, bytes));
    }
    static void free(std::byte* bytes) { pfree(bytes); }

#ifdef USE_ASSERT_CHECKING
    static constexpr bool kCheckSums = true;
#else
    static constexpr bool kCheckSums = false;
#endif
    static void check([[maybe_unused]] bool holds, [[maybe_unused]] const char* what) {
        Assert(holds);
    }
};

using Buffer = wire::Buffer<ServerMemory>;
using Target = wire::Target<ServerMemory>;
using FrameBuilder = wire::FrameBuilder<ServerMemory>;

}  // namespace fatwal::plugin
