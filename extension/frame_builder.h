// Builds one frame: header, records, relations (docs/wire-format.md).
#pragma once

#include "extension/buffer.h"
#include "extension/server.h"
#include "fatwal/wire/account.h"
#include "fatwal/wire/types.h"

namespace fatwal::plugin {

struct FrameHeader {
    std::uint16_t flags;
    std::uint32_t xid;
    wire::Lsn commit_lsn;
    wire::Lsn end_lsn;
    wire::Microseconds commit_time;
    wire::AccountView account;
};

class FrameBuilder {
public:
    static constexpr std::uint16_t kMaxRelations = 0xFFFE;

    void init(MemoryContext context);
    void free();

    // Begins an empty frame for the account.
    void open(wire::AccountView account);
    // Starts a record; its body is appended to `buffer`, then finish_record() closes it and gives
    // its length. `schema` is {} for a message.
    std::size_t start_record(wire::Op op, std::uint8_t flags, wire::SchemaId schema,
                             std::uint32_t ordinal);
    void set_old_offset(std::size_t record);
    std::size_t finish_record(std::size_t record);
    // Writes what the header says; then `buffer` is the whole frame.
    void close(const FrameHeader& header);

    [[nodiscard]] std::uint32_t records() const { return records_; }
    [[nodiscard]] bool is_full(std::size_t frame_bytes) const {
        return buffer.size() >= frame_bytes || relation_count_ == kMaxRelations;
    }

    Buffer buffer;

private:
    std::uint16_t relation_index(wire::SchemaId schema);

    std::uint32_t records_;
    wire::SchemaId* relations_;
    std::uint16_t relation_count_;
    std::uint16_t relation_capacity_;
    std::uint16_t last_relation_;
};

}  // namespace fatwal::plugin
